"""What is known of one labelled message after all checks have seen it: the rows that statistics and tuning read.

The rule: a row says what fired and how strongly, never what the message said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One message of a corpus: its label, and the symbols that fired with their weights (1 is the whole score).

    `forced`: a forced action or a failed check decided, so that scores did not matter.
    """

    name: str
    is_spam: bool
    fired: Mapping[str, float] = field(default_factory=dict)
    forced: bool = False


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """Symbols whose scores together add no more than a limit."""

    limit: float
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Known:
    """A symbol that some enabled check declares: its score in use, and who declares it.

    `group_limit` is the most that all symbols of its group together add to a message's score. `forces`: it forces an
    action, so that its score decides nothing. `composite`: it is made of other symbols.
    """

    name: str
    score: float
    description: str = ""
    check: str = ""
    group: str = ""
    group_limit: float = math.inf
    forces: bool = False
    composite: bool = False


def total(row: Row, scores: Mapping[str, float], limits: Iterable[GroupLimit] = ()) -> float:
    """Return the message's score by these scores, as the policy adds it."""
    parts = {name: scores.get(name, 0.0) * weight for name, weight in row.fired.items()}
    excess = (math.fsum(parts.get(name, 0.0) for name in group.members) - group.limit for group in limits)
    return math.fsum([*parts.values(), *(-over for over in excess if over > 0)])


def group_limits(known: Mapping[str, Known]) -> list[GroupLimit]:
    """Return the groups that have a limit."""
    groups = {symbol.group: symbol.group_limit for symbol in known.values() if symbol.group_limit < math.inf}
    return [
        GroupLimit(limit, frozenset(name for name, symbol in known.items() if symbol.group == group))
        for group, limit in groups.items()
    ]
