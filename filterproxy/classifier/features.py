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
MAX_HIDDEN = 4_000

_HEADER_SPAN = 65_536
_FROM_LINE = re.compile(rb"From [^\n]*\n")
_STRUCTURE_SALT = U64(0x8CB92BA72F3D8DD7)
_SALT_FACTOR = 0xD6E8FEB86659FD93


@dataclass(frozen=True, slots=True)
class Features:
    """The slots of one message in each view's table, distinct and ascending."""

    raw: Slots
    text: Slots
    words: Slots

    def view(self, name: str) -> Slots:
        """Return the slots of one of VIEWS."""
        return {"raw": self.raw, "text": self.text, "words": self.words}[name]


def extract(message: Message) -> Features:
    """Return the features of a message; never raises, whatever the bytes."""
    return extract_with_words(message)[0]


def extract_with_words(message: Message) -> tuple[Features, WordView]:
    """Return the features of a message and the words behind them, for an explanation."""
    view = WordView(message)
    raw = to_slots(gram_hashes(raw_view(message.raw), RAW_GRAM), TABLE_BITS["raw"])
    text = to_slots(gram_hashes(text_view(message), TEXT_GRAM), TABLE_BITS["text"])
    words = to_slots(view.hashes, TABLE_BITS["words"])
    return Features(unique(raw), unique(text), unique(words)), view


def raw_view(raw: bytes) -> bytes:
    """Return the bytes that the raw view is made of."""
    data = strip_verdict_headers(raw[:_HEADER_SPAN].replace(b"\r\n", b"\n"))
    match = _FROM_LINE.match(data)
    return data[match.end() :][:RAW_BYTES] if match else data[:RAW_BYTES]


def text_view(message: Message) -> bytes:
    """Return the bytes that the text view is made of: subject and visible text, in lower case and UTF-8."""
    text = f"{message.subject}\n{message.text[: 2 * TEXT_CHARACTERS]}".replace("\r\n", "\n")
    return text[:TEXT_CHARACTERS].lower().encode("utf-8", "replace")


class WordView:
    """The words view before hashes become slots, so that a slot can be named again."""

    def __init__(self, message: Message) -> None:
        fields = [field for field in message.headers if not is_verdict_header(field.name)]
        self.segments = list(_segments(message, fields[:MAX_HEADERS]))
        self.words: Words = find_words(self.segments)
        self.structure = list(structure_features(message, fields))
        pairs = [pair_hashes(self.words, distance) for distance in range(1, WINDOW)]
        hashes = np.concatenate((self.words.hashes, *pairs, _string_hashes(self.structure)))
        # 0 stands for a pair across two texts.
        self._kept = hashes != 0
        self.hashes: Hashes = hashes[self._kept]

    def describe(self, number: int) -> str:
        """Return what hash `number` was made of: a word (after its header field's name), a pair, or a fact."""
        place, words = int(np.flatnonzero(self._kept)[number]), len(self.words.hashes)
        if place < words:
            return self._label(place) + self.words.word(place)
        place -= words
        for distance in range(1, WINDOW):
            pairs = max(0, words - distance)
            if place < pairs:
                gap = " … " if distance > 1 else " "
                return self._label(place) + self.words.word(place) + gap + self.words.word(place + distance)
            place -= pairs
        return f"<{self.structure[place]}>"

    def _label(self, word: int) -> str:
        label = self.segments[int(self.words.segments[word])].label
        return f"{label}:" if label else ""


def _segments(message: Message, fields: Iterable[Header]) -> Iterator[Segment]:
    for field in fields:
        name = field.name.lower()
        yield Segment(_salt(name), name, field.value[:MAX_HEADER_VALUE])
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
