"""Meta rules: their expressions over other rules, read and said in our words.

The rule: a name that can never hit counts as 0, as SpamAssassin has it; what remains means the same for every message.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_DEPTH = 100
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|(&&|\|\||[<>=!]=|[-+*/()<>!])|(\S))")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_SWAPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}


class MetaError(ValueError):
    """An expression that cannot be read, or not be said."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """How often a rule hits."""

    name: str


@dataclass(frozen=True, slots=True)
class Negation:
    """1 when the term is 0."""

    term: Meta


@dataclass(frozen=True, slots=True)
class Operation:
    """Two terms and what is between them."""

    sign: str
    left: Meta
    right: Meta


Meta: TypeAlias = "Number | Name | Negation | Operation"


def parse(text: str) -> Meta:
    """Return the expression of a meta rule; raise MetaError."""
    reader = _Reader([match[0].strip() for match in _TOKEN.finditer(text)])
    found = reader.level(0, 0)
    if reader.word:
        raise MetaError(f"unexpected {reader.word!r}")
    return found


_LEVELS = (("||",), ("&&",), ("==", "!="), (">", ">=", "<", "<="), ("+", "-"), ("*", "/"))


class _Reader:
    """Reads an expression with Perl's precedence."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    @property
    def word(self) -> str:
        """Return the next word, empty at the end."""
        return self._words[self._at] if self._at < len(self._words) else ""

    def level(self, number: int, depth: int) -> Meta:
        """Return what stands between operators that bind less than this level's."""
        if depth > MAX_DEPTH:
            raise MetaError("nested too deep")
        if number == len(_LEVELS):
            return self._term(depth)
        left = self.level(number + 1, depth)
        while self.word in _LEVELS[number]:
            sign = self._take()
            left = Operation(sign, left, self.level(number + 1, depth))
        return left

    def _take(self) -> str:
        word = self.word
        self._at += 1
        return word

    def _term(self, depth: int) -> Meta:
        word = self._take()
        if word == "!":
            return Negation(self._term(depth + 1))
        if word == "-":
            return Operation("-", Number(0), self._term(depth + 1))
        if word == "(":
            inner = self.level(0, depth + 1)
            if self._take() != ")":
                raise MetaError("a parenthesis is not closed")
            return inner
        if word[:1].isdigit():
            return Number(float(word))
        if not word[:1].isalpha() and word[:1] != "_":
            raise MetaError(f"unexpected {word!r}" if word else "it ends too early")
        if self.word == "(":
            raise MetaError(f"the function {word}()")
        return Name(word)


def names(meta: Meta) -> Iterator[str]:
    """Yield the names of the rules that the expression reads."""
    stack = [meta]
    while stack:
        item = stack.pop()
        if isinstance(item, Name):
            yield item.name
        elif isinstance(item, Negation):
            stack.append(item.term)
        elif isinstance(item, Operation):
            stack += (item.right, item.left)


def without(meta: Meta, off: Callable[[str], bool]) -> Meta:
    """Return the expression with 0 for the names that are off, made as short as it gets."""
    if isinstance(meta, Name):
        return Number(0.0) if off(meta.name) else meta
    if isinstance(meta, Negation):
        term = without(meta.term, off)
        return Number(float(not term.value)) if isinstance(term, Number) else Negation(term)
    if isinstance(meta, Operation):
        return _shortened(meta.sign, without(meta.left, off), without(meta.right, off))
    return meta


def _shortened(sign: str, left: Meta, right: Meta) -> Meta:
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(_computed(sign, left.value, right.value))
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Number):
            if sign in ("&&", "*") and not one.value:
                return Number(0.0)
            if sign == "||":
                return other if not one.value else Number(1.0)
            if (sign == "&&" and one.value) or (sign == "+" and not one.value):
                return other
    return Operation(sign, left, right)


def _computed(sign: str, left: float, right: float) -> float:
    if sign in _COMPARED:
        return float(_COMPARED[sign](left, right))
    if sign == "/" and not right:
        raise MetaError("a division by zero")
    compute: dict[str, Callable[[], float]] = {
        "||": lambda: left or right, "&&": lambda: right if left else left, "+": lambda: left + right,
        "-": lambda: left - right, "*": lambda: left * right, "/": lambda: left / right,
    }  # fmt: skip
    return float(compute[sign]())


