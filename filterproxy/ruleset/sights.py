"""Where in a message a rule saw what: the evidence with its places, for people who ask why a rule fired.

The rule: it tells of a rule that has matched already and decides nothing; mail itself never comes this way.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from filterproxy.ruleset.nodes import AtLeastNode, Node, Occurrences, Question, Run, Things
from filterproxy.ruleset.references import RuleReference, SumNode

MAX_SIGHTS = 100


class Sight(NamedTuple):
    """A text of the message and its place (`body`, `header from display_name`); empty when a thing is not there."""

    place: str
    text: str


def sights(node: Node, run: Run) -> Iterator[Sight]:
    """Yield what a node that holds saw, at most MAX_SIGHTS."""
    yield from islice(_sights(node, run), MAX_SIGHTS)


def _sights(node: Node, run: Run) -> Iterator[Sight]:
    if isinstance(node, Things):
        yield from _things(node, run)
    elif isinstance(node, Occurrences):
        place = _place(node.pattern.field.key)
        yield from (Sight(place, text) for text in node.matches(run) or ())
    elif isinstance(node, Question):
        yield from (Sight(_place(node.place), text) for text in node.matches(run) or ())
    else:
        for inner in _inner(node, run):
            yield from _sights(inner, run)


def _inner(node: Node, run: Run) -> Iterator[Node]:
    """Yield the nodes inside a node that hold themselves; of what must not be there nothing can be shown."""
    if isinstance(node, AtLeastNode):
        yield from (inner for inner in node.nodes if inner.matches(run) is not None)
    elif isinstance(node, RuleReference):
        yield node.named.nodes[node.name]
    elif isinstance(node, SumNode):
        yield from (inner for _, inner in node.terms if inner.matches(run) is not None)


def _things(node: Things, run: Run) -> Iterator[Sight]:
    things = run.facts.items(node.target)
    if not things:
        yield Sight(_place(node.target.key), "")
    elif not node.texts:
        yield Sight(_place(node.target.key), f"{len(things)} there")
    else:
        yield from (Sight(_place(key), text) for key, text in node.sights(run) if text)


def _place(key: str) -> str:
    """Return a field's key as people read it: `header.from.value.all` is `header from`."""
    return key.replace(".as_decoded", "").removesuffix(".all").removesuffix(".value").replace(".", " ")
