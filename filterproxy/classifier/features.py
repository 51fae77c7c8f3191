"""What the classifier sees of a message: three views, each a set of table slots.

`raw` are byte 5-grams of the message as it came, header first; `text` are 4-grams of what a reader sees; `words` are
the decoded words of header and body, sparse pairs of them, and the structure. They err on different messages.

The rule: header fields that hold another filter's verdict, and an mbox's `From ` line, are never seen; line ends count
as LF, so that a message is the same from a mailbox and from the wire.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from filterproxy.classifier.hashing import U64, Hashes, Slots, gram_hashes, to_slots, unique
from filterproxy.classifier.structure import structure_features
from filterproxy.classifier.tokens import Segment, Words, find_words, pair_hashes
from filterproxy.message import Header, Message, is_verdict_header, strip_verdict_headers

VIEWS = ("raw", "text", "words")
TABLE_BITS = {"raw": 22, "text": 21, "words": 22}
WINDOW = 4

RAW_BYTES = 3_500
RAW_GRAM = 5
TEXT_CHARACTERS = 7_000
TEXT_GRAM = 4
MAX_HEADERS = 60
MAX_HEADER_VALUE = 1_000
# In all, so that a long header leaves room for the body.
MAX_HEADER_CHARACTERS = 16_000
MAX_HIDDEN = 4_000
# A body of fewer bytes or words is not halved.
SHORTEST_HALF = 250
FEWEST_WORDS = 40

_HEADER_SPAN = 65_536
_FROM_LINE = re.compile(rb"From [^\n]*\n")
_STRUCTURE_SALT = U64(0x8CB92BA72F3D8DD7)
_SALT_FACTOR = 0xD6E8FEB86659FD93


@dataclass(frozen=True, slots=True)
class Features:
    """The slots of one message in each view's table, distinct and ascending.

    `beginning` is the same of the message without the second half of its body, when that is long enough to be halved: a
    spam with good words added at its end is still spam there.
    """

    raw: Slots
    text: Slots
    words: Slots
    beginning: Features | None = None

    def view(self, name: str) -> Slots:
        """Return the slots of one of VIEWS."""
        return {"raw": self.raw, "text": self.text, "words": self.words}[name]


def extract(message: Message) -> Features:
    """Return the features of a message; never raises, whatever the bytes."""
    return extract_with_words(message)[0]


def extract_with_words(message: Message) -> tuple[Features, WordView]:
    """Return the features of a message and the words behind them, for an explanation."""
    view = WordView(message)
    raw, first_raw = _byte_slots("raw", *raw_view(message.raw))
    text, first_text = _byte_slots("text", *text_view(message))
    words, first_words = view.slots()
    beginning = Features(unique(first_raw), unique(first_text), unique(first_words)) if view.has_halves else None
    return Features(unique(raw), unique(text), unique(words), beginning), view


def raw_view(raw: bytes) -> tuple[bytes, int]:
    """Return the bytes that the raw view is made of, and where the body begins in them."""
    data = strip_verdict_headers(raw[:_HEADER_SPAN].replace(b"\r\n", b"\n"))
    match = _FROM_LINE.match(data)
    data = data[match.end() :][:RAW_BYTES] if match else data[:RAW_BYTES]
    end = data.find(b"\n\n")
    return data, len(data) if end < 0 else end + 2


def text_view(message: Message) -> tuple[bytes, int]:
    """Return subject and visible text, in lower case and UTF-8, and where the text begins."""
    subject = f"{message.subject[:TEXT_CHARACTERS]}\n"
    text = message.text[: 2 * TEXT_CHARACTERS].replace("\r\n", "\n")[: TEXT_CHARACTERS - len(subject)]
    begin = subject.lower().encode("utf-8", "replace")
    return begin + text.lower().encode("utf-8", "replace"), len(begin)


def _byte_slots(view: str, data: bytes, body: int) -> tuple[Slots, Slots]:
    """Return the slots of all bytes, and of those before the second half of the body."""
    length = {"raw": RAW_GRAM, "text": TEXT_GRAM}[view]
    slots = to_slots(gram_hashes(data, length), TABLE_BITS[view])
    middle = body + max(SHORTEST_HALF, (len(data) - body) // 2)
    return slots, slots[: max(0, middle - length + 1)].copy()


class WordView:
    """The words view before hashes become slots, so that a slot can be named again."""

    def __init__(self, message: Message) -> None:
        fields = [field for field in message.headers if not is_verdict_header(field.name)]
        self.segments = list(_segments(message, fields[:MAX_HEADERS]))
        self.words: Words = find_words(self.segments)
        self.structure = list(structure_features(message, fields))
        self._pairs = [pair_hashes(self.words, distance) for distance in range(1, WINDOW)]
        self._structure = _string_hashes(self.structure)
        body = min(len(fields), MAX_HEADERS)
        begin, end = np.searchsorted(self.words.segments, [body, body + 1])
        self._middle = int(begin) + max(FEWEST_WORDS, int(end - begin) // 2)
        self.has_halves = self._middle < end

    def slots(self) -> tuple[Slots, Slots]:
        """Return the slots of everything, and of all but the second half of the body and what HTML hides."""
        first = [self.words.hashes[: self._middle]]
        first += [pairs[: max(0, self._middle - distance)] for distance, pairs in enumerate(self._pairs, 1)]
        return self._to_slots([self.words.hashes, *self._pairs]), self._to_slots(first)

    def _to_slots(self, hashes: list[Hashes]) -> Slots:
        joined = np.concatenate((*hashes, self._structure))
        # 0 stands for a pair across two texts.
        return to_slots(joined[joined != 0], TABLE_BITS["words"])

    def describe(self, slot: int) -> str:
        """Return what a slot was made of: a word (after its header field's name), a pair, or a structural fact."""
        for distance, hashes in enumerate((self.words.hashes, *self._pairs)):
            place = _place(hashes, slot)
            if place >= 0 and hashes[place]:
                gap = " … " if distance > 1 else " "
                second = gap + self.words.word(place + distance) if distance else ""
                return self._label(place) + self.words.word(place) + second
        return f"<{self.structure[_place(self._structure, slot)]}>"

    def _label(self, word: int) -> str:
        label = self.segments[int(self.words.segments[word])].label
        return f"{label}:" if label else ""


def _place(hashes: Hashes, slot: int) -> int:
    """Return the first place of a slot among hashes, -1 when it is not there."""
    slots = to_slots(hashes, TABLE_BITS["words"])
    place = int(np.argmax(slots == slot)) if slots.size else 0
    return place if slots.size and slots[place] == slot else -1


def _segments(message: Message, fields: Iterable[Header]) -> Iterator[Segment]:
    room = MAX_HEADER_CHARACTERS
    for field in fields:
        name, value = field.name.lower(), field.value[: min(MAX_HEADER_VALUE, room)]
        room -= len(value)
        yield Segment(_salt(name), name, value)
    yield Segment(_salt(""), "", message.text)
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
