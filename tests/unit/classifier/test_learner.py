"""The learner: the formula it scores by, what it learns, and that learning can be undone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.classifier.learner import HAM, SPAM, Examples, Learner, Options, fold, probability

OPTIONS = Options()


def slots(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


def learn(learner: Learner, examples: Examples, features: np.ndarray, is_spam: bool) -> float:
    gradient = learner.learn(features, is_spam, learner.score(features, examples))
    examples.count(is_spam)
    return gradient


def test_an_empty_learner_knows_nothing() -> None:
    learner = Learner.empty(OPTIONS, 4)
    assert learner.score(slots(1, 2, 3), Examples()) == 0
    assert learner.score(slots(), Examples(3, 1)) == 0


def test_the_score_is_the_documented_sum() -> None:
    learner, examples = Learner.empty(OPTIONS, 4), Examples()
    for features, is_spam in ((slots(1, 2), True), (slots(2, 3), False), (slots(1, 4), True)):
        learn(learner, examples, features, is_spam)
    records = learner.state.read(slots(1, 2))
    a, c, k = OPTIONS.smoothing, OPTIONS.bayes, OPTIONS.class_smoothing
    prior = c * math.log((1 + k) / (2 + k))
    expected = sum(c * math.log((r[SPAM] + a) / (r[HAM] + a)) + r[0] + prior for r in records.astype(float))
    assert learner.score(slots(1, 2, 9), examples) == pytest.approx(expected / math.sqrt(3), rel=1e-5)
    assert learner.contributions(slots(1, 2, 9), examples).sum() == pytest.approx(
        learner.score(slots(1, 2, 9), examples)
    )


def test_it_tells_classes_apart_after_few_examples() -> None:
    learner, examples = Learner.empty(OPTIONS, 6), Examples()
    for number in range(10):
        learn(learner, examples, slots(1, 2, 20 + number), True)
        learn(learner, examples, slots(2, 3, 40 + number), False)
    assert learner.score(slots(1, 2), examples) > 1
    assert learner.score(slots(2, 3), examples) < -1


def test_a_class_with_more_examples_is_not_the_likelier_one() -> None:
    learner, examples = Learner.empty(Options(step=0.0), 6), Examples()
    for _ in range(300):
        learn(learner, examples, slots(1, 2), True)
    for _ in range(100):
        learn(learner, examples, slots(1, 3), False)
    assert abs(learner.score(slots(1), examples)) < 0.01


def test_forget_right_after_learn_restores_everything() -> None:
    learner, examples = Learner.empty(OPTIONS, 6), Examples()
    learn(learner, examples, slots(1, 2, 5), True)
    before, values = learner.state.array.copy(), learner.values.copy()
    gradient = learner.learn(slots(2, 3), False, 0.7)
    learner.forget(slots(2, 3), False, gradient)
    np.testing.assert_allclose(learner.state.array, before, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(learner.values, values, rtol=1e-5, atol=1e-6)


@given(st.lists(st.tuples(st.sets(st.integers(0, 63), min_size=1, max_size=8), st.booleans()), max_size=20))
def test_counts_are_undone_exactly_in_any_order(messages: list[tuple[set[int], bool]]) -> None:
    learner, examples = Learner.empty(OPTIONS, 6), Examples()
    done = [(slots(*sorted(f)), s, learn(learner, examples, slots(*sorted(f)), s)) for f, s in messages]
    for features, is_spam, gradient in done[::2] + done[1::2]:
        learner.forget(features, is_spam, gradient)
        examples.count(is_spam, -1)
    assert not learner.state.array[:, SPAM:].any()
    assert not learner.values.any()
    assert examples == Examples()


def test_a_seen_slot_never_has_the_value_of_an_unseen_one() -> None:
    records = np.array([[0, 0, 5, 5], [0, 0, 0, 0]], np.float32)
    seen, unseen = fold(OPTIONS, records)
    assert seen != 0
    assert unseen == 0


def test_scoring_only_learner_refuses_to_learn() -> None:
    with pytest.raises(RuntimeError, match="scoring only"):
        Learner(OPTIONS, np.zeros(8, np.float32), None).learn(slots(1), True, 0.0)


@pytest.mark.parametrize(("score", "expected"), [(0, 0.5), (1e9, 1.0), (-1e9, 0.0), (2.2, 0.9002)])
def test_probability(score: float, expected: float) -> None:
    assert probability(score) == pytest.approx(expected, abs=1e-4)
