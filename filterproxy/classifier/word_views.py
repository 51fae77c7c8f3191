"""The views made of decoded words: those of the header's fields and those of the body, each with pairs and structure.

The rule: a word of one field is another feature than the same word elsewhere; hashes stay until a slot is asked for, so
that it can be named again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from filterproxy.classifier.hashing import U64, Hashes, to_slots
from filterproxy.classifier.structure import body_structure, header_structure
from filterproxy.classifier.tokens import MAX_DISTANCE, Segment, Words, find_words, pair_hashes
from filterproxy.message import Header, Message, is_verdict_header

MAX_HEADERS = 60
MAX_HEADER_VALUE = 1_000
# In all, so that a long header leaves room for the body.
MAX_HEADER_CHARACTERS = 16_000
MAX_HIDDEN = 4_000

_STRUCTURE_SALT = U64(0x8CB92BA72F3D8DD7)
_SALT_FACTOR = 0xD6E8FEB86659FD93


class WordViews:
    """The words of a message before their hashes become slots; the views are `fields` and `words`."""

    def __init__(self, message: Message) -> None:
        fields = [field for field in message.headers if not is_verdict_header(field.name)]
        # Of fields beyond the limit nothing is known.
        self.has_verdicts = len(fields) < len(message.headers) or len(message.headers) >= message.limits.headers
        # Line ends count as one character, so that a word has the same place in a message from a mailbox.
        text = message.text.replace("\r\n", "\n")
        self.text_size = len(text)
        self.segments = list(_segments(message, fields[:MAX_HEADERS], text))
        self.words: Words = find_words(self.segments)
        self.structure = {"fields": list(header_structure(fields)), "words": list(body_structure(message))}
        self._structure = {view: _string_hashes(strings) for view, strings in self.structure.items()}
        self._pairs = [pair_hashes(self.words, distance) for distance in range(1, MAX_DISTANCE + 1)]
        self._body = min(len(fields), MAX_HEADERS)
        begin, end = np.searchsorted(self.words.segments, [self._body, self._body + 1])
        self._begin, self._end = int(begin), int(end)

    def header_hashes(self) -> Hashes:
        """Return the hashes of all features of the view `fields`; some come more than once."""
        pairs = (hashes[: self._begin] for hashes in self._pairs)
        hashes = np.concatenate((self.words.hashes[: self._begin], *pairs, self._structure["fields"]))
        kept: Hashes = hashes[hashes != 0]
        return kept

    def body_hashes(self) -> tuple[Hashes, NDArray[np.int64]]:
        """Return the hashes of all features of the view `words`, and the place in the text of each.

        The place of a pair is that of its first word; -1 is that of structure, and of what HTML hides. Some come more
        than once.
        """
        starts = self.words.starts - self.words.begins[min(self._body, len(self.words.begins) - 1)]
        starts[self._end :] = -1
        found = [hashes[self._begin :] for hashes in (self.words.hashes, *self._pairs)]
        places = [starts[self._begin : self._begin + hashes.size] for hashes in found]
        nowhere = np.full(self._structure["words"].size, -1)
        hashes, where = np.concatenate((*found, self._structure["words"])), np.concatenate((*places, nowhere))
        # 0 stands for a pair across two texts.
        return hashes[hashes != 0], where[hashes != 0]

    def describe(self, view: str, slot: int, bits: int) -> str:
        """Return what a slot was made of: a word (after its header field's name), a pair, or a structural fact."""
        for distance, hashes in enumerate((self.words.hashes, *self._pairs)):
            place = _place(hashes, slot, bits)
            if place >= 0 and hashes[place]:
                gap = " … " if distance > 1 else " "
                second = gap + self.words.word(place + distance) if distance else ""
                return self._label(place) + self.words.word(place) + second
        return f"<{self.structure[view][_place(self._structure[view], slot, bits)]}>"

    def _label(self, word: int) -> str:
        label = self.segments[int(self.words.segments[word])].label
        return f"{label}:" if label else ""


def _place(hashes: Hashes, slot: int, bits: int) -> int:
    """Return the first place of a slot among hashes, -1 when it is not there."""
    slots = to_slots(hashes, bits)
    place = int(np.argmax(slots == slot)) if slots.size else 0
    return place if slots.size and slots[place] == slot else -1


def _segments(message: Message, fields: Iterable[Header], text: str) -> Iterator[Segment]:
    room = MAX_HEADER_CHARACTERS
    for field in fields:
        name, value = field.name.lower(), field.value[: min(MAX_HEADER_VALUE, room)]
        room -= len(value)
        yield Segment(_salt(name), name, value)
    yield Segment(_salt(""), "", text)
    for document in message.html:
        if document.hidden:
            yield Segment(_salt("hidden"), "hidden", document.hidden[:MAX_HIDDEN])


@lru_cache(maxsize=4096)
def _salt(label: str) -> int:
    """Return the number that tells the words of one place from the same words elsewhere."""
    return zlib.crc32(label.encode("utf-8", "replace")) * _SALT_FACTOR & (1 << 64) - 1


def _string_hashes(strings: Sequence[str]) -> Hashes:
    codes = [zlib.crc32(string.encode("utf-8", "replace")) for string in strings]
    return np.asarray(codes, U64) * U64(_SALT_FACTOR) ^ _STRUCTURE_SALT
