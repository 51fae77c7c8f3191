"""Where spam begins: a log-odds threshold that follows what was learned.

The rule: spam is what is spam with a probability of 0.88. While little ham was learned the threshold is higher when
most of what was learned is spam, for ham of a new kind looks like spam then; later it is as high as it must be for all
but one in a thousand of the latest ham messages, as they scored before they were learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.learner import Examples

Class = Literal["spam", "ham", "unsure"]

# A probability of 0.88.
BASE = 2.0
TARGET = 0.001
WINDOW = 2_000
ENOUGH = 1_000
# The quantile is an estimate from a few scores, wrong labels among them: it may raise the threshold only so far.
HIGHEST = 3.2
# More than some fifty to one tells of the order in which mail was learned, not of the classes.
LARGEST_IMBALANCE = 4.0
# So many ham messages halve the caution.
HALF_CAUTION = 50


class HamScores:
    """The scores of the latest WINDOW ham messages, each from before it was learned; `array` may be a mapped file."""

    def __init__(self, array: NDArray[np.float32] | None = None, count: int = 0) -> None:
        self.array = np.zeros(WINDOW, np.float32) if array is None else array
        self.count = count

    def add(self, score: float) -> None:
        """Add a score in place of the oldest."""
        self.array[self.count % WINDOW] = score
        self.count += 1

    def latest(self) -> NDArray[np.float32]:
        """Return the scores that are kept, oldest first."""
        if self.count <= WINDOW:
            return self.array[: self.count].copy()
        return np.roll(self.array, -(self.count % WINDOW))

    def quantile(self, share: float) -> float:
        """Return the score that at most this share of the messages lies above; needs at least one."""
        size = min(self.count, WINDOW)
        rank = size - 1 - int(share * size)
        return float(np.partition(self.array[:size], rank)[rank])


@dataclass(frozen=True, slots=True)
class Threshold:
    """Spam is a score above `value`; `informed` is False while a class has no example, and nothing can be told."""

    value: float
    informed: bool

    @classmethod
    def of(cls, examples: Examples, ham_scores: HamScores) -> Threshold:
        """Return the threshold for a model that has learned this much."""
        informed = examples.spam > 0 and examples.ham > 0
        if ham_scores.count >= ENOUGH:
            return cls(min(max(ham_scores.quantile(TARGET), BASE), HIGHEST), informed)
        imbalance = min(max(0.0, math.log((examples.spam + 1) / (examples.ham + 1))), LARGEST_IMBALANCE)
        return cls(BASE + imbalance * HALF_CAUTION / (HALF_CAUTION + examples.ham), informed)

    def classify(self, score: float) -> Class:
        """Return the class of a message with that score."""
        if not self.informed:
            return "unsure"
        return "spam" if score > self.value else "ham"
