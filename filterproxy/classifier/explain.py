"""Which words made a message look like spam or ham: the reason behind a score, readable.

The rule: an explanation is made of what was scored and nothing else; its weights are parts of the log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.features import VIEWS, Features, WordView
from filterproxy.classifier.model import Model

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


def strongest(model: Model, features: Features, view: WordView, count: int) -> tuple[list[Reason], list[Reason]]:
    """Return the strongest reasons of the words view for spam and for ham, each at most `count`, strongest first.

    `view` must be the one that the features were made of.
    """
    if not features.words.size or not count:
        return [], []
    weights = model.learners["words"].contributions(features.words, model.examples) / len(VIEWS)
    order = _extremes(weights, count)
    reasons = [Reason(view.describe(int(features.words[place])), float(weights[place])) for place in order]
    spam = [reason for reason in reasons if reason.weight > 0]
    ham = [reason for reason in reversed(reasons) if reason.weight < 0]
    return spam[:count], ham[:count]


def _extremes(weights: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the places of the `count` largest and the `count` smallest weights, largest first."""
    if weights.size <= 2 * count:
        return np.argsort(-weights)
    ends = np.argpartition(weights, (count - 1, weights.size - count))
    chosen = np.concatenate((ends[:count], ends[-count:]))
    return chosen[np.argsort(-weights[chosen])]
