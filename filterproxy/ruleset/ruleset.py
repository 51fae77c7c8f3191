"""A loaded ruleset: what it declares, and what it says of a message.

The rule: it never changes after loading, but for the entries of its list files, which are read again when they change;
so one ruleset may be asked about many messages at once.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from filterproxy.config.yaml_loader import KeyPath, YamlDocument
from filterproxy.core.action import Action
from filterproxy.core.composite import Composite
from filterproxy.core.errors import ConfigError
from filterproxy.core.symbol import Symbol
from filterproxy.core.transaction import Transaction
from filterproxy.ruleset.composites import Reference, unknown_symbols
from filterproxy.ruleset.facts import DEFAULT_LIMITS, Facts, Field, TextLimits
from filterproxy.ruleset.limited import LimitedExpression, TimeBudget
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.nodes import Evidence, Pattern, Rule, Run
from filterproxy.ruleset.prefilter import Places, Prefilter
from filterproxy.ruleset.schema import Match, Samples
from filterproxy.ruleset.sights import Sight, sights
from filterproxy.ruleset.unaided import UnaidedExpressions

# Program size times text length: beyond it one expression alone may take long, when RE2 cannot keep its automaton.
_SLOW = 32_000_000
# Bytes that sets of expressions read: their automatons take most of the time while they are new.
_LONG = 64 * 1024
TIME_LIMIT = Symbol("RULES_TIME_LIMIT", 0.0, "Rules with look-around had too little time and may have missed something")
MAX_OPTION = 60
MAX_OPTIONS = 5


class Hit(NamedTuple):
    """A rule that matched, and what it saw: shortened texts of the message, as they are (not escaped)."""

    name: str
    evidence: Evidence


@dataclass(frozen=True)
class Tested:
    """A rule's own tests, and where they are written."""

    name: str
    match: Match
    samples: Samples
    document: YamlDocument
    path: KeyPath


@dataclass(slots=True)
class Work:
    """What is left to do for one message: asking the rules that may match, and whether a step may take long.

    It can be done in several runs, one after the other in any threads; `hits` and `late` are what came out so far.
    """

    run: Run
    slow: bool
    hits: list[Hit] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    steps: Iterator[None] | None = None


