"""What is known of one labelled message after all checks have seen it: the rows that statistics and tuning read.

The rule: a row says what fired and how strongly, never what the message said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
class Known:
    """A symbol that some enabled check declares: its score in use, and who declares it.

    `forces`: it forces an action, so that its score decides nothing.
    """

    name: str
    score: float
    description: str = ""
    check: str = ""
    group: str = ""
    forces: bool = False


def total(row: Row, scores: Mapping[str, float]) -> float:
    """Return the message's score by these scores."""
    return math.fsum(scores.get(name, 0.0) * weight for name, weight in row.fired.items())
