"""The classifier: five views of a message, each with its table, and the weighted mean of their log-odds.

A message is as spammy as all of it, or as its header with the stretch of its body that is most like spam, if that is
spam and more so: good words that were added to a spam, before or after it, hardly help it then.

The rule: this module needs numpy alone, for learning as for scoring; where the arrays live (memory, a model file, a
file mapped by all workers) is decided by whoever builds the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from filterproxy.classifier.features import BODY_VIEWS, HEADER_VIEWS, PIECES, TABLE_BITS, VIEWS, Features
from filterproxy.classifier.hashing import Slots
from filterproxy.classifier.learner import Examples, Learner, Options, probability
from filterproxy.classifier.stretch import Stretch, counted_sizes, find_stretch
from filterproxy.classifier.threshold import HamScores, Threshold

# What each view's log-odds count: the two of the header nearly as much as the three of the body.
WEIGHTS = {view: 1.2 if view in HEADER_VIEWS else 1.0 for view in VIEWS}
TOTAL_WEIGHT = math.fsum(WEIGHTS.values())
# No view alone is surer of spam than this.
SUREST = 10.0
# A view learns from its own error, and this much of it from that of all views together.
SHARED_ERROR = 0.25
# The stretch learns only from an error larger than this: most mail has none, and costs nothing.
SMALLEST_ERROR = 0.01


@dataclass(frozen=True, slots=True)
class Taught:
    """The pieces `first` to `last` (exclusive) of a body that were learned apart, with this gradient; 0: none were."""

    first: int = 0
    last: int = 0
    gradient: float = 0.0


@dataclass(frozen=True, slots=True)
class Learned:
    """What `learn` did: the score before, and what `forget` needs, the gradient of each view and what was apart."""

    score: float
    gradients: tuple[float, ...]
    taught: Taught = Taught()


@dataclass(frozen=True, slots=True)
class Scores:
    """The log-odds of each view, in the order of VIEWS, of a message and of its stretch that is most like spam."""

    views: tuple[float, ...]
    stretch: Stretch

    @property
    def whole(self) -> float:
        """The log-odds of all of the message."""
        return _mean(tuple(min(score, SUREST) for score in self.views))

    @property
    def part(self) -> float:
        """The log-odds of the header with the stretch alone."""
        scores = dict(zip(VIEWS, self.views, strict=True)) | dict(zip(BODY_VIEWS, self.stretch.scores, strict=True))
        return _mean(tuple(min(scores[view], SUREST) for view in VIEWS))

    @property
    def combined(self) -> float:
        """The log-odds of spam; the stretch is heard only when it is rather spam than ham."""
        return self.part if self.part > max(self.whole, 0.0) else self.whole


@dataclass(slots=True)
class Model:
    """A classifier in use. `examples` counts what all views learned; `threshold` decides what is called spam."""

    learners: Mapping[str, Learner]
    examples: Examples
    ham_scores: HamScores = field(default_factory=HamScores)

    @classmethod
    def empty(cls, options: Options | None = None, bits: Mapping[str, int] = TABLE_BITS) -> Model:
        """Return a model that has learned nothing."""
        options = options or Options()
        return cls({view: Learner.empty(options, bits[view]) for view in VIEWS}, Examples())

    def scores(self, features: Features) -> Scores:
        """Return the log-odds of each view, of the whole and of the stretch that is most like spam."""
        scores = {view: self.learners[view].score(features.view(view), self.examples) for view in HEADER_VIEWS}
        sums, sizes = np.empty((2, len(BODY_VIEWS), PIECES + 1))
        for number, (view, pieces) in enumerate(zip(BODY_VIEWS, features.pieces, strict=True)):
            added = self.learners[view].summands(features.view(view), self.examples)
            sums[number] = np.bincount(pieces, added, PIECES + 1)
            sizes[number] = np.bincount(pieces, minlength=PIECES + 1)
            scores[view] = float(sums[number].sum()) / math.sqrt(max(1, pieces.size))
        stretch = find_stretch(sums[:, 1:], sizes[:, 1:])
        return Scores(tuple(scores[view] for view in VIEWS), stretch)

    def score(self, features: Features) -> float:
        """Return the log-odds of spam; 0 for a model that has learned nothing."""
        return self.scores(features).combined

    def learn(self, features: Features, is_spam: bool) -> Learned:
        """Learn one message; each view learns from its own error and a little from that of all of them.

        The stretch that is most like spam is learned once more, from the error of its own score.
        """
        scores = self.scores(features)
        score, mean = scores.combined, _mean(scores.views)
        gradients = tuple(
            self.learners[view].learn(
                features.view(view), is_spam, (1 - SHARED_ERROR) * view_score + SHARED_ERROR * mean
            )
            for view, view_score in zip(VIEWS, scores.views, strict=True)
        )
        taught = self._teach_stretch(features, scores, is_spam)
        self.examples.count(is_spam)
        if not is_spam:
            self.ham_scores.add(score)
        return Learned(score, gradients, taught)

    def _teach_stretch(self, features: Features, scores: Scores, is_spam: bool) -> Taught:
        gradient = probability(scores.part) - float(is_spam)
        stretch = scores.stretch
        if stretch.first == stretch.last or abs(gradient) <= SMALLEST_ERROR:
            return Taught()
        taught = Taught(stretch.first, stretch.last, gradient)
        for learner, slots, size in self._stretch(features, taught):
            learner.adjust(slots, gradient, size)
        return taught

    def _stretch(self, features: Features, taught: Taught) -> Iterator[tuple[Learner, Slots, int]]:
        """Yield the learner of each of BODY_VIEWS with its slots of the stretch, and their number as it counts."""
        slots = []
        for view, pieces in zip(BODY_VIEWS, features.pieces, strict=True):
            slots.append(features.view(view)[(pieces > taught.first) & (pieces <= taught.last)])
        counted = counted_sizes(np.array([found.size for found in slots]))
        for view, found, size in zip(BODY_VIEWS, slots, counted, strict=True):
            yield self.learners[view], found, int(size)

    def forget(self, features: Features, is_spam: bool, gradients: tuple[float, ...], taught: Taught) -> None:
        """Undo one `learn` of the same message: counts exactly, weights nearly (see Learner.forget)."""
        for learner, slots, size in self._stretch(features, taught):
            learner.readjust(slots, taught.gradient, size)
        for view, gradient in zip(VIEWS, gradients, strict=True):
            self.learners[view].forget(features.view(view), is_spam, gradient)
        self.examples.count(is_spam, -1)

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham now."""
        return Threshold.of(self.examples, self.ham_scores)


def _mean(scores: tuple[float, ...]) -> float:
    """Return the weighted mean of the views' log-odds, in the order of VIEWS."""
    return math.fsum(WEIGHTS[view] * score for view, score in zip(VIEWS, scores, strict=True)) / TOTAL_WEIGHT
