"""The estimators: scikit-learn's own checks, and the same scores as the classifier itself."""

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

from filterproxy.classifier.comparison import PEERS, PeerModel
from filterproxy.classifier.estimator import BayesLogisticClassifier, MessageClassifier, MessageVectorizer
from filterproxy.classifier.features import TABLE_BITS, VIEWS
from filterproxy.classifier.learner import Examples, Learner, Options
from filterproxy.classifier.model import Model
from filterproxy.classifier.reading import features_of
from tests.unit.classifier.mail import make_mail

MAILS = [make_mail(number, number % 2 == 0) for number in range(40)]
LABELS = np.array(["spam" if number % 2 == 0 else "ham" for number in range(40)])


# Left out: what needs pandas or SCIPY_ARRAY_API, which this project does not use. MessageVectorizer and
# MessageClassifier take messages and no matrices, so that no check applies to them.
LEFT_OUT = {"check_classifier_data_not_an_array", "check_array_api_input"}
CHECKS = [
    (estimator, check)
    for estimator, check in estimator_checks_generator(BayesLogisticClassifier())
    if check.func.__name__ not in LEFT_OUT
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    assert check(estimator) is None


@pytest.mark.parametrize("view", VIEWS)
def test_a_pipeline_scores_like_a_learner_of_the_view(view: str) -> None:
    pipeline = make_pipeline(MessageVectorizer(view), BayesLogisticClassifier()).fit(MAILS[:20], LABELS[:20])
    learner, examples = Learner.empty(Options(), TABLE_BITS[view]), Examples()
    for raw, label in zip(MAILS[:20], LABELS[:20], strict=True):
        slots = features_of(raw).view(view)
        learner.learn(slots, bool(label == "spam"), learner.score(slots, examples))
        examples.count(bool(label == "spam"))
    expected = [learner.score(features_of(raw).view(view), examples) for raw in MAILS[20:]]
    np.testing.assert_allclose(pipeline.decision_function(MAILS[20:]), expected, rtol=1e-6)


def test_the_message_classifier_is_the_model() -> None:
    classifier, model = MessageClassifier(), Model.empty()
    for begin in (0, 10):
        classifier.partial_fit(MAILS[begin : begin + 10], LABELS[begin : begin + 10])
    for raw, label in zip(MAILS[:20], LABELS[:20], strict=True):
        model.learn(features_of(raw), bool(label == "spam"))
    expected = [model.score(features_of(raw)) for raw in MAILS[20:]]
    np.testing.assert_allclose(classifier.decision_function(MAILS[20:]), expected)
    assert (classifier.predict(MAILS[20:]) == LABELS[20:]).all()
    np.testing.assert_allclose(classifier.predict_proba(MAILS[20:]).sum(axis=1), 1)


def test_cross_validation_and_calibration_work() -> None:
    rows = MessageVectorizer("words").transform(MAILS)
    assert cross_val_score(BayesLogisticClassifier(), rows, LABELS, cv=4).mean() == 1
    calibrated = CalibratedClassifierCV(BayesLogisticClassifier(), cv=3).fit(rows, LABELS)
    assert (calibrated.predict(rows) == LABELS).all()


def test_partial_fit_takes_its_classes() -> None:
    classifier = MessageClassifier().partial_fit(MAILS[:1], LABELS[:1], classes=["ham", "spam"])
    assert classifier.classes_.tolist() == ["ham", "spam"]
    with pytest.raises(ValueError, match="not among the classes"):
        classifier.partial_fit(MAILS[:1], ["eggs"])


def test_unknown_view() -> None:
    with pytest.raises(ValueError, match="view must be one of"):
        MessageVectorizer("eggs").fit(MAILS)


@pytest.mark.parametrize("name", PEERS)
def test_peers_learn_online(name: str) -> None:
    peer = PeerModel(name)
    assert peer.score(features_of(MAILS[0])) == 0
    for raw, label in zip(MAILS[:30], LABELS[:30], strict=True):
        before = peer.score(features_of(raw))
        assert peer.learn(features_of(raw), bool(label == "spam")).score == before
    called = np.array([peer.score(features_of(raw)) > 0 for raw in MAILS[30:]])
    assert (called == (LABELS[30:] == "spam")).mean() >= 0.9
