"""Composites: from what is written to expressions over symbols; unknown names and circles are found.

The rule: the order is that in which they can be computed: what a composite reads comes before it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from filterproxy.config.yaml_loader import KeyPath, YamlDocument
from filterproxy.core.composite import AtLeast, Composite, Expression, Has, Not, Sum
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.schema import CompositeModel, Terms


class Reference(NamedTuple):
    """A place where a composite names a symbol."""

    composite: str
    symbol: str
    document: YamlDocument
    path: KeyPath


def build(model: CompositeModel, document: YamlDocument, path: KeyPath) -> Composite:
    """Return the composite for a model that is written at `path` of the document."""
    expression = _terms(model)
    line, column = document.mark((*path, "name"))
    origin = f"{document.file}:{line}:{column}"
    description = model.description or describe(expression)
    return Composite(model.name, model.score, description, expression, origin, model.group)


def _terms(model: Terms) -> Expression:
    parts: list[Expression] = []
    if model.symbol is not None:
        parts.append(Has(model.symbol))
    if model.all is not None:
        parts.append(_at_least(len(model.all), model.all))
    if model.any is not None:
        parts.append(_at_least(1, model.any))
    if model.not_ is not None:
        parts.append(Not(_at_least(1, model.not_)))
    if model.at_least is not None:
        parts.append(_at_least(model.at_least.n, model.at_least.of))
    if model.sum is not None:
        parts.append(Sum(tuple((term.times, _terms(term)) for term in model.sum.of), model.sum.is_))
    return parts[0] if len(parts) == 1 else AtLeast(len(parts), tuple(parts))


def _at_least(count: int, terms: tuple[Terms, ...]) -> Expression:
    return _terms(terms[0]) if count == len(terms) == 1 else AtLeast(count, tuple(map(_terms, terms)))


def describe(expression: Expression) -> str:
    """Return an expression in words: `all of (A, B)`."""
    if isinstance(expression, Has):
        return expression.symbol
    if isinstance(expression, Not):
        return f"not {describe(expression.term)}"
    if isinstance(expression, Sum):
        return "sum of (" + ", ".join(f"{weight:g} × {describe(term)}" for weight, term in expression.terms) + ")"
    inner = ", ".join(describe(term) for term in expression.terms)
    words = {1: "any of", len(expression.terms): "all of"}
    return f"{words.get(expression.count, f'at least {expression.count} of')} ({inner})"


def references(model: CompositeModel, document: YamlDocument, path: KeyPath) -> Iterator[Reference]:
    """Yield every place of the composite that names a symbol."""
    for symbol, place in _named(model, path):
        yield Reference(model.name, symbol, document, place)


def _named(model: Terms, path: KeyPath) -> Iterator[tuple[str, KeyPath]]:
    if model.symbol is not None:
        yield model.symbol, path
    lists = (("all", model.all), ("any", model.any), ("not", model.not_))
    for key, terms in lists:
        for number, term in enumerate(terms or ()):
            yield from _named(term, (*path, key, number))
    for number, term in enumerate(model.at_least.of if model.at_least else ()):
        yield from _named(term, (*path, "at_least", "of", number))
    for number, weighted in enumerate(model.sum.of if model.sum else ()):
        yield from _named(weighted, (*path, "sum", "of", number))


def unknown_symbols(found: Iterable[Reference], known: Collection[str]) -> list[ConfigError]:
    """Return an error for each name that is not among the known symbols, placed where it is written."""
    return [
        item.document.error(
            item.path, f"composite {item.composite} names {item.symbol}, which nothing declares",
            hint=_nearest(item.symbol, known),
        )
        for item in found
        if item.symbol not in known
    ]  # fmt: skip


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def in_order(composites: Iterable[Composite], found: Iterable[Reference]) -> tuple[Composite, ...]:
    """Return the composites, each after those it reads; raise ConfigError for a circle."""
    by_name = {composite.name: composite for composite in composites}
    graph = {name: set(item.expression.names()) & by_name.keys() for name, item in by_name.items()}
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle: list[str] = error.args[1][::-1]
        place = next(item for item in found if item.composite == circle[0] and item.symbol == circle[1])
        text = "composites refer to each other in a circle: " + " -> ".join(circle)
        raise place.document.error(place.path, text, hint="a composite cannot depend on itself") from error
