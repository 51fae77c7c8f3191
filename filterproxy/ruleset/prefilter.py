"""Finds, in one pass over each of a message's texts, the few expressions that could match: all others are never tried.

The rule: it may name too many expressions, never too few. An expression that has literals (see `literals`) is found by
them: an automaton of Aho and Corasick for each text finds all its literals in one pass, whose cost grows with the
length of the text, hardly with the number of expressions. (An automaton over all expressions, `re2.Set`, is as fast on
one text shown twice, but builds new states for every text with other hits: 10 to 100 ms on 16 KB of real mail.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from ahocorasick_rs import BytesAhoCorasick

from filterproxy.ruleset.literals import Group

Places: TypeAlias = list[int] | None

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


class Prefilter:
    """An index over expressions; each belongs to one segment (a text of the message) and may have literals."""

    def __init__(self, expressions: Iterable[tuple[int, Group]]) -> None:
        self._always: dict[int, list[int]] = defaultdict(list)
        wakes: dict[int, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, (segment, group) in enumerate(expressions):
            if not group:
                self._always[segment].append(number)
            for text in map(str.encode, group):
                wakes[segment][text].append(number)
        self._literals = {segment: _Literals(found) for segment, found in wakes.items()}

    def candidates(self, segments: Sequence[bytes]) -> dict[int, Places]:
        """Return the numbers of the expressions that may match, with places of their literals in their segments.

        `segments` are folded texts, empty when absent. Where there are more than MAX_PLACES places, only some are
        returned. An expression without literals has None for its places.
        """
        found: dict[int, Places] = {}
        for segment, text in enumerate(segments):
            if text:
                found.update(dict.fromkeys(self._always.get(segment, ())))
                literals = self._literals.get(segment)
                if literals is not None:
                    literals.find(text, found)
        return found


class _Literals:
    """The literals of one segment, each with the expressions that it wakes."""

    def __init__(self, wakes: Mapping[bytes, Sequence[int]]) -> None:
        self._wakes = [tuple(numbers) for numbers in wakes.values()]
        self._automaton = BytesAhoCorasick(wakes)

    def find(self, text: bytes, found: dict[int, Places]) -> None:
        """Add to `found` the expressions that the text wakes, with the places of their literals."""
        wakes = self._wakes
        places: dict[int, list[int]] = {}
        for literal, start, _ in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if literal in places:
                places[literal].append(start)
            else:
                places[literal] = [start]
        for literal, starts in places.items():
            for number in wakes[literal]:
                known = found.get(number)
                if known is None:
                    found[number] = starts[: MAX_PLACES + 1]
                elif len(known) <= MAX_PLACES:
                    known += starts[: MAX_PLACES + 1]