def to_match(
    meta: Meta, rename: Callable[[str], dict[str, Any]], cost: Callable[[str], int] = lambda name: 0
) -> dict[str, Any]:
    """Return the expression as a `match`; `rename` gives the match of a rule. Raise MetaError.

    `cost` says how dear a rule is to ask: the cheapest are asked first.
    """
    return _Writer(rename, cost).match(meta)


class _Writer:
    """Writes expressions as matches."""

    def __init__(self, rename: Callable[[str], dict[str, Any]], cost: Callable[[str], int]) -> None:
        self._rename = rename
        self._cost = cost

    def match(self, meta: Meta) -> dict[str, Any]:
        """Return the match of an expression."""
        if isinstance(meta, Name):
            return self._rename(meta.name)
        if isinstance(meta, Negation):
            return {"not": self.match(meta.term)}
        if isinstance(meta, Number):
            raise MetaError("it is the same for every message")
        if meta.sign in ("&&", "||"):
            key = "all" if meta.sign == "&&" else "any"
            return {key: [self.match(term) for term in sorted(_flat(meta.sign, meta), key=self._dear)]}
        if meta.sign in _COMPARED:
            return self._comparison(meta)
        terms, constant = _linear(meta)
        if constant:
            raise MetaError("it is the same for every message")
        return {"sum": {"of": self._written(terms), "is": "> 0", "as_hits": True}}

    def _dear(self, meta: Meta) -> int:
        """Return how dear an expression is to ask; what must not hold comes last, as it ends nothing early."""
        if isinstance(meta, Name):
            return self._cost(meta.name)
        return 100 if isinstance(meta, Negation) else 50

    def _comparison(self, meta: Operation) -> dict[str, Any]:
        terms, constant = _linear(Operation("-", meta.left, meta.right))
        sign, bound = meta.sign, -constant
        if terms and all(weight < 0 for weight, _ in terms):
            terms, sign, bound = [(-weight, term) for weight, term in terms], _SWAPPED[sign], constant
        return {"sum": {"of": self._written(terms), "is": f"{'=' if sign == '==' else sign} {bound + 0.0:g}"}}

    def _written(self, terms: list[tuple[float, Meta]]) -> list[Any]:
        merged: dict[Meta, float] = {}
        for weight, term in terms:
            merged[term] = merged.get(term, 0.0) + weight
        return [_term(weight, self.match(term)) for term, weight in merged.items()]


def _flat(sign: str, meta: Meta) -> Iterator[Meta]:
    stack = [meta]
    while stack:
        item = stack.pop()
        if isinstance(item, Operation) and item.sign == sign:
            stack += (item.right, item.left)
        else:
            yield item


def _linear(meta: Meta) -> tuple[list[tuple[float, Meta]], float]:
    """Return the terms of a sum with their weights, and the constant."""
    if isinstance(meta, Number):
        return [], meta.value
    if not isinstance(meta, Operation) or meta.sign not in ("+", "-", "*", "/"):
        return [(1.0, meta)], 0.0
    left, first = _linear(meta.left)
    right, second = _linear(meta.right)
    if meta.sign in ("+", "-"):
        factor = 1.0 if meta.sign == "+" else -1.0
        return [*left, *((factor * weight, term) for weight, term in right)], first + factor * second
    if meta.sign == "*" and not left:
        left, right, first, second = right, left, second, first
    if right or (meta.sign == "/" and not second):
        raise MetaError("a product or quotient of rules")
    factor = second if meta.sign == "*" else 1.0 / second
    return [(factor * weight, term) for weight, term in left], first * factor


def _term(weight: float, match: dict[str, Any]) -> Any:
    plain = set(match) == {"rule"}
    if weight == 1:
        return match["rule"] if plain else {"match": match}
    return {**(match if plain else {"match": match}), "times": round(weight, 6)}
