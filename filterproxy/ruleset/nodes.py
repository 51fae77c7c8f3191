"""The compiled form of a match: a tree of nodes that is asked about one message.

The rule: a node that holds says what it saw. Nothing here raises, whatever the message is, and an expression is tried
only when the prefilter named it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from filterproxy.core.ports import Network, in_networks
from filterproxy.ruleset import searching
from filterproxy.ruleset.expressions import Compiled
from filterproxy.ruleset.facts import Facts, Field, Target, Value
from filterproxy.ruleset.limited import LimitedExpression, TimeBudget
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.literals import Literals
from filterproxy.ruleset.numbers import AT_LEAST_ONE, Numbers
from filterproxy.ruleset.prefilter import MAX_PLACES, Places
from filterproxy.ruleset.targets import identity

Evidence = tuple[str, ...]
Wake = frozenset[int] | None  # expressions of which one must be a candidate; None: it may hold without any


MAX_COUNTED = 10_000


@dataclass(slots=True)
class Run:
    """One message's facts, and the expressions that the prefilter says may match, with the places of their literals.

    `results` and `counts` are what is known already of rules that other rules read.
    """

    facts: Facts
    candidates: dict[int, Places]
    budget: TimeBudget
    confirmed: dict[int, str] = field(default_factory=dict)  # what expressions over an only text are known to match
    results: dict[str, Evidence | None] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def ask(self, rule: Rule) -> Evidence | None:
        """Return what a rule saw, None when it does not match; each is asked once."""
        if rule.name not in self.results:
            self.results[rule.name] = rule.node.matches(self)
        return self.results[rule.name]


@dataclass(frozen=True, eq=False, slots=True)
class Pattern:
    """One expression over one field, by its number among all.

    `linear` is what RE2 searches, if anything: the expression itself or a wider one. `across` searches all pieces of a
    split text at once. `letters`: the expression when it stands for itself.
    """

    number: int
    field: Field
    regex: Compiled
    literals: Literals
    linear: str = ""
    across: Any = None
    also: tuple[tuple[bytes, ...], ...] = dataclasses.field(init=False)
    letters: bytes = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        groups = tuple(tuple(text.encode() for text in group) for group in self.literals.also)
        object.__setattr__(self, "also", groups)
        itself = self.linear.isascii() and self.linear.isalnum() and not self.limited
        object.__setattr__(self, "letters", self.linear.encode() if itself else b"")

    @property
    def limited(self) -> bool:
        """Tell whether it needs a time limit."""
        return isinstance(self.regex, LimitedExpression)

    def reach(self, value: Value, run: Run) -> int:
        """Return how many bytes around a literal a match may lie, 0 when there is no limit."""
        literals = self.literals
        reach = literals.longest
        if not self.field.raw:  # no more bytes than characters and all that the text has besides
            reach += min(3 * reach, len(value.data) - len(value.text))
        if literals.runs or literals.gaps:
            word, gap = run.facts.longest_stretches(self.field)
            reach += literals.runs * word + literals.gaps * gap
        return reach

    def may_match(self, run: Run) -> bool:
        """Tell whether the expression may match one of the pieces of a split text: one search in all of them.

        At their ends there is a line end, so what matches a piece by itself matches here too.
        """
        if self.number not in run.candidates:
            return False
        if self.across is None:
            return True
        joined = Value("", run.facts.joined(self.field))
        return self._near(self.across, joined, run.candidates[self.number], run) is not None

    def find(self, value: Value, run: Run) -> str | None:
        """Return what it matches in the text, None when nothing or when the prefilter did not name it."""
        if self.number not in run.candidates:
            return None
        if self.number in run.confirmed:
            return run.confirmed[self.number]
        if isinstance(self.regex, LimitedExpression):
            return next(self.regex.find(value.text, value.data, run.budget), None)
        places = None if self.field.split else run.candidates[self.number]
        match = self._near(self.regex, value, places, run)
        return None if match is None else self._shown(match)

    def find_all(self, value: Value, run: Run) -> Iterator[str]:
        """Yield everything it matches in the text."""
        if isinstance(self.regex, LimitedExpression):
            return self.regex.find(value.text, value.data, run.budget)
        return map(self._shown, searching.every(self.regex, value.data))

    def count(self, value: Value, most: int, run: Run) -> int:
        """Return how many places of the text it matches, `most` when there are more."""
        if isinstance(self.regex, LimitedExpression):
            return sum(1 for _ in islice(self.find_all(value, run), most))
        if self.letters:
            return min(value.data.count(self.letters), most)
        return searching.count(self.regex, value.data, most)

    def _has_also(self, text: bytes, start: int, stop: int) -> bool:
        """Tell whether the other literals are there too, which costs less than a search."""
        for group in self.also:
            for literal in group:
                if text.find(literal, start, stop) >= 0:
                    break
            else:
                return False
        return True

    def confirm(self, value: Value, places: list[int], run: Run) -> bool:
        """Tell whether it matches the only text of its field, which has its literals at these places (or more)."""
        match = self._near(self.regex, value, places, run)
        if match is None:
            return False
        run.confirmed[self.number] = self._shown(match)
        return True

    def _near(self, regex: Any, value: Value, places: Places, run: Run) -> bytes | None:
        """Return what is matched, or None; with places of its literals only what is around them is searched."""
        data, literals = value.data, self.literals
        if not places:
            return searching.first(regex, data)
        text, _ = run.facts.folded(self.field)
        if len(places) > MAX_PLACES:
            return searching.first(regex, data) if self._has_also(text, 0, len(text)) else None
        wide = 0 if self.field.raw else len(data) - len(value.text)
        before = literals.before
        if before is not None and literals.fixed and not (before and wide):
            return searching.first_at(regex, data, [place - before for place in sorted(places)])
        lead = None if before is None else before + min(3 * before, wide)
        return self._around(regex, value, text, sorted(places), lead, run)

    def _around(
        self, regex: Any, value: Value, text: bytes, places: list[int], lead: int | None, run: Run
    ) -> bytes | None:
        """Return what is matched around the places; it begins no more than `lead` bytes before one of them."""
        data = value.data
        reach = self.reach(value, run)
        if not reach:
            if not self._has_also(text, 0, len(text)):
                return None
            return searching.first(regex, data, 0 if lead is None else max(places[0] - lead, 0))
        lead = reach if lead is None else lead
        if self.also:
            places = [place for place in places if self._has_also(text, max(place - reach, 0), place + reach)]
        if (lead + reach) * len(places) > len(data):
            return searching.first(regex, data)
        for place in places:
            found = searching.first(regex, data, place - lead, place + reach)
            if found is not None:
                return found
        return None

    def _shown(self, found: bytes) -> str:
        return found.decode("latin-1" if self.field.raw else "utf-8", "replace")


class Test(Protocol):
    """A question about one text."""

    def holds(self, value: Value, run: Run) -> str | None:
        """Return what was seen, None when the text does not pass."""


@dataclass(frozen=True, slots=True)
class PatternTest:
    """Is the expression found?"""

    pattern: Pattern

    def holds(self, value: Value, run: Run) -> str | None:
        """Return the text that the expression matches."""
        return self.pattern.find(value, run)


@dataclass(frozen=True, slots=True)
class ListTest:
    """Is the text in one of the lists?"""

    lists: tuple[ListFile, ...]

    def holds(self, value: Value, run: Run) -> str | None:
        """Return the text when it is listed."""
        return value.text if any(item.entries.has_word(value.text) for item in self.lists) else None


@dataclass(frozen=True, slots=True)
class LengthTest:
    """Has the text such a length?"""

    length: Numbers

    def holds(self, value: Value, run: Run) -> str | None:
        """Return nothing to show when the length is right."""
        return "" if len(value.text) in self.length else None


@dataclass(frozen=True, slots=True)
class NotTest:
    """Does one of the tests fail?"""

    tests: tuple[Test, ...]

    def holds(self, value: Value, run: Run) -> str | None:
        """Return the text when it does not pass all tests."""
        return value.text if any(test.holds(value, run) is None for test in self.tests) else None


class Node(Protocol):
    """A question about a message."""

    def matches(self, run: Run) -> Evidence | None:
        """Return what was seen (shortest form, possibly nothing), None when the message does not match."""

    def wake(self) -> Wake:
        """Return the expressions without one of which the node cannot hold."""

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions of the node."""


