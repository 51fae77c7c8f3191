"""TREC's measures of a spam filter, from rows of label, class and score; in percent, as the literature has them.

The rule: numpy alone, for an evaluation is not to carry scikit-learn's 80 MB beside the model; a test compares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.rows import Rows

_BINS = 20
# 0.001 of 1,000 messages is one, whatever binary fractions make of it.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Measures:
    """What a run reached.

    `roca` is (1-ROCA)%, the area above the ROC curve; `hm` and `sm` the shares of ham called spam and of spam not
    called spam; `lam` their logistic average; `sm_at` the share of spam missed when at most that share of the ham is
    lost; `calibration_error` the mean distance between probability and frequency, in percentage points. None where a
    class is missing.
    """

    spam: int
    ham: int
    unsure: int
    roca: float | None
    hm: float | None
    sm: float | None
    lam: float | None
    sm_at: dict[str, float]
    calibration_error: float | None


def measure(rows: Rows) -> Measures:
    """Return the measures of some rows."""
    spam, ham = int(rows.is_spam.sum()), int((~rows.is_spam).sum())
    called = np.asarray([given == "spam" for given in rows.classes], np.bool_)
    unsure = sum(given == "unsure" for given in rows.classes)
    hm = 100 * float(called[~rows.is_spam].mean()) if ham else None
    sm = 100 * float((~called)[rows.is_spam].mean()) if spam else None
    both = bool(spam and ham)
    return Measures(
        spam=spam, ham=ham, unsure=unsure, hm=hm, sm=sm,
        roca=100 * wrong_order(rows) if both else None,
        lam=logistic_average(hm, sm, ham, spam) if hm is not None and sm is not None else None,
        sm_at={name: missed_at(rows, share) for name, share in (("0.1%", 0.001), ("1%", 0.01))} if both else {},
        calibration_error=100 * calibration_error(rows) if len(rows) else None,
    )  # fmt: skip


def logistic_average(hm: float, sm: float, ham: int, spam: int) -> float:
    """Return lam%, the logistic average of two percentages; a rate of 0 or 1 counts as half a message from it."""
    odds = [_logit(min(max(rate / 100, 0.5 / count), 1 - 0.5 / count)) for rate, count in ((hm, ham), (sm, spam))]
    return 100 / (1 + math.exp(-sum(odds) / 2))


def wrong_order(rows: Rows) -> float:
    """Return the share of pairs of a ham and a spam with the ham above, ties half: the area above the ROC curve."""
    ham, spam = np.sort(rows.scores[~rows.is_spam]), rows.scores[rows.is_spam]
    above = ham.size - (np.searchsorted(ham, spam, "left") + np.searchsorted(ham, spam, "right")) / 2
    return float(above.mean() / ham.size)


def missed_at(rows: Rows, share: float) -> float:
    """Return the percentage of spam missed at the best threshold that loses at most this share of the ham."""
    ham, spam = np.sort(rows.scores[~rows.is_spam])[::-1], rows.scores[rows.is_spam]
    may_lose = int(share * ham.size + _ROUNDING)
    if may_lose >= ham.size:
        return 0.0
    missed: NDArray[np.bool_] = spam <= ham[may_lose]
    return 100 * float(missed.mean())


def calibration_error(rows: Rows) -> float:
    """Return the expected calibration error of the probabilities, over 20 bins of equal width."""
    probabilities = 1 / (1 + np.exp(-np.clip(rows.scores, -700, 700)))
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    sums = [np.bincount(bins, weights, _BINS) for weights in (probabilities, rows.is_spam.astype(float))]
    return float(np.abs(sums[0] - sums[1]).sum() / len(rows))


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))
