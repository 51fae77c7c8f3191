"""Scored messages as they accumulate and as arrays: what an evaluation hands to the measures.

The rule: no scikit-learn here, so that a run over a large corpus does without its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.threshold import Class


@dataclass(frozen=True, slots=True)
class Rows:
    """Scored messages in order: label (True is spam), class that was given, log-odds."""

    is_spam: NDArray[np.bool_]
    classes: Sequence[Class]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(slots=True)
class Scored:
    """Labels, classes and scores in order, as they accumulate."""

    is_spam: list[bool] = field(default_factory=list)
    classes: list[Class] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, is_spam: bool, given: Class, score: float) -> None:
        """Append one message."""
        self.is_spam.append(is_spam)
        self.classes.append(given)
        self.scores.append(score)

    def rows(self, begin: int = 0) -> Rows:
        """Return the rows from `begin` on, for the measures."""
        labels, scores = np.asarray(self.is_spam[begin:], np.bool_), np.asarray(self.scores[begin:], np.float64)
        return Rows(labels, self.classes[begin:], scores)
