"""How often each symbol fires in spam and in ham, how sure that is, and which symbols say the same.

The rule: shares are of a class, so that a corpus of much spam and little ham makes no rule look better than it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from filterproxy.ruleset.rows import Known, Row

Side = Literal["spam", "ham", "unclear"]

_Z = 1.96  # two-sided 95 %
_MAX_PAIRED = 400  # symbols of one message that are compared in pairs; more would be no mail of this world


@dataclass(frozen=True, slots=True)
class Rate:
    """Hits of one symbol among so many spam and ham messages."""

    spam_hits: int
    ham_hits: int
    spam: int
    ham: int

    @property
    def hits(self) -> int:
        """Return in how many messages the symbol fired."""
        return self.spam_hits + self.ham_hits

    @property
    def spam_percent(self) -> float:
        """Return the share of the spam in which it fired."""
        return 100 * self.spam_hits / self.spam if self.spam else 0.0

    @property
    def ham_percent(self) -> float:
        """Return the share of the ham in which it fired."""
        return 100 * self.ham_hits / self.ham if self.ham else 0.0

    @property
    def s_o(self) -> float | None:
        """Return SpamAssassin's S/O: spam % over spam % plus ham %; 1 fires in spam only, None never."""
        both = self.spam_percent + self.ham_percent
        return self.spam_percent / both if both else None

    @property
    def s_o_interval(self) -> tuple[float, float]:
        """Return the bounds of S/O at 95 %.

        The logarithm of the ratio of two shares is about normal (Katz et al. 1978); a half is added to each count, so
        that a symbol without a hit in one class has bounds too (Walter 1975).
        """
        spam_hits, ham_hits, spam, ham = self.spam_hits + 0.5, self.ham_hits + 0.5, self.spam + 0.5, self.ham + 0.5
        ratio = math.log((spam_hits / spam) / (ham_hits / ham))
        spread = _Z * math.sqrt(max(0.0, 1 / spam_hits - 1 / spam + 1 / ham_hits - 1 / ham))
        low, high = (1 / (1 + math.exp(-bound)) for bound in (ratio - spread, ratio + spread))
        return low, high

    @property
    def side(self) -> Side:
        """Return the class in which the symbol fires more often, `unclear` when chance may have made it so."""
        low, high = self.s_o_interval
        if not self.hits or low <= 0.5 <= high:
            return "unclear"
        return "spam" if low > 0.5 else "ham"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two symbols that fire together: in `both` messages, `jaccard` of those in which either fires.

    `first_in_second` is the share of the first one's messages in which the second fires too, and the other way round.
    """

    first: str
    second: str
    both: int
    jaccard: float
    first_in_second: float
    second_in_first: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a corpus says of all symbols; `rates` has one for every known symbol, also those that never fired."""

    spam: int
    ham: int
    rates: Mapping[str, Rate]
    overlaps: Sequence[Overlap]

    @property
    def silent(self) -> list[str]:
        """Return the symbols that never fired."""
        return sorted(name for name, rate in self.rates.items() if not rate.hits)


def count(rows: Iterable[Row], names: Iterable[str]) -> tuple[int, int, dict[str, Rate]]:
    """Return the number of spam and of ham messages, and the rates of these names and of all that fired."""
    spam = ham = 0
    hits: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for row in rows:
        hits[row.is_spam].update(row.fired.keys())
        spam, ham = spam + row.is_spam, ham + (not row.is_spam)
    known = dict.fromkeys([*names, *hits[True], *hits[False]])
    return spam, ham, {name: Rate(hits[True][name], hits[False][name], spam, ham) for name in known}


def measure(rows: Sequence[Row], known: Mapping[str, Known], *, min_jaccard: float = 0.5) -> Statistics:
    """Return the statistics of a corpus; pairs of symbols are told from `min_jaccard` on, the closest first.

    A composite is not compared with anything: it fires with what it is made of. Neither are symbols with score 0.
    """
    spam, ham, rates = count(rows, known)
    compared = {
        name for name, symbol in known.items() if symbol.score and not symbol.composite and rates[name].hits >= 3
    }
    pairs: Counter[tuple[str, str]] = Counter()
    for row in rows:
        pairs.update(combinations(sorted(compared & row.fired.keys())[:_MAX_PAIRED], 2))
    overlaps = [_overlap(pair, both, rates) for pair, both in pairs.items()]
    close = [overlap for overlap in overlaps if overlap.jaccard >= min_jaccard]
    close.sort(key=lambda item: (-item.jaccard, -item.both, item.first, item.second))
    return Statistics(spam, ham, rates, close)


def _overlap(pair: tuple[str, str], both: int, rates: Mapping[str, Rate]) -> Overlap:
    first, second = (rates[name].hits for name in pair)
    return Overlap(*pair, both, both / (first + second - both), both / first, both / second)
