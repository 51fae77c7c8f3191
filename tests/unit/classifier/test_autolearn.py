"""Which messages are learned without a label: enough score, enough different evidence, a balance of the classes."""

import pytest

from filterproxy.classifier.autolearn import AutolearnConfig, choose
from filterproxy.classifier.learner import Examples
from filterproxy.core.check import Evidence
from filterproxy.core.scan_result import Autolearn
from filterproxy.core.symbol import ScoredSymbol

CONFIG = AutolearnConfig(enabled=True)
SPAM = (("RBL", 5, "dnslists"), ("URL", 5, "dnslists"), ("PHRASE", 3, "rules"))
HAM = (("SPF_PASS", -0.2, "spf"), ("DMARC_PASS", -0.5, "dmarc"))


def decide(*found: tuple[str, float, str], learned: Examples | None = None, fired: tuple[str, ...] = ()) -> Autolearn:
    evidence = [Evidence(ScoredSymbol(name, score, (), ""), check) for name, score, check in found]
    return choose(CONFIG, evidence, (*(name for name, _, _ in found), *fired), learned or Examples())


def test_sure_spam_and_ham() -> None:
    assert decide(*SPAM) is Autolearn.SPAM
    assert decide(*HAM) is Autolearn.HAM


def test_what_is_not_sure() -> None:
    assert decide() is Autolearn.NO
    assert decide(*SPAM[:2]) is Autolearn.NO
    assert decide(*HAM[:1]) is Autolearn.NO


def test_one_check_alone_is_not_enough_however_loud() -> None:
    assert decide(("A", 50, "rules"), ("B", 50, "rules"), ("C", 50, "rules")) is Autolearn.NO
    assert decide(("A", -5, "rules"), ("B", -5, "rules")) is Autolearn.NO


def test_symbols_without_a_score_are_no_evidence() -> None:
    assert decide(("A", 20, "rules"), ("B", 0, "spf"), ("C", 0, "dkim")) is Autolearn.NO


def test_the_classifier_may_object_to_ham() -> None:
    assert decide(*HAM, fired=("BAYES_SPAM",)) is Autolearn.NO
    assert decide(*HAM, fired=("BAYES_HAM",)) is Autolearn.HAM


@pytest.mark.parametrize(
    ("learned", "expected"),
    [
        (Examples(19, 0), Autolearn.SPAM),
        (Examples(20, 0), Autolearn.NO),
        (Examples(299, 100), Autolearn.SPAM),
        (Examples(300, 100), Autolearn.NO),
        (Examples(10, 1000), Autolearn.SPAM),
    ],
)
def test_the_larger_class_waits_for_the_smaller(learned: Examples, expected: Autolearn) -> None:
    assert decide(*SPAM, learned=learned) is expected
    mirrored = Autolearn.HAM if expected is Autolearn.SPAM else Autolearn.NO
    assert decide(*HAM, learned=Examples(learned.ham, learned.spam)) is mirrored
