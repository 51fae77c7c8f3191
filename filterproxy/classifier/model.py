"""The classifier: five views of a message, each with its table, and the weighted mean of their log-odds.

A message is as spammy as the spammiest of three things: all of it, and its header with either half of its body. Good
words added to a spam, before or after it, help it less then.

The rule: this module needs numpy alone, for learning as for scoring; where the arrays live (memory, a model file, a
file mapped by all workers) is decided by whoever builds the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from filterproxy.classifier.features import BODY_VIEWS, HEADER_VIEWS, TABLE_BITS, VIEWS, Features, Half
from filterproxy.classifier.learner import Examples, Learner, Options
from filterproxy.classifier.threshold import HamScores, Threshold

# What each view's log-odds count: the two of the header nearly as much as the three of the body.
WEIGHTS = {view: 1.2 if view in HEADER_VIEWS else 1.0 for view in VIEWS}
TOTAL_WEIGHT = math.fsum(WEIGHTS.values())
# A view learns from its own error, and this much of it from that of all views together.
SHARED_ERROR = 0.25


@dataclass(frozen=True, slots=True)
class Learned:
    """What `learn` did: the score before, and the gradient of each view, which `forget` needs."""

    score: float
    gradients: tuple[float, ...]


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

    def view_scores(self, features: Features) -> tuple[float, ...]:
        """Return the log-odds of each view, in the order of VIEWS."""
        return tuple(self.learners[view].score(features.view(view), self.examples) for view in VIEWS)

    def score(self, features: Features) -> float:
        """Return the log-odds of spam; 0 for a model that has learned nothing."""
        return self._combined(features, self.view_scores(features))

    def _combined(self, features: Features, scores: tuple[float, ...]) -> float:
        return max((_mean(scores), *(self._half_score(half, scores) for half in features.halves)))

    def _half_score(self, half: Half, scores: tuple[float, ...]) -> float:
        """Return the log-odds of the header with one half of the body, given those of the whole."""
        body = {view: self.learners[view].score(half.view(view), self.examples) for view in BODY_VIEWS}
        return _mean(tuple(body.get(view, whole) for view, whole in zip(VIEWS, scores, strict=True)))

    def learn(self, features: Features, is_spam: bool) -> Learned:
        """Learn one message; each view learns from its own error and a little from that of all of them."""
        scores = self.view_scores(features)
        score, mean = self._combined(features, scores), _mean(scores)
        gradients = tuple(
            self.learners[view].learn(
                features.view(view), is_spam, (1 - SHARED_ERROR) * view_score + SHARED_ERROR * mean
            )
            for view, view_score in zip(VIEWS, scores, strict=True)
        )
        self.examples.count(is_spam)
        if not is_spam:
            self.ham_scores.add(score)
        return Learned(score, gradients)

    def forget(self, features: Features, is_spam: bool, gradients: tuple[float, ...]) -> None:
        """Undo one `learn` of the same message: counts exactly, weights nearly (see Learner.forget)."""
        for view, gradient in zip(VIEWS, gradients, strict=True):
            self.learners[view].forget(features.view(view), is_spam, gradient)
        self.examples.count(is_spam, -1)

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham now."""
        return Threshold.of(self.examples, self.ham_scores)


def _mean(scores: tuple[float, ...]) -> float:
    """Return the weighted mean of the views' log-odds, in the order of VIEWS."""
    return math.fsum(WEIGHTS[view] * score for view, score in zip(VIEWS, scores, strict=True)) / TOTAL_WEIGHT
