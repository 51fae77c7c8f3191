"""Composites: symbols made of other symbols. Built by the rule language, applied by the policy."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Has:
    """True when the symbol fired."""

    symbol: str

    def matches(self, fired: Collection[str]) -> bool:
        """Tell whether the expression holds for the names of the fired symbols."""
        return self.symbol in fired

    def names(self) -> Iterator[str]:
        """Yield every symbol name the expression reads."""
        yield self.symbol


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True when at least `count` of the terms hold: `any` is 1, `all` is the number of terms."""

    count: int
    terms: tuple[Expression, ...]

    def matches(self, fired: Collection[str]) -> bool:
        """Tell whether the expression holds for the names of the fired symbols."""
        wanted, spare = self.count, len(self.terms) - self.count
        if wanted <= 0:
            return True
        # Most hold for few messages: the first terms that fail end the question.
        for term in self.terms:
            if term.matches(fired):
                wanted -= 1
                if not wanted:
                    return True
            elif spare:
                spare -= 1
            else:
                return False
        return False

    def names(self) -> Iterator[str]:
        """Yield every symbol name the expression reads."""
        for term in self.terms:
            yield from term.names()


@dataclass(frozen=True, slots=True)
class Not:
    """True when the term does not hold."""

    term: Expression

    def matches(self, fired: Collection[str]) -> bool:
        """Tell whether the expression holds for the names of the fired symbols."""
        return not self.term.matches(fired)

    def names(self) -> Iterator[str]:
        """Yield every symbol name the expression reads."""
        yield from self.term.names()


class NumberSet(Protocol):
    """Some numbers."""

    def __contains__(self, number: float, /) -> bool:
        """Tell whether the number is one of them."""


@dataclass(frozen=True, slots=True)
class Sum:
    """True when the weights of the terms that hold add up to one of the numbers."""

    terms: tuple[tuple[float, Expression], ...]
    numbers: NumberSet

    def matches(self, fired: Collection[str]) -> bool:
        """Tell whether the expression holds for the names of the fired symbols."""
        return math.fsum(weight for weight, term in self.terms if term.matches(fired)) in self.numbers

    def names(self) -> Iterator[str]:
        """Yield every symbol name the expression reads."""
        for _, term in self.terms:
            yield from term.names()


Expression = Has | AtLeast | Not | Sum


@dataclass(frozen=True, slots=True)
class Composite:
    """A symbol that fires when its expression over other symbols holds.

    `origin` says where it is written (`FILE:LINE:COLUMN`), empty when nowhere.
    """

    name: str
    score: float
    description: str
    expression: Expression
    origin: str = field(default="", compare=False)
    group: str = ""
