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

from filterproxy.ruleset.keys import Key, key_of, spaced
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
    """An index over expressions; each belongs to one segment (a text of the message) and may have literals.

    Literals are in lower case and may have a BOUNDARY at their ends (see `keys`).
    """

    def __init__(self, expressions: Iterable[tuple[int, Group]]) -> None:
        self._always: dict[int, list[int]] = defaultdict(list)
        wakes: dict[int, dict[Key, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, (segment, group) in enumerate(expressions):
            if not group:
                self._always[segment].append(number)
            for text in group:
                wakes[segment][key_of(text)].append(number)
        self._indexes = {segment: _indexes(found) for segment, found in wakes.items()}

    def candidates(self, segments: Sequence[bytes]) -> dict[int, Places]:
        """Return the numbers of the expressions that may match, with places of their literals in their segments.

        `segments` are folded texts, empty when absent. Where there are more than MAX_PLACES places, only some are
        returned. An expression without literals has None for its places.
        """
        found: dict[int, Places] = {}
        for segment, text in enumerate(segments):
            if text:
                found.update(dict.fromkeys(self._always.get(segment, ())))
                for index in self._indexes.get(segment, ()):
                    index.find(text, found)
        return found


def _indexes(wakes: Mapping[Key, Sequence[int]]) -> list[_Index]:
    """Return the indexes of one segment: of the keys that are looked for in the spaced text, and of the others."""
    kinds = ({key: numbers for key, numbers in wakes.items() if key.exact is exact} for exact in (False, True))
    return [_Index(kind) for kind in kinds if kind]


class _Index:
    """The keys that are looked for in one form of a segment, each with the expressions that it wakes."""

    def __init__(self, wakes: Mapping[Key, Sequence[int]]) -> None:
        self._exact = next(iter(wakes)).exact
        self._only_wide = self._exact and not any(key.text.isascii() for key in wakes)
        # Where a literal begins in the text, given where its key begins in the form that is searched.
        self._wakes = [(key.lead - (not self._exact), tuple(numbers)) for key, numbers in wakes.items()]
        self._automaton = BytesAhoCorasick([key.text for key in wakes])

    def find(self, text: bytes, found: dict[int, Places]) -> None:
        """Add to `found` the expressions that the text wakes, with the places of their literals."""
        if self._only_wide and text.isascii():
            return
        searched = text if self._exact else spaced(text)
        places: dict[int, list[int]] = {}
        for key, start, _ in self._automaton.find_matches_as_indexes(searched, overlapping=True):
            if key in places:
                places[key].append(start)
            else:
                places[key] = [start]
        for key, starts in places.items():
            shift, numbers = self._wakes[key]
            begins = [start + shift for start in starts[: MAX_PLACES + 1]]
            for number in numbers:
                known = found.get(number)
                if known is None:
                    found[number] = begins.copy()
                elif len(known) <= MAX_PLACES:
                    known += begins
