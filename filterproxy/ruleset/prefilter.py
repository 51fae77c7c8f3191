"""Finds, in two passes over a message's texts, the few expressions that could match: all others are never tried.

The rule: it may name too many expressions, never too few. An expression that has literals (see `literals`) is found by
a window of eight or four bytes of them, hashed and looked up at all positions at once; where a window is found its
literal is compared in full. The cost grows with the length of the texts, hardly with the number of expressions. (An
automaton over all expressions, `re2.Set`, is as fast on one text shown twice, but builds new states for every text
with other hits: 10 to 100 ms on 16 KB of real mail.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from filterproxy.ruleset.literals import Group
from filterproxy.ruleset.rarity import rarest_window

Places: TypeAlias = list[int] | None

_TABLE_BITS = 18
_SHORT = 4  # bytes of the windows of short literals
MAX_PLACES = 16

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


class _Literal(NamedTuple):
    """One literal, where its window stands in it, and the expressions of one segment that it wakes."""

    text: bytes
    offset: int
    wakes: tuple[int, ...]

    def places(self, text: bytes, windows: list[int], start: int) -> list[int]:
        """Return where it stands in the segment that begins at `start`, given where its window does; of many some."""
        literal, offset, _ = self
        if len(literal) == _SHORT:
            return [window - start for window in windows[: MAX_PLACES + 1]]
        found: list[int] = []
        for window in windows:
            begin = window - offset
            if text.startswith(literal, begin) and begin >= start:
                found.append(begin - start)
                if len(found) > MAX_PLACES:
                    break
        return found


class Prefilter:
    """An index over expressions; each belongs to one segment (a text of the message) and may have literals."""

    def __init__(self, expressions: Iterable[tuple[int, Group]]) -> None:
        self._always: dict[int, set[int]] = defaultdict(set)
        wakes: dict[bytes, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, (segment, group) in enumerate(expressions):
            if not group:
                self._always[segment].add(number)
            for text in map(str.encode, group):
                wakes[text][segment].append(number)
        short = {text: woken for text, woken in wakes.items() if len(text) < 8}
        long = {text: woken for text, woken in wakes.items() if len(text) >= 8}
        self._indexes = (_WindowIndex(8, long), _WindowIndex(_SHORT, short))

    def candidates(self, segments: Sequence[bytes]) -> dict[int, Places]:
        """Return the numbers of the expressions that may match, with places of their literals in their segments.

        `segments` are folded texts, empty when absent. Where there are more than MAX_PLACES places, only some are
        returned. An expression without literals has None for its places.
        """
        found: dict[int, Places] = {
            number: None for segment, text in enumerate(segments) if text for number in self._always.get(segment, ())
        }
        ends = list(accumulate(len(text) + 1 for text in segments))
        joined = b"\0".join(segments)
        offsets = np.array(ends)
        for index in self._indexes:
            for segment, literals, windows in index.find(joined, offsets):
                start = ends[segment] - len(segments[segment]) - 1
                for literal in literals:
                    places = literal.places(joined, windows, start)
                    for number in literal.wakes if places else ():
                        known = found.get(number)
                        if known is None:
                            found[number] = places.copy()
                        elif len(known) <= MAX_PLACES:
                            known += places
        return found


class _WindowIndex:
    """Finds literals by windows of `width` bytes."""

    def __init__(self, width: int, literals: Mapping[bytes, Mapping[int, Sequence[int]]]) -> None:
        self._width = width
        self._type: Any = np.dtype(f"<u{width}")
        self._multiplier = self._type.type(0x9E3779B97F4A7C15 >> (64 - 8 * width))
        self._shift = self._type.type(8 * width - _TABLE_BITS)
        by_window: dict[bytes, dict[int, list[_Literal]]] = defaultdict(lambda: defaultdict(list))
        for text, wakes in literals.items():
            offset = rarest_window(text)[0]
            here = by_window[text[offset : offset + width]]
            for segment, numbers in wakes.items():
                here[segment].append(_Literal(text, offset, tuple(numbers)))
        ordered = sorted(by_window, key=lambda window: int.from_bytes(window, "little"))
        self._literals: list[dict[int, list[_Literal]]] = [dict(by_window[window]) for window in ordered]
        self._known: NDArray[Any] = np.frombuffer(b"".join(ordered), self._type)
        self._table: NDArray[np.bool_] = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._table[self._slots(self._known)] = True

    def find(self, text: bytes, ends: NDArray[Any]) -> Iterator[tuple[int, list[_Literal], list[int]]]:
        """Yield (segment, its literals of a window, where the window stands in the text) for each window found.

        `ends` are the offsets after the segments.
        """
        if not self._literals or len(text) < self._width:
            return
        windows: NDArray[Any] = np.ndarray((len(text) - self._width + 1,), self._type, text, 0, (1,))
        places = np.flatnonzero(self._table.take(self._slots(windows)))
        values = windows[places]
        kinds = np.minimum(np.searchsorted(self._known, values), len(self._literals) - 1)
        known = self._known[kinds] == values
        places, kinds = places[known], kinds[known]
        if not len(places):
            return
        keys = kinds * len(ends) + np.searchsorted(ends, places, "right")
        order = np.argsort(keys, kind="stable")
        keys, places = keys[order], places[order]
        cuts = np.flatnonzero(keys[1:] != keys[:-1]) + 1
        starts, stops = [0, *cuts.tolist()], [*cuts.tolist(), len(keys)]
        in_order: list[int] = places.tolist()
        for key, start, stop in zip(keys[starts].tolist(), starts, stops, strict=True):
            kind, segment = divmod(key, len(ends))
            literals = self._literals[kind].get(segment)
            if literals:
                yield segment, literals, in_order[start:stop]

    def _slots(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Return the table slot of each window."""
        slots: NDArray[Any] = (windows * self._multiplier) >> self._shift
        return slots
