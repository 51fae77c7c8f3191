"""The worst errors of an evaluation, each with its reasons from before the message was learned.

The rule: only as many are kept as are shown, whatever the size of the corpus.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from filterproxy.classifier.explain import Reason, strongest
from filterproxy.classifier.features import extract_with_words
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import Example, message_to_learn

KEPT = 20
_REASONS = 8


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """A message on the wrong side of the threshold, by `margin` (log-odds)."""

    margin: float
    path: str
    is_spam: bool = field(compare=False)
    score: float = field(compare=False)
    reasons: tuple[Reason, ...] = field(compare=False)


class WorstMistakes:
    """Watches an evaluation of a model and keeps the KEPT worst mistakes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._heap: list[Mistake] = []

    def watch(self, example: Example, score: float, threshold: float) -> None:
        """Look at one message, which must not have been learned yet."""
        margin = threshold - score if example.is_spam else score - threshold
        if margin < 0 or (len(self._heap) >= KEPT and margin <= self._heap[0].margin):
            return
        raw = example.source.read().raw
        if raw is None:
            return
        features, words = extract_with_words(message_to_learn(raw))
        for_spam, for_ham = strongest(self._model, features, words, _REASONS)
        reasons = (*for_spam, *for_ham)
        heapq.heappush(self._heap, Mistake(margin, example.source.name, example.is_spam, score, reasons))
        if len(self._heap) > KEPT:
            heapq.heappop(self._heap)

    def worst_first(self) -> list[Mistake]:
        """Return what was kept."""
        return sorted(self._heap, reverse=True)