def _positive(tests: tuple[Test, ...]) -> list[Pattern]:
    return [test.pattern for test in tests if isinstance(test, PatternTest)]


def _all_patterns(tests: tuple[Test, ...]) -> Iterator[Pattern]:
    for test in tests:
        if isinstance(test, PatternTest):
            yield test.pattern
        elif isinstance(test, NotTest):
            yield from _all_patterns(test.tests)


@dataclass(frozen=True, slots=True)
class Things:
    """So many things of a target (`count`) pass all tests of all fields and all questions."""

    target: Target
    texts: tuple[tuple[Field, tuple[Test, ...]], ...] = ()
    questions: tuple[Callable[[Any], bool], ...] = ()
    count: Numbers = AT_LEAST_ONE

    def matches(self, run: Run) -> Evidence | None:
        """Count the things that pass."""
        if not all(pattern.may_match(run) for of, tests in self.texts if of.split for pattern in _positive(tests)):
            return () if 0 in self.count else None
        seen: list[str] = []
        number, enough = 0, self.count.enough
        for index, item in enumerate(run.facts.items(self.target)):
            evidence = self._passes(run, index, item)
            if evidence is None:
                continue
            number += 1
            seen += evidence
            if number >= enough:
                break
        return tuple(seen) if number in self.count else None

    def sights(self, run: Run) -> Iterator[tuple[str, str]]:
        """Yield the key of each field and what is seen in it, for every thing that passes."""
        for index, item in enumerate(run.facts.items(self.target)):
            for (of, _), seen in zip(self.texts, self._passes(run, index, item) or (), strict=False):
                yield of.key, seen

    def _passes(self, run: Run, index: int, item: Any) -> list[str] | None:
        seen: list[str] = []
        for of, tests in self.texts:
            evidence = next((s for v in run.facts.values(of)[index] if (s := _holds(tests, v, run)) is not None), None)
            if evidence is None:
                return None
            seen.append(evidence)
        return seen if all(question(item) for question in self.questions) else None

    def wake(self) -> Wake:
        """Return the first expression that every counted thing must match."""
        if 0 in self.count:
            return None
        positive = [pattern for of, tests in self.texts if not of.costly for pattern in _positive(tests)]
        positive.sort(key=lambda pattern: bool(pattern.literals.texts), reverse=True)
        return frozenset({positive[0].number}) if positive else None

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions."""
        for _, tests in self.texts:
            yield from _all_patterns(tests)


def _holds(tests: tuple[Test, ...], value: Value, run: Run) -> str | None:
    """Return what the first test saw when all hold."""
    seen = None
    for test in tests:
        evidence = test.holds(value, run)
        if evidence is None:
            return None
        seen = evidence if seen is None else seen
    return seen


@dataclass(frozen=True, slots=True)
class Occurrences:
    """So many places of one text match an expression."""

    pattern: Pattern
    count: Numbers

    def matches(self, run: Run) -> Evidence | None:
        """Count the places, as far as they matter."""
        seen = list(islice(self._places(run), min(self.count.enough, MAX_COUNTED)))
        return tuple(dict.fromkeys(seen)) if len(seen) in self.count else None

    def count_hits(self, run: Run) -> float:
        """Return how many places there are, when their number is right."""
        number = sum(1 for _ in islice(self._places(run), MAX_COUNTED))
        return number if number in self.count else 0

    def _places(self, run: Run) -> Iterator[str]:
        pattern = self.pattern
        if pattern.may_match(run):
            for item in run.facts.values(pattern.field):
                for value in item:
                    yield from pattern.find_all(value, run)

    def wake(self) -> Wake:
        """Return the expression, unless no place at all is right too."""
        return None if 0 in self.count else frozenset({self.pattern.number})

    def patterns(self) -> Iterator[Pattern]:
        """Yield the expression."""
        yield self.pattern


@dataclass(frozen=True, slots=True)
class Question:
    """Anything asked of the facts that is no text; `place` says of what, for people."""

    ask: Callable[[Facts], str | None]
    place: str = ""

    def matches(self, run: Run) -> Evidence | None:
        """Return the answer."""
        answer = self.ask(run.facts)
        return None if answer is None else (answer,)

    def wake(self) -> Wake:
        """Return None: no expression is needed."""
        return None

    def patterns(self) -> Iterator[Pattern]:
        """Yield nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class AtLeastNode:
    """At least `count` of the nodes hold: `any` is 1, `all` is their number."""

    count: int
    nodes: tuple[Node, ...]
    _woken: list[tuple[tuple[Node, Wake], ...]] = field(default_factory=list, init=False, repr=False, compare=False)

    def _awake(self, run: Run) -> list[Node] | None:
        """Return the nodes that may hold, None when they are too few."""
        if not self._woken:  # known when all rules are there
            self._woken.append(tuple((node, node.wake()) for node in self.nodes))
        spare = len(self.nodes) - self.count
        asleep = run.candidates.keys().isdisjoint
        awake: list[Node] = []
        for node, wake in self._woken[0]:
            if wake is None or not asleep(wake):
                awake.append(node)
            elif not spare:
                return None
            else:
                spare -= 1
        return awake

    def matches(self, run: Run) -> Evidence | None:
        """Return the evidence of those that hold."""
        awake = self._awake(run)
        if awake is None:
            return None
        seen: list[str] = []
        number, spare = 0, len(awake) - self.count
        for node in awake:
            evidence = node.matches(run)
            if evidence is None:
                if not spare:
                    return None
                spare -= 1
                continue
            number += 1
            seen += evidence
            if number >= self.count:
                return tuple(seen)
        return None

    def wake(self) -> Wake:
        """Return the expressions of the fewest nodes of which one must hold."""
        known = [wake for node in self.nodes if (wake := node.wake()) is not None]
        needed = len(self.nodes) - self.count + 1
        if len(known) < needed:
            return None
        return frozenset().union(*sorted(known, key=len)[:needed])

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions."""
        for node in self.nodes:
            yield from node.patterns()


@dataclass(frozen=True, slots=True)
class NotNode:
    """The node does not hold."""

    node: Node

    def matches(self, run: Run) -> Evidence | None:
        """Return no evidence: there is nothing to show."""
        return () if self.node.matches(run) is None else None

    def wake(self) -> Wake:
        """Return None: it holds when nothing is found."""
        return None

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions."""
        return self.node.patterns()


