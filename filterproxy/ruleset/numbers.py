"""Comparisons of numbers as rules write them: `3`, `">= 2"`, `"> 10KB"`, or a list of them that all hold."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from filterproxy.core.values import parse_seconds, parse_size

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISON = re.compile(r"\s*(|=|!=|<=?|>=?)\s*(-?)\s*(\d[\d.]*\s*[a-zA-Z]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class Numbers:
    """A set of numbers, given by comparisons that all hold; from `enough` on nothing changes any more."""

    comparisons: tuple[tuple[str, float], ...]
    enough: int = field(init=False)

    def __post_init__(self) -> None:
        steps = (math.ceil(b) if sign in (">=", "<") else math.floor(b) + 1 for sign, b in self.comparisons)
        object.__setattr__(self, "enough", max(steps))

    def __contains__(self, number: float) -> bool:
        return all(_OPERATORS[sign](number, bound) for sign, bound in self.comparisons)


AT_LEAST_ONE = Numbers(((">=", 1),))
NONE = Numbers((("=", 0),))


def _parse(value: Any, unit: Callable[[Any], Any], example: str) -> Any:
    if isinstance(value, Numbers):
        return value
    items = value if isinstance(value, list) and value else [value]
    return Numbers(tuple(_comparison(item, unit, example) for item in items))


def _comparison(item: Any, unit: Callable[[Any], Any], example: str) -> tuple[str, float]:
    if isinstance(item, int | float) and not isinstance(item, bool):
        return "=", item
    match = _COMPARISON.match(item) if isinstance(item, str) else None
    try:
        number = unit(match[3]) if match else None
    except ValueError:
        number = None
    if match is None or number is None:
        raise ValueError(f'{item!r} is no comparison; write a number, or for example "{example}"')
    return match[1] or "=", -number if match[2] else number


def _schema(pattern_example: str) -> WithJsonSchema:
    one = {"anyOf": [{"type": "number"}, {"type": "string", "examples": [pattern_example]}]}
    return WithJsonSchema({"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]})


Count = Annotated[Numbers, BeforeValidator(lambda value: _parse(value, _plain_number, ">= 3")), _schema(">= 3")]
Bytes = Annotated[Numbers, BeforeValidator(lambda value: _parse(value, parse_size, "> 100KB")), _schema("> 100KB")]
Duration = Annotated[Numbers, BeforeValidator(lambda value: _parse(value, parse_seconds, "> 1d")), _schema("> 1d")]


def _plain_number(text: str) -> float:
    return float(text)
