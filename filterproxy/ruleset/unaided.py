"""Expressions without literals: tried many at a time, so that only those that do match are tried by themselves.

The rule: it may name too many expressions, never too few. A set of RE2 finds all its matching expressions in one pass,
with an automaton that it builds while it reads; sets are small, so that the automaton stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import re2

from filterproxy.ruleset.facts import Facts, Field
from filterproxy.ruleset.limited import LimitedExpression
from filterproxy.ruleset.nodes import Pattern

_SET_SIZE = 32
_MOST_INSTRUCTIONS = 3000
_FEWEST = 3
_MEMORY = 16 << 20


@dataclass(frozen=True, slots=True)
class _Set:
    """Some expressions over one field."""

    field: Field
    numbers: tuple[int, ...]
    compiled: Any

    def matching(self, facts: Facts) -> Iterator[int]:
        """Yield the numbers of the expressions that match a text of the field."""
        for data in _texts(self.field, facts):
            for index in self.compiled.Match(data) or ():
                yield self.numbers[index]


def _texts(of: Field, facts: Facts) -> list[bytes]:
    """Return the texts to search: of a split text all pieces together, each on a line of its own."""
    if of.split:
        return [joined] if (joined := facts.joined(of)) else []
    return [value.data for item in facts.values(of) for value in item]


class UnaidedExpressions:
    """The expressions that can be tried together; `numbers` are theirs."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        by_field: dict[Field, list[Pattern]] = defaultdict(list)
        for pattern in patterns:
            if _fits(pattern):
                by_field[pattern.field].append(pattern)
        self._sets = [made for of, found in by_field.items() if len(found) >= _FEWEST for made in _sets(of, found)]
        self.numbers = frozenset(number for item in self._sets for number in item.numbers)

    def candidates(self, facts: Facts) -> set[int]:
        """Return the numbers of the expressions that may match."""
        return {number for item in self._sets for number in item.matching(facts)}

    def work(self, facts: Facts) -> int:
        """Return how many bytes are searched for one message."""
        return sum(len(data) for item in self._sets for data in _texts(item.field, facts))


def _fits(pattern: Pattern) -> bool:
    of = pattern.field
    if pattern.literals.texts or not pattern.linear or of.costly or not of.target.one_text:
        return False
    return pattern.across is not None if of.split else True


def _instructions(pattern: Pattern) -> int:
    itself = pattern.regex.wider if isinstance(pattern.regex, LimitedExpression) else pattern.regex
    compiled = pattern.across or itself
    return 0 if compiled is None else int(compiled.programsize)


def _sets(of: Field, patterns: list[Pattern]) -> Iterator[_Set]:
    """Yield sets of the patterns, but for those that are too large to share one."""
    some: list[Pattern] = []
    size = 0
    for pattern in patterns:
        instructions = _instructions(pattern)
        if instructions > _MOST_INSTRUCTIONS:
            continue
        if len(some) >= _SET_SIZE or size + instructions > _MOST_INSTRUCTIONS:
            yield _compile(of, some)
            some, size = [], 0
        some.append(pattern)
        size += instructions
    if some:
        yield _compile(of, some)


def _compile(of: Field, patterns: list[Pattern]) -> _Set:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY
    if of.raw:
        options.encoding = re2.Options.Encoding.LATIN1
    compiled = re2.Set.SearchSet(options)
    for pattern in patterns:
        compiled.Add(pattern.across.pattern.decode() if of.split else pattern.linear)
    compiled.Compile()
    return _Set(of, tuple(pattern.number for pattern in patterns), compiled)
