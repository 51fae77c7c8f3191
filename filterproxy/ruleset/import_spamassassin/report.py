"""What became of each rule: the report of an import, for people and for programs.

The rule: every rule of the files is in it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from filterproxy.ruleset.import_spamassassin.statements import Place, Problem


class Fate(Enum):
    """What became of a rule."""

    TRANSLATED = "translated"
    COVERED = "covered"
    OFF = "off"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one rule. `reason` is a word for counting, `detail` what is particular about this rule."""

    name: str
    kind: str
    place: Place
    fate: Fate
    reason: str = ""
    detail: str = ""
    written_as: str = ""


@dataclass
class Report:
    """The outcomes of all rules, the lines that could not be read, and the settings that are no rules."""

    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)

    def count(self, fate: Fate) -> int:
        """Return how many rules had that fate."""
        return sum(outcome.fate is fate for outcome in self.outcomes)

    def reasons(self, fate: Fate) -> Counter[str]:
        """Return how many rules had that fate for which reason."""
        return Counter(outcome.reason for outcome in self.outcomes if outcome.fate is fate)

    def expressions(self) -> tuple[int, int]:
        """Return how many rules are regular expressions, and how many of those are translated."""
        found = [outcome for outcome in self.outcomes if outcome.kind in REGULAR and outcome.reason != SCORE_ZERO]
        return len(found), sum(outcome.fate is Fate.TRANSLATED for outcome in found)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        all_expressions, translated = self.expressions()
        return {
            "rules": len(self.outcomes),
            "counts": {fate.value: self.count(fate) for fate in Fate},
            "regular_expressions": {"rules": all_expressions, "translated": translated},
            "reasons": {fate.value: dict(self.reasons(fate).most_common()) for fate in Fate if fate is not _DONE},
            "outcomes": [_plain(outcome) for outcome in self.outcomes],
            "problems": [{"file": p.place.file, "line": p.place.line, "reason": p.reason} for p in self.problems],
            "settings": dict(sorted(self.settings.items())),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        total = len(self.outcomes)
        yield f"{total} rules"
        for fate in Fate:
            number = self.count(fate)
            yield f"  {number:5}  {fate.value} ({_percent(number, total)})"
            if fate is not _DONE:
                yield from self._reasons(fate)
        number, translated = self.expressions()
        yield f"{translated} of {number} regular expressions are translated ({_percent(translated, number)})"
        if self.settings:
            yield f"{sum(self.settings.values())} lines are settings and no rules: {_some(self.settings)}"

    def _reasons(self, fate: Fate) -> Iterator[str]:
        for reason, number in self.reasons(fate).most_common():
            names = [o.name for o in self.outcomes if o.fate is fate and o.reason == reason]
            yield f"         {number:5}  {reason}: {_some(dict.fromkeys(names, 1))}"


REGULAR = ("header", "body", "rawbody", "uri", "full", "mimeheader")
SCORE_ZERO = "its score is 0"
_DONE = Fate.TRANSLATED


def _percent(number: int, total: int) -> str:
    return f"{100 * number / total:.1f} %" if total else "none"


def _some(items: dict[str, int]) -> str:
    names = list(items)
    return ", ".join(names[:5]) + (f", … ({len(names)})" if len(names) > 5 else "")


def _plain(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": outcome.name, "kind": outcome.kind, "file": outcome.place.file, "line": outcome.place.line,
        "fate": outcome.fate.value,
    }  # fmt: skip
    extra = {"reason": outcome.reason, "detail": outcome.detail, "written_as": outcome.written_as}
    return plain | {key: value for key, value in extra.items() if value}
