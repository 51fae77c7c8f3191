"""How far tuning may move each score.

The rule: a score never changes its sign, a symbol that fires in ham is never made to count more, one that fires in
spam never less than nothing, and no run moves a score further than it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from filterproxy.ruleset.rows import Known
from filterproxy.ruleset.statistics import Rate

_USUAL = 0.001


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run of tuning may do.

    `only` and `skip` are patterns of symbols' names (`PHISH_*`). `max_false_positives` is a share of the ham, 0.001 for
    one in a thousand; None allows no more than the scores in use give, and wants 0.1 % where they give more.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    max_false_positives: float | None = None
    max_change: float = 1.0
    max_score: float = 5.0
    min_hits: int = 5

    def allowed(self, ham: int, present: int) -> int:
        """Return how many false positives among so many ham messages may be, `present` of them now."""
        return present if self.max_false_positives is None else int(self.max_false_positives * ham)

    def wanted(self, ham: int, present: int) -> int:
        """Return how many there should be at most: getting there is worth more than catching spam."""
        return min(int(_USUAL * ham), present) if self.max_false_positives is None else self.allowed(ham, present)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest score that a symbol may get."""

    low: float
    high: float


def chosen(known: Mapping[str, Known], rates: Mapping[str, Rate], limits: Limits) -> dict[str, Bounds]:
    """Return the symbols that may get another score, with their bounds.

    Left alone is what forces an action, what has the score 0 (information for people), and what fires too rarely.
    """
    return {
        name: bounds(symbol.score, rates[name], limits)
        for name, symbol in known.items()
        if symbol.score and not symbol.forces and rates[name].hits >= limits.min_hits and _named(name, limits)
    }


def bounds(score: float, rate: Rate, limits: Limits) -> Bounds:
    """Return the bounds of a score that is not 0.

    What fires in the wrong class, and by more than chance, has to lose its score as far as a run may move it; where
    that may be chance, the score does not grow.
    """
    largest = max(limits.max_score, abs(score))
    low, high = max(score - limits.max_change, -largest), min(score + limits.max_change, largest)
    hammish = rate.s_o is not None and rate.s_o < 0.5
    if score > 0:
        low = max(low, 0.0)
        return Bounds(low, low if rate.side == "ham" else score if hammish else high)
    high = min(high, 0.0)
    return Bounds(high if rate.side == "spam" else low if hammish else score, high)


def _named(name: str, limits: Limits) -> bool:
    wanted = not limits.only or any(fnmatchcase(name, pattern) for pattern in limits.only)
    return wanted and not any(fnmatchcase(name, pattern) for pattern in limits.skip)
