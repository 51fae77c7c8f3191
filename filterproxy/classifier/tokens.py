"""Words of decoded text as hashes, many texts in one pass: Unicode-aware, lower case, with the place of each word.

The rule: no Python work per word. A word's hash is a polynomial over its code points, taken from one running sum, so
that a text of any script costs a few numpy operations; words are cut out as text only to explain a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.hashing import U64, Hashes, mix

MAX_CHARACTERS = 32_768
MAX_DISTANCE = 2

# Odd, so it has an inverse modulo 2^64; digits of the golden ratio and of pi, nothing-up-my-sleeve.
_BASE = 0x9E3779B97F4A7C15
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_POINT_FACTOR = U64(0xD1B54A32D192ED03)
_POINT_OFFSET = U64(0x243F6A8885A308D3)
_PAIR_FACTORS = tuple(U64(0xA0761D6478BD642F * (2 * distance + 1) % (1 << 64)) for distance in range(MAX_DISTANCE))

_SEPARATOR, _WORD, _SINGLE, _JOINER = 0, 1, 2, 3
# Neither letter nor digit, yet part of a word: prices and shouting anywhere, the rest (host names, e-mail addresses,
# contractions) only between two letters or digits.
_WORD_SIGNS = "$%!£€"
_JOINING_SIGNS = "'’-_.@"
# Scripts written without spaces: every character is a word of its own, and the pairs do the rest.
_SINGLES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x30FF),
    (0x3100, 0x312F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Segment:
    """A text and the salt that tells its words from the same words elsewhere (a header field, the body)."""

    salt: int
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """The words of some segments: salted hash, span in `text` (code points) and segment number of each.

    `begins` says where each segment begins in `text`, of those that are not cut off.
    """

    text: str
    hashes: Hashes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    segments: NDArray[np.int64]
    begins: Sequence[int]

    def word(self, number: int) -> str:
        """Return one word as text."""
        return self.text[int(self.starts[number]) : int(self.ends[number])]


def find_words(segments: Sequence[Segment], limit: int = MAX_CHARACTERS) -> Words:
    """Return the words of the segments, in order, of the first `limit` characters of all of them together."""
    texts, bounds, total = [], [], 0
    for segment in segments:
        text = segment.text[: limit - total].lower()
        texts.append(text)
        total += len(text) + 1
        bounds.append(total)
        if total >= limit:
            break
    joined = "\n".join(texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    starts, ends = _spans(points)
    which = np.searchsorted(np.asarray(bounds, np.int64), starts, side="right")
    salts = np.asarray([segment.salt for segment in segments[: len(bounds)]], U64)
    hashes = _span_hashes(points, starts, ends) ^ salts[which] if len(starts) else np.zeros(0, U64)
    return Words(joined, hashes, starts, ends, which, [0, *bounds[:-1]])


def pair_hashes(words: Words, distance: int) -> Hashes:
    """Return the hash of each word with the one `distance` before it, 0 where that lies in another segment."""
    later, earlier = words.hashes[distance:], words.hashes[:-distance]
    same = words.segments[distance:] == words.segments[:-distance]
    return np.where(same, later * _PAIR_FACTORS[distance - 1] + earlier, U64(0))


def _spans(points: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where words start and end: runs of word characters, and each character of an unspaced script."""
    kinds = np.zeros(points.size + 2, np.uint8)
    kinds[1:-1] = _kinds()[np.minimum(points, 0xFFFF)]
    joiners = np.flatnonzero(kinds == _JOINER)
    joined = (kinds[joiners - 1] == _WORD) & (kinds[joiners + 1] == _WORD)
    kinds[joiners] = np.where(joined, _WORD, _SEPARATOR)
    single = kinds == _SINGLE
    changed = kinds[1:] != kinds[:-1]
    starts = np.flatnonzero((changed | single[1:]) & (kinds[1:] != _SEPARATOR))
    ends = np.flatnonzero((changed | single[:-1]) & (kinds[:-1] != _SEPARATOR))
    return starts, ends


def _span_hashes(points: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    powers, inverses = _powers(points.size + 1)
    sums = np.zeros(points.size + 1, U64)
    np.cumsum((points.astype(U64) * _POINT_FACTOR ^ _POINT_OFFSET) * powers[: points.size], out=sums[1:])
    return mix((sums[ends] - sums[starts]) * inverses[starts])


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of each character of the basic plane; characters beyond it count as U+FFFF, a word."""
    kinds = np.fromiter((chr(point).isalnum() for point in range(0x10000)), np.uint8, 0x10000)
    kinds[[ord(character) for character in _WORD_SIGNS]] = _WORD
    kinds[[ord(character) for character in _JOINING_SIGNS]] = _JOINER
    kinds[0x0300:0x0370] = _WORD
    kinds[0xFFFF] = _WORD
    for first, last in _SINGLES:
        kinds[first : last + 1] = np.where(kinds[first : last + 1] == _WORD, _SINGLE, kinds[first : last + 1])
    return kinds


_tables: tuple[Hashes, Hashes] | None = None


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Return at least `count` powers of the base and of its inverse modulo 2^64."""
    global _tables
    if _tables is None or len(_tables[0]) < count:
        size = max(count, 2 * MAX_CHARACTERS)
        _tables = _geometric(_BASE, size), _geometric(_BASE_INVERSE, size)
    return _tables


def _geometric(ratio: int, size: int) -> Hashes:
    factors = np.full(size, ratio, U64)
    factors[0] = 1
    return np.cumprod(factors)
