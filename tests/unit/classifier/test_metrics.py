"""TREC's measures, on rows whose answer is known by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from filterproxy.classifier.metrics import measure, missed_at
from filterproxy.classifier.rows import Rows
from filterproxy.classifier.threshold import Class


def rows(labels: str, scores: list[float], classes: list[Class] | None = None) -> Rows:
    given: list[Class] = classes or ["spam" if score > 0 else "ham" for score in scores]
    return Rows(np.array([label == "s" for label in labels]), given, np.array(scores, float))


def test_perfect_separation() -> None:
    measures = measure(rows("shsh", [3, -3, 4, -4]))
    assert measures.roca == pytest.approx(0)
    assert (measures.hm, measures.sm, measures.sm_at["0.1%"]) == (0, 0, 0)


def test_roca_is_the_share_of_pairs_in_the_wrong_order() -> None:
    # Of 2 x 3 pairs one is wrong: ham at 2 lies above spam at 1.
    measures = measure(rows("sshhh", [1, 3, 2, -1, -2]))
    assert measures.roca == pytest.approx(100 / 6)


def test_ties_count_half() -> None:
    assert measure(rows("sh", [1, 1])).roca == pytest.approx(50)


def test_misclassification_and_its_logistic_average() -> None:
    labels, scores = "s" * 10 + "h" * 10, [1.0] * 8 + [-1.0] * 2 + [-1.0] * 9 + [1.0]
    measures = measure(rows(labels, scores))
    assert (measures.hm, measures.sm) == (pytest.approx(10), pytest.approx(20))
    # odds 1/9 and 1/4: their geometric mean is 1/6, a rate of 1/7.
    assert measures.lam == pytest.approx(100 / 7)


def test_missed_spam_at_a_ham_loss() -> None:
    labels = "h" * 1000 + "s" * 4
    scores = [-1.0] * 998 + [5.0, 6.0] + [7.0, 5.5, 4.0, 3.0]
    measures = measure(rows(labels, scores))
    # One ham in a thousand may be lost: the threshold lies between 5 and 6.
    assert measures.sm_at["0.1%"] == pytest.approx(50)
    assert measures.sm_at["1%"] == pytest.approx(0)


def test_unsure_spam_is_missed_and_unsure_ham_is_not_lost() -> None:
    measures = measure(rows("sh", [9, 9], ["unsure", "unsure"]))
    assert (measures.unsure, measures.hm, measures.sm) == (2, 0, 100)


def test_one_class_has_no_roc() -> None:
    measures = measure(rows("sss", [1, 2, 3]))
    assert (measures.roca, measures.lam, measures.hm, measures.sm_at) == (None, None, None, {})


def test_calibration() -> None:
    certain = measure(rows("sh", [50, -50]))
    assert certain.calibration_error == pytest.approx(0, abs=1e-6)
    wrong = measure(rows("sh", [-50, 50]))
    assert wrong.calibration_error == pytest.approx(100, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_of_scikit_learn(seed: int) -> None:
    source = np.random.default_rng(seed)
    is_spam = source.random(500) < 0.4
    # Rounded, so that there are ties.
    found = Rows(is_spam, ["spam"] * 500, np.round(source.normal(size=500) + 2 * is_spam, 1))
    assert measure(found).roca == pytest.approx(100 * (1 - roc_auc_score(is_spam, found.scores)))
    lost, caught, _ = roc_curve(is_spam, found.scores, drop_intermediate=False)
    for share in (0.001, 0.01, 0.1, 1.0):
        assert missed_at(found, share) == pytest.approx(100 * (1 - caught[lost <= share].max()))
