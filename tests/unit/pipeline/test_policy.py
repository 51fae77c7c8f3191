"""The policy is a pure function of outcomes and settings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.action import Action
from filterproxy.core.composite import AtLeast, Composite, Has, Not
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.pipeline.policy import ScoringPolicy, decide

SYMBOLS = {
    name: Symbol(name, score, f"about {name}") for name, score in {"A": 2.0, "B": 4.0, "ALLOW": 0, "GTUBE": 9}.items()
}
THRESHOLDS = {Action.ADD_HEADER: 6.0, Action.SOFT_REJECT: 10.0, Action.REJECT: 15.0}


def fired(*results: SymbolResult | str) -> list[CheckOutcome]:
    found = tuple(item if isinstance(item, SymbolResult) else SymbolResult(item) for item in results)
    return [CheckOutcome("test", Status.OK, found)]


def policy(**changes) -> ScoringPolicy:
    return ScoringPolicy(**({"thresholds": THRESHOLDS, "symbols": SYMBOLS} | changes))


@pytest.mark.parametrize(
    ("weight", "action"),
    [
        (1, "no action"),
        (2.9, "no action"),
        (3, "add header"),
        (5, "soft reject"),
        (7.4, "soft reject"),
        (7.5, "reject"),
    ],
)
def test_thresholds_begin_at_their_score(weight, action):
    result = decide(fired(SymbolResult("A", weight)), policy())
    assert result.action == action
    assert result.score == pytest.approx(2 * weight)
    assert result.required_score == 6.0


def test_scores_are_overridden_by_name():
    assert decide(fired("A"), policy(scores={"A": 20})).action is Action.REJECT


def test_a_symbol_that_fires_twice_counts_once_with_all_options():
    result = decide(fired(SymbolResult("A", 1, ("x",)), SymbolResult("A", 2, ("y", "x"))), policy())
    assert [(item.score, item.options) for item in result.symbols] == [(4.0, ("x", "y"))]


def test_a_forced_action_beats_the_score_and_the_harshest_wins():
    forced = {"ALLOW": Action.NO_ACTION, "GTUBE": Action.REJECT}
    allowed = decide(fired(SymbolResult("A", 50), "ALLOW"), policy(forced_actions=forced))
    assert (allowed.action, allowed.forced_by) == (Action.NO_ACTION, "ALLOW")
    denied = decide(fired("ALLOW", "GTUBE"), policy(forced_actions=forced))
    assert (denied.action, denied.forced_by) == (Action.REJECT, "GTUBE")


def test_composites_read_symbols_and_earlier_composites():
    both = Composite("BOTH", 3.0, "A and B", AtLeast(2, (Has("A"), Has("B"))))
    more = Composite("MORE", 5.0, "both, and no allow", AtLeast(2, (Has("BOTH"), Not(Has("ALLOW")))))
    symbols = SYMBOLS | {item.name: Symbol(item.name, item.score, item.description) for item in (both, more)}
    result = decide(fired("A", "B"), policy(composites=(both, more), symbols=symbols))
    assert result.score == 14.0
    assert decide(fired("A", "B", "ALLOW"), policy(composites=(both, more), symbols=symbols)).score == 9.0


def test_a_group_adds_no_more_than_its_limit():
    symbols = {
        name: Symbol(name, score, "", group)
        for name, score, group in (("A", 4, "g"), ("B", 2, "g"), ("C", 1, "g"), ("D", -1, "g"), ("E", 3, "h"))
    }
    limited = policy(symbols=symbols, group_limits={"g": 4})
    scores = {item.name: item.score for item in decide(fired("A", "B", "C", "D", "E"), limited).symbols}
    assert scores == {"A": 4, "B": 1, "C": 0, "D": -1, "E": 3}
    assert decide(fired("A", "B", "C", "D", "E"), limited).score == 7
    cut = {item.name: item.options for item in decide(fired("B", "A"), limited).symbols}
    assert cut == {"A": (), "B": ("group g at most 4",)}
    assert decide(fired("B", "C"), limited).score == 3


def test_a_failed_check_asks_for_a_soft_reject_only_where_the_configuration_says_so():
    outcomes = [CheckOutcome("dns", Status.TIMED_OUT, reason="late"), *fired("A")]
    ignored = decide(outcomes, policy())
    assert (ignored.action, ignored.failed_by) == (Action.NO_ACTION, "")
    assert "DNS_TIMED_OUT" in {item.name for item in ignored.symbols}
    strict = decide(outcomes, policy(soft_reject_on_failure=frozenset({"dns"})))
    assert (strict.action, strict.failed_by) == (Action.SOFT_REJECT, "dns")


def test_a_failed_check_does_not_soften_a_reject():
    outcomes = [CheckOutcome("dns", Status.FAILED), *fired(SymbolResult("B", 10))]
    assert decide(outcomes, policy(soft_reject_on_failure=frozenset({"dns"}))).action is Action.REJECT


def test_without_thresholds_nothing_happens():
    result = decide(fired(SymbolResult("A", 1e6)), policy(thresholds={}))
    assert result.action is Action.NO_ACTION
    assert math.isinf(result.required_score)


@given(st.lists(st.tuples(st.sampled_from(sorted(SYMBOLS)), st.floats(-100, 100)), max_size=8))
def test_a_higher_score_never_gives_a_milder_action(results):
    result = decide(fired(*(SymbolResult(name, weight) for name, weight in results)), policy())
    expected = [action for action, threshold in THRESHOLDS.items() if result.score >= threshold]
    assert result.action is max(expected, key=lambda item: item.severity, default=Action.NO_ACTION)
