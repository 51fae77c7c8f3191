"""Searches of RE2 in bytes, without what its Python interface adds to each: rules search hundreds of times a message.

The rule: what is found is what `search` and `finditer` of the compiled expression find.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import re2

_UNANCHORED = re2._re2.RE2.Anchor.UNANCHORED
_ANCHORED = re2._re2.RE2.Anchor.ANCHOR_START


def first(regex: Any, data: bytes, start: int = 0, stop: int | None = None) -> bytes | None:
    """Return what a compiled expression matches first between two places, None when it matches nothing there."""
    length = len(data)
    stop = length if stop is None or stop > length else stop
    begin, end = regex._regexp.Match(_UNANCHORED, data, max(start, 0), stop)[0]
    return None if begin < 0 else data[begin:end]


def first_at(regex: Any, data: bytes, starts: Iterable[int]) -> bytes | None:
    """Return what a compiled expression matches at the first of some places, None when at none of them."""
    match, length = regex._regexp.Match, len(data)
    for start in starts:
        if start >= 0:
            begin, end = match(_ANCHORED, data, start, length)[0]
            if begin >= 0:
                return data[begin:end]
    return None


def every(regex: Any, data: bytes) -> Iterator[bytes]:
    """Yield everything that a compiled expression matches, left to right."""
    match, length = regex._regexp.Match, len(data)
    at = 0
    while at <= length:
        begin, end = match(_UNANCHORED, data, at, length)[0]
        if begin < 0:
            return
        yield data[begin:end]
        at = end + (end == at)


def count(regex: Any, data: bytes, most: int) -> int:
    """Return how many places `every` finds, `most` when there are more."""
    match, length = regex._regexp.Match, len(data)
    at = found = 0
    while found < most and at <= length:
        begin, end = match(_UNANCHORED, data, at, length)[0]
        if begin < 0:
            break
        found += 1
        at = end + (end == at)
    return found
