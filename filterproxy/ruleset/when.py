"""Under which circumstances a rule is asked at all: which way a message goes, who sends it, to whom.

The rule: circumstances are no evidence; a rule shows what it saw and not when it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.nodes import Evidence, Node, Pattern, Run, Wake
from filterproxy.ruleset.references import hits_of


def outgoing(facts: Facts) -> bool:
    """Tell whether the message comes from our own: an authenticated user or a client in local_networks."""
    return facts.transaction.local or bool(facts.transaction.user)


@dataclass(frozen=True, slots=True)
class WhenNode:
    """The node, where all circumstances hold."""

    circumstances: tuple[Node, ...]
    node: Node

    def _applies(self, run: Run) -> bool:
        return all(item.matches(run) is not None for item in self.circumstances)

    def matches(self, run: Run) -> Evidence | None:
        """Return what the node saw."""
        return self.node.matches(run) if self._applies(run) else None

    def count_hits(self, run: Run) -> float:
        """Return how often the node holds."""
        return hits_of(self.node, run) if self._applies(run) else 0.0

    def wake(self) -> Wake:
        """Return what wakes the node."""
        return self.node.wake()

    def patterns(self) -> Iterator[Pattern]:
        """Yield all expressions."""
        for item in (*self.circumstances, self.node):
            yield from item.patterns()
