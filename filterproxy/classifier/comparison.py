"""scikit-learn's own classifiers behind the interface of our model, to compare with.

The rule: they see the words of header and body, hashed into a table small enough for learners that touch all of it for
each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB

from filterproxy.classifier.features import Features
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.linear_model import BITS, LinearModel, columns
from filterproxy.classifier.model import Learned
from filterproxy.classifier.threshold import HamScores, Threshold

_LARGEST = 1e9
PEERS: Mapping[str, Callable[[], Any]] = {
    "multinomial-nb": MultinomialNB,
    "complement-nb": ComplementNB,
    "sgd": lambda: SGDClassifier(loss="log_loss", random_state=0),
}


class PeerModel:
    """One of PEERS, learning online; what Model offers for an evaluation, and nothing more."""

    def __init__(self, name: str) -> None:
        self._name, self._estimator = name, PEERS[name]()
        self.examples = Examples()
        self.ham_scores = HamScores()

    def score(self, features: Features) -> float:
        """Return the log-odds of spam; 0 before anything was learned."""
        if not self.examples.spam + self.examples.ham:
            return 0.0
        if hasattr(self._estimator, "decision_function"):
            score = float(self._estimator.decision_function(_row(features))[0])
        else:
            ham, spam = self._estimator.predict_joint_log_proba(_row(features))[0]
            score = float(spam - ham)
        # A class without examples has log-probabilities without bounds.
        return min(max(score, -_LARGEST), _LARGEST) if score == score else 0.0

    def learn(self, features: Features, is_spam: bool) -> Learned:
        """Learn one message."""
        score = self.score(features)
        self._estimator.partial_fit(_row(features), [is_spam], classes=[False, True])
        self.examples.count(is_spam)
        if not is_spam:
            self.ham_scores.add(score)
        return Learned(score, ())

    def threshold(self) -> Threshold:
        """Return what decides between spam and ham now."""
        return Threshold.of(self.examples, self.ham_scores)

    def export(self) -> LinearModel:
        """Return what was learned as data; all of PEERS are linear. With one class alone nothing is."""
        if not (self.examples.spam and self.examples.ham):
            return LinearModel(self._name, np.zeros(1 << BITS, np.float32), 0.0, self.examples)
        if hasattr(self._estimator, "coef_"):
            weights, intercept = self._estimator.coef_[0], float(self._estimator.intercept_[0])
        else:
            ham, spam = self._estimator.feature_log_prob_
            # With two classes ComplementNB has no priors.
            priors = self._estimator.class_log_prior_ if isinstance(self._estimator, MultinomialNB) else (0.0, 0.0)
            weights, intercept = spam - ham, float(priors[1] - priors[0])
        return LinearModel(self._name, weights.astype(np.float32), intercept, self.examples)


def _row(features: Features) -> sparse.csr_matrix:
    found = columns(features).astype(np.int64)
    return sparse.csr_matrix((np.ones(found.size), found, np.array([0, found.size])), shape=(1, 1 << BITS))
