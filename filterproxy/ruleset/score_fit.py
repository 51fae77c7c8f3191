"""Fitting scores to rows: a logistic regression on how far each score should move from where it is.

The score in use is one feature among the symbols, so that regularisation pulls the others towards no change: the
coefficients of the symbols, divided by that of the score, are the changes. What would leave its bounds is held there
and the rest is fitted again.

The rule: the threshold is not fitted: it is the administrator's, and scores are moved to suit it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterproxy.ruleset.bounds import Bounds
from filterproxy.ruleset.rows import GroupLimit, Row

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_ROUNDS = 6
_STEP = 0.1
# So large beside the symbols' weights of 1 that regularisation does not feel it.
_SCORE_SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Strength:
    """How a fit weighs: `freedom` is the inverse of regularisation, `ham` what a ham message counts beside a spam."""

    freedom: float
    ham: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages of some rows are wrong: ham from the threshold on, spam below, ham from the reject score on."""

    false_positives: int
    missed: int
    ham_rejected: int
    ham: int
    spam: int


class Problem:
    """Rows as numbers: for each message what the chosen symbols weigh and what all others add up to."""

    def __init__(
        self,
        rows: Sequence[Row],
        scores: Mapping[str, float],
        bounds: Mapping[str, Bounds],
        threshold: float,
        reject: float,
        limits: Iterable[GroupLimit] = (),
    ) -> None:
        from scipy.sparse import csr_matrix

        self.names = list(bounds)
        columns = {name: number for number, name in enumerate(self.names)}
        entries = [
            (row_number, columns[name], weight)
            for row_number, row in enumerate(rows)
            for name, weight in row.fired.items()
            if name in columns
        ]
        places, kinds, weights = zip(*entries, strict=True) if entries else ((), (), ())
        self.weights: Any = csr_matrix((weights, (places, kinds)), shape=(len(rows), len(columns)), dtype=float)
        self.base: Floats = np.array(
            [math.fsum(scores.get(n, 0.0) * w for n, w in row.fired.items() if n not in columns) for row in rows]
        )
        self.scores: Floats = np.array([scores[name] for name in self.names])
        self.low: Floats = np.array([item.low for item in bounds.values()])
        self.high: Floats = np.array([item.high for item in bounds.values()])
        self.groups = [self._group(rows, scores, columns, limit) for limit in limits]
        self.is_spam: Flags = np.array([row.is_spam for row in rows])
        self.threshold, self.reject = threshold, reject

    def totals(self, scores: Floats, places: Numbers) -> Floats:
        """Return the scores of some messages by these scores of the chosen symbols."""
        weights = self.weights[places]
        totals: Floats = self.base[places] + weights @ scores
        for limit, base, members in self.groups:
            totals -= np.maximum(0.0, base[places] + weights @ (scores * members) - limit)
        return totals

    @staticmethod
    def _group(
        rows: Sequence[Row], scores: Mapping[str, float], columns: Mapping[str, int], limit: GroupLimit
    ) -> tuple[float, Floats, Floats]:
        """Return a group's limit, what its fixed members add up to in each message, and which columns are members."""
        fixed = limit.members - columns.keys()
        base = [math.fsum(scores.get(n, 0.0) * w for n, w in row.fired.items() if n in fixed) for row in rows]
        members = np.array([float(name in limit.members) for name in columns])
        return limit.limit, np.array(base), members

    def count(self, scores: Floats, places: Numbers) -> Counts:
        """Count what is wrong among some messages by these scores."""
        # A score such as 0.1 + 0.2 must reach 0.3: see also `decide`, which adds exactly.
        totals, spam = np.round(self.totals(scores, places), 9), self.is_spam[places]
        marked = totals >= self.threshold
        return Counts(
            false_positives=int(np.sum(marked & ~spam)),
            missed=int(np.sum(~marked & spam)),
            ham_rejected=int(np.sum((totals >= self.reject) & ~spam)),
            ham=int(np.sum(~spam)),
            spam=int(np.sum(spam)),
        )

    def fit(self, places: Numbers, strength: Strength) -> Floats:
        """Return the scores, inside their bounds, that part the spam of some messages best from their ham."""
        change = np.zeros(len(self.names))
        free = self.low < self.high
        change[~free] = (self.low - self.scores)[~free]
        for _ in range(_ROUNDS):
            if not free.any():
                break
            found = self._changes(places, self.scores + np.where(free, 0.0, change), free, strength)
            if found is None:
                break
            wanted = self.scores[free] + found
            change[free] = np.clip(wanted, self.low[free], self.high[free]) - self.scores[free]
            outside = (wanted < self.low[free]) | (wanted > self.high[free])
            if not outside.any():
                break
            free[np.flatnonzero(free)[outside]] = False
        return self.rounded(self.scores + change)

    def rounded(self, scores: Floats) -> Floats:
        """Return scores with one decimal, where that is inside the bounds; a smaller change is none."""
        rounded: Floats = np.clip(np.round(scores / _STEP) * _STEP, self.low, self.high)
        kept = np.abs(scores - self.scores) < _STEP / 2
        result: Floats = np.where(kept, self.scores, rounded).round(3)
        return result

    def _changes(self, places: Numbers, start: Floats, free: Flags, strength: Strength) -> Floats | None:
        """Return the changes of the free symbols, None when the score itself tells nothing."""
        from scipy.sparse import csr_matrix, hstack
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        spam = self.is_spam[places]
        margin = (self.totals(start, places) - self.threshold) * _SCORE_SCALE
        features = hstack([csr_matrix(margin[:, None]), self.weights[places][:, np.flatnonzero(free)]], format="csr")
        weights = np.where(spam, 1.0, strength.ham)
        model = LogisticRegression(C=strength.freedom, fit_intercept=False, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the result is measured, whatever it is
            model.fit(features, spam, sample_weight=weights)
        scale = model.coef_[0, 0] * _SCORE_SCALE
        if not scale > 0:
            return None
        changes: Floats = model.coef_[0, 1:] / scale
        return changes