def number_question(read: Callable[[Facts], float | None], numbers: Numbers, label: str) -> Question:
    """Return the question whether a number of the message is among the numbers."""

    def ask(facts: Facts) -> str | None:
        number = read(facts)
        return f"{label} {number:g}" if number is not None and number in numbers else None

    return Question(ask, label)


def flag_question(read: Callable[[Facts], bool], wanted: bool, label: str) -> Question:
    """Return the question whether a flag of the message is set as wanted."""
    return Question(lambda facts: label if read(facts) is wanted else None, label)


def network_question(networks: tuple[Network, ...], lists: tuple[ListFile, ...]) -> Question:
    """Return the question whether the client lies in one of the networks or lists."""

    def ask(facts: Facts) -> str | None:
        address = facts.transaction.client.address
        listed = in_networks(address, networks) or any(item.entries.has_address(address) for item in lists)
        return address if listed else None

    return Question(ask, "client.ip")


def relation_question(first: str, second: str, *, same: bool) -> Question:
    """Return the question whether two identities, both there, have a value in common (or have none)."""

    def ask(facts: Facts) -> str | None:
        left, right = identity(facts, first), identity(facts, second)
        if not left or not right or bool(left & right) is not same:
            return None
        return min(left & right) if same else f"{min(left)} {min(right)}"

    return Question(ask, f"{first}, {second}")


@dataclass(frozen=True, eq=False, slots=True)
class Rule:
    """A compiled rule; its node knows what wakes it when all rules are there."""

    name: str
    node: Node
