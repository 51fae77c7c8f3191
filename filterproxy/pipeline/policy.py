"""The policy: from what the checks said to one action. A pure function: no clock, no I/O, no state.

The rule: an action comes from a threshold, from a symbol that forces it, or from a check's `on_failure`, and the
result names which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from filterproxy.core.action import Action, action_for
from filterproxy.core.composite import Composite
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol, SymbolResult
from filterproxy.pipeline.registry import outcome_symbols


@dataclass(frozen=True)
class ScoringPolicy:
    """Thresholds and scores of one recipient policy.

    `scores` override the declared ones; `forced_actions` are the configuration's and the checks' together;
    `group_limits` are the most that symbols of a group add together; `soft_reject_on_failure` names the checks whose
    failure asks for a soft reject.
    """

    thresholds: Mapping[Action, float]
    symbols: Mapping[str, Symbol] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    forced_actions: Mapping[str, Action] = field(default_factory=dict)
    composites: tuple[Composite, ...] = ()
    soft_reject_on_failure: frozenset[str] = frozenset()
    group_limits: Mapping[str, float] = field(default_factory=dict)

    def score_of(self, name: str) -> float:
        """Return the score of one firing with weight 1."""
        symbol = self.symbols.get(name)
        return self.scores.get(name, symbol.score if symbol else 0.0)


def decide(outcomes: Iterable[CheckOutcome], policy: ScoringPolicy) -> ScanResult:
    """Return the action for these outcomes.

    A forced action wins over the score: the harshest of those forced, so that a deny entry beats an allow entry.
    A forced `no action` therefore counts only when nothing harsher is forced. A failed check with
    `on_failure: soft reject` turns any milder action, forced or not, into `soft reject`.
    """
    ended = tuple(outcomes)
    symbols = _score(ended, policy)
    score = math.fsum(symbol.score for symbol in symbols)
    forced_by, action = _forced(symbols, policy) or ("", action_for(score, policy.thresholds))
    failed_by = _failed(ended, policy)
    if failed_by and action.severity < Action.SOFT_REJECT.severity:
        action, forced_by = Action.SOFT_REJECT, ""
    else:
        failed_by = ""
    return ScanResult(
        action=action,
        score=score,
        required_score=policy.thresholds.get(Action.ADD_HEADER, math.inf),
        reject_score=policy.thresholds.get(Action.REJECT, math.inf),
        symbols=symbols,
        authentication=tuple(
            result.method for outcome in ended for result in outcome.results if result.method is not None
        ),
        outcomes=ended,
        forced_by=forced_by,
        failed_by=failed_by,
    )


def _score(outcomes: tuple[CheckOutcome, ...], policy: ScoringPolicy) -> tuple[ScoredSymbol, ...]:
    fired: dict[str, ScoredSymbol] = {}
    for outcome in outcomes:
        for result in (*outcome.results, *_outcome_result(outcome)):
            scored = _scored(result, policy)
            # A symbol that fires twice in one message counts once, with its larger score and all its options.
            fired[result.name] = _merge(fired[result.name], scored) if result.name in fired else scored
    for composite in policy.composites:
        if composite.expression.matches(fired):
            fired[composite.name] = _scored(SymbolResult(composite.name), policy)
    return tuple(_limited(fired, policy).values())


def _limited(fired: dict[str, ScoredSymbol], policy: ScoringPolicy) -> dict[str, ScoredSymbol]:
    """Return the symbols with what their groups exceed their limits by taken off, from the smallest scores on."""
    result = dict(fired)
    for group, limit in policy.group_limits.items():
        members = [s for s in fired.values() if (known := policy.symbols.get(s.name)) and known.group == group]
        excess = math.fsum(symbol.score for symbol in members) - limit
        for symbol in sorted(members, key=lambda item: item.score):
            if excess > 0 and symbol.score > 0:
                taken = min(symbol.score, excess)
                excess -= taken
                options = (*symbol.options, f"group {group} at most {limit:g}")
                result[symbol.name] = replace(symbol, score=symbol.score - taken, options=options)
    return result


def _outcome_result(outcome: CheckOutcome) -> tuple[SymbolResult, ...]:
    if outcome.status not in (Status.FAILED, Status.TIMED_OUT):
        return ()
    failed, timed_out = outcome_symbols(outcome.check)
    return (SymbolResult(failed.name if outcome.status is Status.FAILED else timed_out.name),)


def _scored(result: SymbolResult, policy: ScoringPolicy) -> ScoredSymbol:
    symbol = policy.symbols.get(result.name)
    score = policy.score_of(result.name) * result.weight
    return ScoredSymbol(result.name, score + 0.0, result.options, symbol.description if symbol else "", result.reply)


def _merge(first: ScoredSymbol, second: ScoredSymbol) -> ScoredSymbol:
    options = tuple(dict.fromkeys((*first.options, *second.options)))
    score, reply = max(first.score, second.score, key=abs), first.reply or second.reply
    return replace(first, score=score, options=options, reply=reply)


def _forced(symbols: tuple[ScoredSymbol, ...], policy: ScoringPolicy) -> tuple[str, Action] | None:
    forced = [(item.name, policy.forced_actions[item.name]) for item in symbols if item.name in policy.forced_actions]
    return max(forced, key=lambda pair: pair[1].severity, default=None)


def _failed(outcomes: tuple[CheckOutcome, ...], policy: ScoringPolicy) -> str:
    ended_badly = (Status.FAILED, Status.TIMED_OUT)
    failed = (item.check for item in outcomes if item.status in ended_badly)
    return next((name for name in failed if name in policy.soft_reject_on_failure), "")
