"""Rules that read other rules: `rule: NAME` and `sum:`, with each rule asked at most once a message.

The rule: names are resolved when all files are read; an unknown name and a circle are errors, placed where they are
written.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol, runtime_checkable

from filterproxy.config.yaml_loader import KeyPath, YamlDocument
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.nodes import Evidence, Node, Pattern, Run, Wake
from filterproxy.ruleset.numbers import Numbers


@runtime_checkable
class Counting(Protocol):
    """A node that knows how often it holds."""

    def count_hits(self, run: Run) -> float:
        """Return how often it holds, 0 when it does not."""


def hits_of(node: Node, run: Run) -> float:
    """Return how often a node holds: 1 or 0 for one that does not count."""
    if _counts(type(node)):
        counting: Any = node
        return float(counting.count_hits(run))
    return float(node.matches(run) is not None)


@cache
def _counts(kind: type) -> bool:
    return issubclass(kind, Counting)


@dataclass(eq=False, repr=False)
class Named:
    """The rules by name, as far as they are read; what each refers to, and where that is written."""

    nodes: dict[str, Node] = field(default_factory=dict)
    uses: list[tuple[str, str, YamlDocument, KeyPath]] = field(default_factory=list)
    wakes: dict[str, Wake] = field(default_factory=dict)

    def problems(self) -> Iterator[ConfigError]:
        """Yield an error for each unknown name, and one for a circle."""
        unknown = False
        for user, name, document, path in self.uses:
            if name not in self.nodes:
                unknown = True
                yield document.error(
                    path, f"{user} names the rule {name}, which is not there", hint=self._nearest(name)
                )
        if not unknown:
            yield from self._circle()

    def _nearest(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.nodes, n=1)
        return f"did you mean {close[0]!r}?" if close else "`rule:` names a rule of these files that is enabled"

    def _circle(self) -> Iterator[ConfigError]:
        graph: dict[str, set[str]] = {}
        for user, name, _, _ in self.uses:
            graph.setdefault(user, set()).add(name)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]
            _, _, document, path = next(use for use in self.uses if use[:2] == (circle[0], circle[1]))
            text = "rules refer to each other in a circle: " + " -> ".join(circle)
            yield document.error(path, text, hint="a rule cannot depend on itself")


@dataclass(frozen=True, slots=True)
class RuleReference:
    """Another rule holds."""

    name: str
    named: Named

    def matches(self, run: Run) -> Evidence | None:
        """Return what the rule saw; it is asked once a message."""
        if self.name not in run.results:
            run.results[self.name] = None if self._sleeps(run) else self.named.nodes[self.name].matches(run)
        return run.results[self.name]

    def _sleeps(self, run: Run) -> bool:
        """Tell whether nothing in the message wakes the rule."""
        wake = self.wake()
        return wake is not None and run.candidates.keys().isdisjoint(wake)

    def count_hits(self, run: Run) -> float:
        """Return how often the rule holds."""
        known = run.counts.get(self.name)
        if known is None:
            known = 0.0 if self._sleeps(run) else hits_of(self.named.nodes[self.name], run)
            run.counts[self.name] = known
        return known

    def wake(self) -> Wake:
        """Return the expressions without one of which the rule cannot hold."""
        wakes = self.named.wakes
        if self.name not in wakes:
            wakes[self.name] = self.named.nodes[self.name].wake()
        return wakes[self.name]

    def patterns(self) -> Iterator[Pattern]:
        """Yield nothing: the expressions are the other rule's."""
        yield from ()


@dataclass(frozen=True, slots=True)
class SumNode:
    """The sum of how often nodes hold (up to a limit each), times its weight, is one of the numbers."""

    terms: tuple[tuple[float, Node], ...]
    numbers: Numbers
    limits: tuple[float, ...]
    as_hits: bool = False
    _woken: list[tuple[tuple[float, Node, float, Wake], ...]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def _sum(self, run: Run) -> float:
        if not self._woken:  # known when all rules are there
            weighted = zip(self.terms, self.limits, strict=True)
            self._woken.append(tuple((weight, node, most, node.wake()) for (weight, node), most in weighted))
        asleep = run.candidates.keys().isdisjoint
        return sum(
            weight * min(hits_of(node, run), most)
            for weight, node, most, wake in self._woken[0]
            if wake is None or not asleep(wake)
        )

    def matches(self, run: Run) -> Evidence | None:
        """Return the evidence of those that hold."""
        if self._sum(run) not in self.numbers:
            return None
        asleep = run.candidates.keys().isdisjoint
        seen = (node.matches(run) for _, node, _, wake in self._woken[0] if wake is None or not asleep(wake))
        return tuple(text for evidence in seen if evidence for text in evidence)

    def count_hits(self, run: Run) -> float:
        """Return 1, or with `as_hits` the sum, when it is one of the numbers."""
        found = self._sum(run)
        if found not in self.numbers:
            return 0.0
        return found if self.as_hits else 1.0

    def wake(self) -> Wake:
        """Return what wakes one of the terms that add to the sum, when it must exceed nothing."""
        if not all(sign in (">", ">=") for sign, _ in self.numbers.comparisons) or 0 in self.numbers:
            return None
        wakes = [node.wake() for weight, node in self.terms if weight > 0]
        found = [wake for wake in wakes if wake is not None]
        return frozenset().union(*found) if len(found) == len(wakes) else None

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions."""
        for _, node in self.terms:
            yield from node.patterns()
