"""One hashed table that learns online: naive Bayes with length normalisation, corrected by logistic regression.

The rule: learning one example touches the slots of that example alone, and a score reads one float32 table:
`z = 1/sqrt(n) * (sum of value[f] + m * prior)`, where m of the n features have been seen before. `value` holds both
terms, `c * ln((s+a)/(h+a)) + w`; `prior` is `c * ln((N_h+k)/(N_s+k))`. AdaGrad moves `w` along the logistic loss of
`z`, so that it corrects what naive Bayes' independence gets wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.hashing import Slots

Floats = NDArray[np.float32]
# The columns of a record. Counts are whole numbers, exact in float32 up to 2^24 messages.
WEIGHT, SQUARES, SPAM, HAM = range(4)
COLUMNS = ("weight", "squares", "spam", "ham")
# A slot that was seen has a value other than 0; this one adds nothing that a sum would notice.
_SEEN = np.float32(1e-30)


@dataclass(frozen=True, slots=True)
class Options:
    """The learner's constants.

    `bayes` (c) is the share of naive Bayes and `smoothing` (a) its smoothing of a feature's counts; `class_smoothing`
    (k) keeps the prior small while one class has hardly been seen. `step` and `first_squares` are AdaGrad's.
    """

    bayes: float = 0.1
    smoothing: float = 0.1
    class_smoothing: float = 5.0
    step: float = 0.5
    first_squares: float = 1e-6


@dataclass(slots=True)
class Examples:
    """How many messages of each class were learned."""

    spam: int = 0
    ham: int = 0

    def count(self, is_spam: bool, by: int = 1) -> None:
        """Add examples to a class, or take them away."""
        if is_spam:
            self.spam += by
        else:
            self.ham += by


class State(Protocol):
    """What learning needs: a record of four float32 (see COLUMNS) a slot."""

    def read(self, slots: Slots) -> Floats:
        """Return the records of the slots, shape (n, 4), as a copy."""

    def write(self, slots: Slots, records: Floats) -> None:
        """Replace the records of the slots."""


@dataclass(frozen=True, slots=True)
class DenseState:
    """A state in one array of shape (slots, 4), in memory or mapped from a file."""

    array: Floats

    def read(self, slots: Slots) -> Floats:
        """Return the records of the slots, shape (n, 4), as a copy."""
        return self.array.take(slots, axis=0)

    def write(self, slots: Slots, records: Floats) -> None:
        """Replace the records of the slots."""
        # As one item of 16 bytes each, which numpy copies several times faster than rows of four.
        self.array.view(np.complex128)[:, 0][slots] = np.ascontiguousarray(records).view(np.complex128)[:, 0]


class Learner:
    """The table of one view: `values` is what scoring reads, `state` what learning needs (None: scoring only)."""

    def __init__(self, options: Options, values: Floats, state: State | None) -> None:
        self.options, self.values, self.state = options, values, state

    @classmethod
    def empty(cls, options: Options, bits: int) -> Learner:
        """Return a learner with a table of 2^bits slots that has seen nothing."""
        size = 1 << bits
        return cls(options, np.zeros(size, np.float32), DenseState(np.zeros((size, 4), np.float32)))

    def score(self, slots: Slots, examples: Examples) -> float:
        """Return the log-odds of spam of a set of distinct slots; 0 without any."""
        if slots.size == 0:
            return 0.0
        values = self.values.take(slots)
        seen = int(np.count_nonzero(values))
        return (float(values.sum(dtype=np.float64)) + seen * self.prior(examples)) / math.sqrt(slots.size)

    def contributions(self, slots: Slots, examples: Examples) -> NDArray[np.float64]:
        """Return what each slot adds to the score; their sum is the score."""
        return self.summands(slots, examples).astype(np.float64) / math.sqrt(max(1, slots.size))

    def summands(self, slots: Slots, examples: Examples) -> Floats:
        """Return what each slot adds to the sum, before length normalisation."""
        values = self.values.take(slots)
        values += np.float32(self.prior(examples)) * (values != 0)
        return values

    def prior(self, examples: Examples) -> float:
        """Return what every seen feature adds, so that the class with more examples is not the likelier one."""
        k = self.options.class_smoothing
        return self.options.bayes * math.log((examples.ham + k) / (examples.spam + k))

    def learn(self, slots: Slots, is_spam: bool, score: float) -> float:
        """Learn one example that had this score just before; return the gradient applied, which `forget` needs."""
        gradient = probability(score) - float(is_spam)
        self._step(slots, gradient, slots.size, 1, SPAM if is_spam else HAM)
        return gradient

    def forget(self, slots: Slots, is_spam: bool, gradient: float) -> None:
        """Undo `learn`: counts exactly; weights exactly when no slot was learned since, else nearly."""
        self._step(slots, gradient, slots.size, -1, SPAM if is_spam else HAM)

    def adjust(self, slots: Slots, gradient: float, size: int) -> None:
        """Move the weights of some slots, whose sum was divided by the root of `size`; counts stay."""
        self._step(slots, gradient, size, 1)

    def readjust(self, slots: Slots, gradient: float, size: int) -> None:
        """Undo `adjust` as `forget` undoes `learn`."""
        self._step(slots, gradient, size, -1)

    def _step(self, slots: Slots, gradient: float, size: int, sign: int, column: int | None = None) -> None:
        if self.state is None:
            raise RuntimeError("this model is for scoring only")
        if slots.size == 0:
            return
        records = self.state.read(slots)
        slope = np.float32(gradient / math.sqrt(size))
        square = slope * slope
        if sign > 0:
            records[:, SQUARES] += square
        root = np.sqrt(records[:, SQUARES] + np.float32(self.options.first_squares))
        records[:, WEIGHT] -= np.float32(sign * self.options.step) * slope / root
        if column is not None:
            records[:, column] += sign
        if sign < 0:
            records[:, SQUARES] -= square
            np.maximum(records[:, SQUARES : HAM + 1], 0, out=records[:, SQUARES : HAM + 1])
        self.state.write(slots, records)
        self.values[slots] = fold(self.options, records)


def fold(options: Options, records: Floats) -> Floats:
    """Return the value of each record: 0 for a slot that no example had, never 0 for another."""
    a, c = np.float32(options.smoothing), np.float32(options.bayes)
    spam, ham = records[:, SPAM], records[:, HAM]
    value: Floats = c * np.log((spam + a) / (ham + a)) + records[:, WEIGHT]
    value[value == 0] = _SEEN
    value[spam + ham <= 0] = 0
    return value


def probability(score: float) -> float:
    """Return the probability of spam of a log-odds score, without overflow."""
    if score >= 0:
        return 1 / (1 + math.exp(-min(score, 700)))
    return math.exp(max(score, -700)) / (1 + math.exp(max(score, -700)))
