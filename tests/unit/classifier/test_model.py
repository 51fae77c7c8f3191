"""The model: the weighted mean of its views, learning online, and the threshold that follows."""

from dataclasses import replace

import pytest

from filterproxy.classifier.features import Features, extract
from filterproxy.classifier.learner import Examples
from filterproxy.classifier.model import Model
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


def test_the_score_is_the_weighted_mean_of_the_views(model: Model) -> None:
    features = replace(features_of(100, True), halves=())
    header, body, text, fields, words = model.view_scores(features)
    assert model.score(features) == pytest.approx((1.2 * (header + fields) + body + text + words) / 5.4)


@pytest.mark.parametrize("where", ["before", "after"])
def test_good_words_help_a_spam_less(model: Model, where: str) -> None:
    head, body = make_mail(100, True).split(b"\n\n", 1)
    good = (" ".join(HAM_WORDS * 6) + "\n").encode()
    padded = head + b"\n\n" + (good + body if where == "before" else body + good)
    features = extract(Message(padded))
    whole = model.score(replace(features, halves=()))
    assert model.score(features) > whole + 1
    assert model.score(features) > 0


def test_a_short_message_is_not_halved() -> None:
    assert extract(Message(b"Subject: x\n\nat noon?\n")).halves == ()


def test_a_forgotten_message_leaves_no_trace_in_scores() -> None:
    model = Model.empty()
    for number in range(10):
        model.learn(features_of(number, number % 2 == 0), number % 2 == 0)
    probe, extra = features_of(50, True), features_of(51, False)
    before = model.score(probe)
    learned = model.learn(extra, is_spam=True)
    assert model.score(probe) != before
    model.forget(extra, True, learned.gradients)
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
