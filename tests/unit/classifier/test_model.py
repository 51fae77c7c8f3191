"""The model: the weighted mean of its views, learning online, and the threshold that follows."""

from dataclasses import replace

import numpy as np
import pytest

from filterproxy.classifier.features import Features, extract
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.model import SUREST, Model, Scores
from filterproxy.classifier.stretch import Stretch
from filterproxy.classifier.threshold import BASE, ENOUGH, HIGHEST, HamScores, Threshold
from filterproxy.message import Message
from tests.unit.classifier.mail import HAM_WORDS, make_mail


def features_of(number: int, is_spam: bool) -> Features:
    return extract(Message(make_mail(number, is_spam)))


@pytest.fixture(scope="module")
def model() -> Model:
    model = Model.empty()
    for number in range(60):
        model.learn(features_of(number, number % 2 == 0), number % 2 == 0)
    return model


def test_unseen_mail_is_told_apart(model: Model) -> None:
    scores = {is_spam: [model.score(features_of(n, is_spam)) for n in range(100, 120)] for is_spam in (True, False)}
    assert min(scores[True]) > max(scores[False])


def without_places(features: Features) -> Features:
    """Return the features with nothing in any piece: there is no stretch, and the whole decides."""
    first, second, third = (np.zeros_like(pieces) for pieces in features.pieces)
    return replace(features, pieces=(first, second, third))


def test_the_score_of_the_whole_is_the_weighted_mean_of_the_views(model: Model) -> None:
    scores = model.scores(features_of(100, True))
    header, body, text, fields, words = scores.views
    assert scores.whole == pytest.approx((1.2 * (header + fields) + body + text + words) / 5.4)


def test_no_view_alone_is_surer_than_the_limit() -> None:
    scores = Scores((90.0, 0.0, 0.0, 0.0, 0.0), Stretch(0, 0, (0.0, 0.0, 0.0)))
    assert scores.whole == pytest.approx(1.2 * SUREST / 5.4)


def padded(where: str) -> Features:
    """Return a spam with three times as many good words before, after or on both sides of its text."""
    head, body = make_mail(100, True).split(b"\n\n", 1)
    good = (" ".join(HAM_WORDS * 18) + "\n").encode()
    before, after = good * (where != "after"), good * (where != "before")
    return extract(Message(head + b"\n\n" + before + body + after))


@pytest.mark.parametrize("where", ["before", "after", "around"])
def test_good_words_do_not_help_a_spam(model: Model, where: str) -> None:
    features = padded(where)
    alone = model.score(features_of(100, True))
    assert model.score(without_places(features)) < alone - 2
    assert model.score(features) > alone - 1 > 0


def test_a_stretch_does_not_make_spam_of_ham(model: Model) -> None:
    for number in range(100, 120):
        assert model.scores(features_of(number, False)).part < 0


@pytest.mark.parametrize("is_spam", [True, False])
def test_a_forgotten_message_leaves_no_trace_in_scores(is_spam: bool) -> None:
    model = Model.empty()
    for number in range(10):
        model.learn(features_of(number, number % 2 == 0), number % 2 == 0)
    # Learned against its looks, so that its stretch is learned apart.
    probe, extra = features_of(50, True), features_of(51, not is_spam)
    before = model.score(probe)
    learned = model.learn(extra, is_spam)
    assert learned.taught.gradient != 0
    assert model.score(probe) != before
    model.forget(extra, is_spam, learned.gradients, learned.taught)
    assert model.score(probe) == pytest.approx(before, abs=1e-4)
    assert model.examples == Examples(5, 5)


def test_without_both_classes_nothing_can_be_told() -> None:
    assert Threshold.of(Examples(9, 0), HamScores()).classify(5.0) == "unsure"
    assert Threshold.of(Examples(0, 9), HamScores()).classify(-5.0) == "unsure"


def test_early_threshold_rises_with_the_share_of_spam() -> None:
    balanced, mostly_spam = Threshold.of(Examples(10, 10), HamScores()), Threshold.of(Examples(99, 9), HamScores())
    assert balanced.value == BASE
    assert mostly_spam.value == pytest.approx(BASE + 2.302 * 50 / 59, abs=0.01)
    assert balanced.classify(2.3) == "spam"
    assert mostly_spam.classify(2.3) == "ham"


def test_the_caution_fades_as_ham_is_learned() -> None:
    values = [Threshold.of(Examples(10 * ham, ham), HamScores()).value for ham in (10, 100, 900)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < BASE + 0.2


def test_later_threshold_comes_from_ham_scores_within_bounds() -> None:
    def after(scores: list[float]) -> float:
        return Threshold.of(Examples(5000, 5000), ham_scores_of(scores)).value

    assert after([-5.0] * ENOUGH) == BASE
    assert after([9.0] * ENOUGH) == HIGHEST
    # One in a thousand may lie above.
    assert after([-5.0] * (ENOUGH - 2) + [2.75, 7.0]) == 2.75


def ham_scores_of(scores: list[float]) -> HamScores:
    found = HamScores()
    for score in scores:
        found.add(score)
    return found
