"""Finds, in two passes over a message's texts, the few expressions that could match: all others are never tried.

The rule: it may name too many expressions, never too few. An expression that has literals (see `literals`) is found by
a window of eight or four bytes of them, hashed and looked up at all positions at once; where a window is found its
literal is compared in full. The cost grows with the length of the texts, hardly with the number of expressions. (An
automaton over all expressions, `re2.Set`, is as fast on one text shown twice, but builds new states for every text
with other hits: 10 to 100 ms on 16 KB of real mail.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from filterproxy.ruleset.literals import Group

Places: TypeAlias = list[int] | None

_TABLE_BITS = 18

_COMMONEST_FIRST = b" etaoinsrhldcumpgfybvwk"
_RARITY = [_COMMONEST_FIRST.find(byte) % 30 for byte in range(256)]  # not in the list: 29
# Letters that RE2 folds into ASCII or Cyrillic ones and that `lower()` leaves alone.
_FOLDS = dict(zip("ſᲀᲁᲂᲃᲄᲅᲆ", "sвдосттъ", strict=True))


def fold(text: str) -> bytes:
    """Return the text as the prefilter compares it: lower case, UTF-8."""
    text = text.lower()
    if not text.isascii():
        for char, folded in _FOLDS.items():
            text = text.replace(char, folded)
    return text.encode("utf-8", "replace")


def same_places(text: bytes, folded: bytes) -> bool:
    """Tell whether every character stands at the same place in a text and in what `fold` made of it (both UTF-8)."""
    if len(text) != len(folded):
        return False
    starts, folded_starts = (np.frombuffer(data, np.int8) < -64 for data in (text, folded))
    return bool(np.array_equal(starts, folded_starts))


@dataclass(slots=True)
class _Literal:
    """One literal, where its window stands in it, and the expressions it wakes, by segment."""

    text: bytes
    offset: int
    wakes: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))


class Prefilter:
    """An index over expressions; each belongs to one segment (a text of the message) and may have literals."""

    def __init__(self, expressions: Iterable[tuple[int, Group]]) -> None:
        self._always: dict[int, set[int]] = defaultdict(set)
        literals: dict[bytes, _Literal] = {}
        for number, (segment, group) in enumerate(expressions):
            if not group:
                self._always[segment].add(number)
            for text in group:
                literal = literals.setdefault(text.encode(), _literal(text.encode()))
                literal.wakes[segment].add(number)
        self._indexes = (_WindowIndex(8), _WindowIndex(4))
        for literal in literals.values():
            self._indexes[len(literal.text) < 8].add(literal)

    def candidates(self, segments: Sequence[bytes]) -> dict[int, Places]:
        """Return the numbers of the expressions that may match, with the places of their literals in their segments.

        `segments` are folded texts, empty when absent. An expression without literals has None for its places.
        """
        found: dict[int, Places] = {
            number: None for segment, text in enumerate(segments) if text for number in self._always.get(segment, ())
        }
        starts: list[int] = []
        end = 0
        for text in segments:
            starts.append(end)
            end += len(text) + 1
        joined = b"\0".join(segments)
        for index in self._indexes:
            for begin, literal in index.find(joined):
                segment = bisect_right(starts, begin) - 1
                for number in literal.wakes.get(segment, ()):
                    places = found.setdefault(number, [])
                    assert places is not None
                    places.append(begin - starts[segment])
        return found


class _WindowIndex:
    """Finds literals by windows of `width` bytes."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._type: Any = np.dtype(f"<u{width}")
        self._multiplier = self._type.type(0x9E3779B97F4A7C15 >> (64 - 8 * width))
        self._shift = self._type.type(8 * width - _TABLE_BITS)
        self._table: NDArray[np.bool_] = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._literals: dict[bytes, list[_Literal]] = defaultdict(list)

    def add(self, literal: _Literal) -> None:
        window = literal.text[literal.offset : literal.offset + self._width]
        self._literals[window].append(literal)
        self._table[self._slots(window)] = True

    def find(self, text: bytes) -> Iterator[tuple[int, _Literal]]:
        """Yield each place of each literal."""
        if not self._literals or len(text) < self._width:
            return
        width, literals = self._width, self._literals
        for at in np.flatnonzero(self._table.take(self._slots(text))).tolist():
            for literal in literals.get(text[at : at + width]) or ():
                begin = at - literal.offset
                if begin >= 0 and text.startswith(literal.text, begin):
                    yield begin, literal

    def _slots(self, text: bytes) -> NDArray[Any]:
        """Return the table slot of the window at every position."""
        windows: NDArray[Any] = np.ndarray((len(text) - self._width + 1,), self._type, text, 0, (1,))
        slots: NDArray[Any] = (windows * self._multiplier) >> self._shift
        return slots


def _literal(text: bytes) -> _Literal:
    """Return the literal with its rarest window."""
    width = 8 if len(text) >= 8 else 4
    starts = range(len(text) - width + 1)
    return _Literal(text, max(starts, key=lambda at: sum(_RARITY[byte] for byte in text[at : at + width])))