@dataclass(eq=False, repr=False)
class RuleSet:
    """Rules, composites and lists of some files."""

    rules: tuple[Rule, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    composites: tuple[Composite, ...] = ()
    forced_actions: Mapping[str, Action] = field(default_factory=dict)
    list_files: tuple[ListFile, ...] = ()
    references: tuple[Reference, ...] = ()
    tests: tuple[Tested, ...] = ()
    limits: TextLimits = DEFAULT_LIMITS
    patterns: tuple[Pattern, ...] = ()
    notes: tuple[ConfigError, ...] = ()
    group_limits: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[Rule, ...] = ()
    envelope_lists: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        self._matcher = _Matcher(self.rules, self.patterns)
        self._envelope_patterns = [pattern for item in self.envelope_lists for pattern in item.node.patterns()]

    def match(self, transaction: Transaction, now: datetime) -> list[Hit]:
        """Return the rules that match the transaction's message; `now` is the time that its Date is compared with.

        Where expressions found no time left, TIME_LIMIT names their rules.
        """
        return self.finish(self.begin(transaction, now))

    def begin(self, transaction: Transaction, now: datetime) -> Work:
        """Read the message and look for literals: the part that is always fast."""
        return self._matcher.begin(Facts(transaction, now, self.limits))

    def finish(self, work: Work) -> list[Hit]:
        """Return the rules that match; `work.slow` says when this may take long."""
        self._matcher.advance(work, math.inf)
        return work.hits

    def advance(self, work: Work, seconds: float) -> bool:
        """Do a part of the work in about that time; tell whether `work.hits` is complete."""
        return self._matcher.advance(work, seconds)

    def trace(self, transaction: Transaction, now: datetime) -> dict[str, tuple[Sight, ...]]:
        """Return where each rule that matches saw what, in full; slower than `match`, for people who ask why."""
        work = self.begin(transaction, now)
        matching = {hit.name for hit in self.finish(work)}
        return {
            rule.name: tuple(dict.fromkeys(sights(rule.node, work.run))) for rule in self.rules if rule.name in matching
        }

    def match_envelope(self, transaction: Transaction, now: datetime) -> list[Hit]:
        """Return the lists that hold the client, the envelope sender or a recipient; needs no message."""
        candidates: dict[int, Places] = {pattern.number: None for pattern in self._envelope_patterns}
        run = Run(Facts(transaction, now, self.limits), candidates, TimeBudget(self.limits.seconds))
        found = ((item.name, run.ask(item)) for item in self.envelope_lists)
        return [Hit(name, shortened(evidence)) for name, evidence in found if evidence is not None]

    def match_parts(self, transaction: Transaction, now: datetime) -> list[Hit]:
        """Return the parts that hold: what rules may read of the message, whether or not they do."""
        work = self.begin(transaction, now)
        self._matcher.search_unaided(work)
        found = ((part.name, work.run.ask(part)) for part in self.parts)
        return [Hit(name, shortened(evidence)) for name, evidence in found if evidence is not None]

    def unknown_symbols(self, known: Collection[str]) -> list[ConfigError]:
        """Return an error for each symbol that a composite names and neither this ruleset nor `known` has."""
        own = {symbol.name for symbol in self.symbols} | {composite.name for composite in self.composites}
        return unknown_symbols(self.references, own | set(known))

    def refresh_lists(self) -> list[str]:
        """Read changed list files again; return what went wrong with those that keep their last entries."""
        problems: list[str] = []
        for item in self.list_files:
            try:
                item.refresh()
            except ConfigError as error:
                problems.append(str(error))
        return problems


class _Matcher:
    """Which rules to ask: those whose expressions the prefilter named, and those that need none."""

    def __init__(self, rules: Iterable[Rule], patterns: Iterable[Pattern]) -> None:
        self._always: list[Rule] = []
        self._woken: dict[int, list[Rule]] = defaultdict(list)
        for rule in rules:
            wake = rule.node.wake()
            if wake is None:
                self._always.append(rule)
            for number in wake or ():
                self._woken[number].append(rule)
        patterns = tuple(patterns)
        self._sizes = {pattern.number: _size(pattern) for pattern in patterns}
        self._unaided = UnaidedExpressions(patterns)
        together = self._unaided.numbers
        indexed = [pattern for pattern in patterns if not pattern.field.costly and pattern.number not in together]
        self._costly: dict[int, Places] = {pattern.number: None for pattern in patterns if pattern.field.costly}
        self._confirmable = {
            p.number: p for p in indexed if p.field.target.one_text and p.field.within is None and not p.limited
        }
        self._numbers = [pattern.number for pattern in indexed]
        self._fields: list[Field] = list(dict.fromkeys(_searched(pattern.field) for pattern in indexed))
        segments = {of: segment for segment, of in enumerate(self._fields)}
        searched = [segments[_searched(pattern.field)] for pattern in indexed]
        self._prefilter = Prefilter(zip(searched, (p.literals.keys for p in indexed), strict=True))
        # Places in a longer text say nothing about its pieces.
        self._segments = [segments[p.field] if p.field.within is None else None for p in indexed]

    def begin(self, facts: Facts) -> Work:
        """Return what the prefilter found."""
        folded = [facts.folded(of) for of in self._fields]
        candidates = self._costly.copy()
        for number, places in self._prefilter.candidates([text for text, _ in folded]).items():
            segment = self._segments[number]
            candidates[self._numbers[number]] = places if segment is not None and folded[segment][1] else None
        length = max((len(text) for text, _ in folded), default=0)
        slow = any(self._sizes[number] * length > _SLOW for number in candidates) or self._unaided.work(facts) > _LONG
        return Work(Run(facts, candidates, TimeBudget(facts.limits.seconds)), slow)

    def search_unaided(self, work: Work) -> None:
        """Add the expressions without literals that may match."""
        work.run.candidates.update(dict.fromkeys(self._unaided.candidates(work.run.facts)))

    def advance(self, work: Work, seconds: float) -> bool:
        """Go on with the work until it is done, which is told, or the time is up."""
        if work.steps is None:
            work.steps = self._steps(work)
        until = time.perf_counter() + seconds
        return not any(time.perf_counter() > until for _ in work.steps)

    def _steps(self, work: Work) -> Iterator[None]:
        """Drop expressions that do not match, then ask the rules that may match, and those that need none."""
        yield from self._drop_unconfirmed(work.run)
        self.search_unaided(work)
        yield
        rules = dict.fromkeys(self._always)
        rules |= {rule: None for number in sorted(work.run.candidates) for rule in self._woken.get(number, ())}
        for rule in rules:
            self._ask(rule, work)
            yield
        if work.late:
            work.hits.append(Hit(TIME_LIMIT.name, tuple(work.late[:MAX_OPTIONS])))

    def _drop_unconfirmed(self, run: Run) -> Iterator[None]:
        """Drop expressions over one text that do not match it, so that no rule need ask; a step for each."""
        for number, places in list(run.candidates.items()):
            pattern = self._confirmable.get(number) if places else None
            value = pattern and run.facts.only_text(pattern.field)
            if pattern and value and places:
                if not pattern.confirm(value, places, run):
                    del run.candidates[number]
                yield

    def _ask(self, rule: Rule, work: Work) -> None:
        run = work.run
        refused = run.budget.refused
        evidence = run.ask(rule)
        if evidence is not None:
            work.hits.append(Hit(rule.name, shortened(evidence)))
        if run.budget.refused > refused:
            work.late.append(rule.name)


def _size(pattern: Pattern) -> float:
    """Return how much work one byte of text may be: the program's size, no bound when it needs a time limit."""
    return math.inf if isinstance(pattern.regex, LimitedExpression) else pattern.regex.programsize


def _searched(of: Field) -> Field:
    """Return the field in whose texts the literals of an expression over this field are looked for."""
    return of.within or of


def shortened(evidence: Evidence) -> Evidence:
    """Return the first few texts of the evidence, each short and on one line."""
    texts = dict.fromkeys(_short(text) for text in evidence[: 4 * MAX_OPTIONS])
    return tuple(text for text in texts if text)[:MAX_OPTIONS]


def _short(text: str) -> str:
    line = " ".join(text[: 4 * MAX_OPTION].split())
    return line if len(line) <= MAX_OPTION and len(text) <= 4 * MAX_OPTION else line[: MAX_OPTION - 1] + "…"
