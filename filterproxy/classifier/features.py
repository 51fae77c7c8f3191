"""What the classifier sees of a message: five views, each a set of table slots.

`header` and `body` are byte 5-grams of the message as it came; `text` are 5-grams of what a reader sees; `fields` and
`words` are the decoded words of header and body, pairs of them, and the structure. They err on different messages.
Header and body are kept apart so that what speaks for ham in one cannot drown the other.

The rule: header fields that hold another filter's verdict, and an mbox's `From ` line, are never seen; line ends count
as LF, so that a message is the same from a mailbox and from the wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from filterproxy.classifier.hashing import Slots, gram_hashes, to_slots, unique
from filterproxy.classifier.word_views import WordViews
from filterproxy.message import Message, strip_verdict_headers

HEADER_VIEWS = ("header", "fields")
BODY_VIEWS = ("body", "text", "words")
VIEWS = ("header", "body", "text", "fields", "words")
TABLE_BITS = {"header": 21, "body": 22, "text": 21, "fields": 21, "words": 22}

GRAM = 5
HEADER_BYTES = 2_500
BODY_BYTES = 3_500
TEXT_CHARACTERS = 7_000
# The first half of a body has at least so many bytes.
SHORTEST_HALF = 250

_HEADER_SPAN = 65_536
_FROM_LINE = re.compile(rb"From [^\n]*\n")


@dataclass(frozen=True, slots=True)
class Half:
    """The slots of one half of the body in each of BODY_VIEWS."""

    body: Slots
    text: Slots
    words: Slots

    def view(self, name: str) -> Slots:
        """Return the slots of one of BODY_VIEWS."""
        return {"body": self.body, "text": self.text, "words": self.words}[name]


@dataclass(frozen=True, slots=True)
class Features:
    """The slots of one message in each view's table, distinct and ascending.

    `halves` are the same of the first and of the second half of the body, when it is long enough to be halved: a spam
    with good words before or after it is still spam in one of them.
    """

    header: Slots
    body: Slots
    text: Slots
    fields: Slots
    words: Slots
    halves: tuple[Half, ...] = ()

    def view(self, name: str) -> Slots:
        """Return the slots of one of VIEWS."""
        return {
            "header": self.header, "body": self.body, "text": self.text, "fields": self.fields, "words": self.words,
        }[name]  # fmt: skip

    def all_words(self) -> Slots:
        """Return the words of header and body together, as slots of the table of `words`."""
        return np.union1d(self.fields << np.uint32(TABLE_BITS["words"] - TABLE_BITS["fields"]), self.words)


def extract(message: Message) -> Features:
    """Return the features of a message; never raises, whatever the bytes."""
    return extract_with_words(message)[0]


def extract_with_words(message: Message) -> tuple[Features, WordViews]:
    """Return the features of a message and the words behind them, for an explanation."""
    views = WordViews(message)
    raw_header, raw_body = raw_parts(message.raw)
    subject, shown = text_parts(message)
    fields, words = (unique(to_slots(views.hashes(view), TABLE_BITS[view])) for view in ("fields", "words"))
    header, body = _grams("header", raw_header), _grams("body", raw_body)
    text = _grams("text", subject + shown)
    halves: tuple[Half, ...] = ()
    if views.has_halves:
        # Grams of the subject belong to both halves of the text.
        start = min(len(subject), text.size)
        halves = tuple(
            Half(unique(half_body), unique(half_text), unique(to_slots(half_words, TABLE_BITS["words"])))
            for half_body, half_text, half_words in zip(
                _halves(body, 0), _halves(text, start), views.half_hashes(), strict=True
            )
        )
    return Features(unique(header), unique(body), unique(text), fields, words, halves), views


def raw_parts(raw: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of header and body that the raw views are made of."""
    data = strip_verdict_headers(raw[:_HEADER_SPAN].replace(b"\r\n", b"\n"))
    match = _FROM_LINE.match(data)
    begin = match.end() if match else 0
    end = data.find(b"\n\n", begin)
    end = len(data) if end < 0 else end + 2
    return data[begin : min(end, begin + HEADER_BYTES)], data[end : end + BODY_BYTES]


def text_parts(message: Message) -> tuple[bytes, bytes]:
    """Return subject and visible text, in lower case and UTF-8, TEXT_CHARACTERS of both together."""
    subject = f"{message.subject[:TEXT_CHARACTERS]}\n"
    text = message.text[: 2 * TEXT_CHARACTERS].replace("\r\n", "\n")[: TEXT_CHARACTERS - len(subject)]
    return subject.lower().encode("utf-8", "replace"), text.lower().encode("utf-8", "replace")


def _grams(view: str, data: bytes) -> Slots:
    """Return the slots of a view's bytes, in their order."""
    return to_slots(gram_hashes(data, GRAM), TABLE_BITS[view])


def _halves(slots: Slots, start: int) -> tuple[Slots, Slots]:
    """Return the two halves of what follows `start`, each after what lies before it."""
    middle = start + (slots.size - start) // 2
    first = slots[: max(middle, start + SHORTEST_HALF)].copy()
    return first, np.concatenate((slots[:start], slots[middle:]))
