"""The classifier: three views of a message, each with its table, and the mean of their log-odds.

A message is as spammy as the more spammy of two things: all of it, and what remains without the second half of its
body. Good words added at the end of a spam do not help it then.

The rule: this module needs numpy alone, for learning as for scoring; where the arrays live (memory, a model file, a
file mapped by all workers) is decided by whoever builds the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from filterproxy.classifier.features import TABLE_BITS, VIEWS, Features
from filterproxy.classifier.learner import Examples, Learner, Options
from filterproxy.classifier.threshold import HamScores, Threshold


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
        whole = math.fsum(scores) / len(VIEWS)
        if features.beginning is None:
            return whole
        return max(whole, math.fsum(self.view_scores(features.beginning)) / len(VIEWS))

    def learn(self, features: Features, is_spam: bool) -> Learned:
        """Learn one message; each view learns from its own error."""
        scores = self.view_scores(features)
        score = self._combined(features, scores)
        gradients = tuple(
            self.learners[view].learn(features.view(view), is_spam, view_score)
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
