"""Which words made a message look like spam or ham: the reason behind a score, readable.

The rule: an explanation is made of what was scored and nothing else; its weights are parts of the log-odds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.features import TABLE_BITS, Features
from filterproxy.classifier.model import TOTAL_WEIGHT, WEIGHTS, Model
from filterproxy.classifier.word_views import WordViews

WORD_VIEWS = ("fields", "words")

# Short enough for its weight to be seen wherever options are shown.
_LONGEST = 50


@dataclass(frozen=True, slots=True)
class Reason:
    """A word, pair of words or structural fact, and what it added to the log-odds (positive: towards spam)."""

    text: str
    weight: float

    def __str__(self) -> str:
        """Return `text +0.12`, a long text cut."""
        text = self.text if len(self.text) <= _LONGEST else self.text[: _LONGEST - 1] + "…"
        return f"{text} {self.weight:+.2f}"


def strongest(model: Model, features: Features, words: WordViews, count: int) -> tuple[list[Reason], list[Reason]]:
    """Return the strongest words for spam and for ham, each at most `count`, strongest first.

    `words` must be those that the features were made of.
    """
    weights = {
        view: model.learners[view].contributions(features.view(view), model.examples) * (WEIGHTS[view] / TOTAL_WEIGHT)
        for view in (WORD_VIEWS if count else ())
    }
    return strongest_of(weights, features, words, count)


def strongest_of(
    weights: Mapping[str, NDArray[np.float64]], features: Features, words: WordViews, count: int
) -> tuple[list[Reason], list[Reason]]:
    """Return the same for weights of any kind, one for each slot of a view."""
    found: list[tuple[float, str, int]] = []
    for view, values in weights.items() if count else ():
        slots = features.view(view)
        found += [(float(values[place]), view, int(slots[place])) for place in _extremes(values, count)]
    found.sort(key=lambda entry: -entry[0])
    spam = [entry for entry in found if entry[0] > 0][:count]
    ham = [entry for entry in reversed(found) if entry[0] < 0][:count]
    return _reasons(words, spam), _reasons(words, ham)


def _reasons(words: WordViews, found: list[tuple[float, str, int]]) -> list[Reason]:
    return [Reason(words.describe(view, slot, TABLE_BITS[view]), weight) for weight, view, slot in found]


def _extremes(weights: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` largest and the `count` smallest weights, largest first."""
    if weights.size <= 2 * count:
        return np.argsort(-weights)
    ends = np.argpartition(weights, (count - 1, weights.size - count))
    chosen = np.concatenate((ends[:count], ends[-count:]))
    return chosen[np.argsort(-weights[chosen])]
