"""The stretch of a body that is most like spam: what is left of a spam when the good words around it are taken away.

Good words before or after a spam are a run of pieces that speak for ham beside a run that speaks for spam. The stretch
with the largest sum is found as CUSUM finds a change (Page, Continuous inspection schemes, 1954): the largest
difference of a running sum and its minimum so far.

The rule: one stretch for all views of the body, found by all of them together, since they see the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.features import BODY_VIEWS

# A stretch of fewer slots counts as if it had so many: a few words alone are no evidence.
FEWEST = {"body": 200, "text": 200, "words": 100}
_FEWEST = np.array([FEWEST[view] for view in BODY_VIEWS], np.float64)
# The best of many stretches looks like spam by chance: so much less does each view say.
CHANCE = 1.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """The pieces from `first` to `last` (exclusive), and the log-odds that each of BODY_VIEWS gives them."""

    first: int
    last: int
    scores: tuple[float, ...]


def find_stretch(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> Stretch:
    """Return the stretch that is most like spam, given the sum and the number of slots of each piece in each view.

    Both have the shape (number of BODY_VIEWS, PIECES).
    """
    before, sizes_before = _running(sums), _running(sizes)
    together = (before / np.sqrt(counted_sizes(sizes_before[:, -1]))[:, np.newaxis]).sum(axis=0)
    last = int((together - np.minimum.accumulate(together)).argmax())
    first = int(together[: last + 1].argmin())
    roots = np.sqrt(counted_sizes(sizes_before[:, last] - sizes_before[:, first]))
    scores = (before[:, last] - before[:, first]) / roots - CHANCE
    return Stretch(first, last, tuple(scores.tolist()))


def counted_sizes(sizes: NDArray[Any]) -> NDArray[np.float64]:
    """Return by the root of which number the sum of a stretch is divided, given its slots in each of BODY_VIEWS."""
    counted: NDArray[np.float64] = np.maximum(sizes, _FEWEST)
    return counted


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, 2 … pieces of each view."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
