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
from numpy.typing import NDArray

from filterproxy.classifier.hashing import Pieces, Slots, gram_hashes, to_slots, unique, unique_with_pieces
from filterproxy.classifier.structure import body_size
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
# A body is divided into so many pieces; Model looks for the stretch of them that is most like spam.
PIECES = 32

_HEADER_SPAN = 65_536
_FROM_LINE = re.compile(rb"From [^\n]*\n")


@dataclass(frozen=True, slots=True)
class Features:
    """The slots of one message in each view's table, distinct and ascending.

    `pieces` says for each slot of each of BODY_VIEWS in which of PIECES equally long pieces of the text it occurs
    first, 1 to PIECES; 0 stands for what has no place there, subject and structure.
    """

    header: Slots
    body: Slots
    text: Slots
    fields: Slots
    words: Slots
    pieces: tuple[Pieces, Pieces, Pieces]

    def view(self, name: str) -> Slots:
        """Return the slots of one of VIEWS."""
        return {
            "header": self.header, "body": self.body, "text": self.text, "fields": self.fields, "words": self.words,
        }[name]  # fmt: skip

    def all_words(self) -> Slots:
        """Return the words of header and body together, as slots of the table of `words`, ascending."""
        return np.union1d(self.fields << np.uint32(TABLE_BITS["words"] - TABLE_BITS["fields"]), self.words)


def extract(message: Message) -> Features:
    """Return the features of a message; never raises, whatever the bytes."""
    return extract_with_words(message)[0]


def extract_with_words(message: Message) -> tuple[Features, WordViews]:
    """Return the features of a message and the words behind them, for an explanation."""
    views = WordViews(message)
    raw_header, raw_body = raw_parts(message.raw, views.has_verdicts)
    subject, shown = text_parts(message)
    header, fields = unique(_grams("header", raw_header)), unique(to_slots(views.header_hashes(), TABLE_BITS["fields"]))
    # What lies beyond the text that the views of bytes look at belongs to its last piece.
    characters = min(TEXT_CHARACTERS, views.text_size)
    body_length = body_size(message) * characters / max(1, views.text_size)
    grams = _grams("body", raw_body)
    body, body_pieces = unique_with_pieces(grams, pieces_of(np.arange(grams.size), body_length))
    grams = _grams("text", subject + shown)
    text, text_pieces = unique_with_pieces(grams, pieces_of(np.arange(grams.size) - len(subject), len(shown)))
    hashes, places = views.body_hashes()
    words, word_pieces = unique_with_pieces(to_slots(hashes, TABLE_BITS["words"]), pieces_of(places, characters))
    return Features(header, body, text, fields, words, (body_pieces, text_pieces, word_pieces)), views


def pieces_of(places: NDArray[np.int64], length: float) -> Pieces:
    """Return the piece of a text of that length in which each place lies; 0 for a negative place."""
    pieces = (places * (PIECES / max(1.0, length))).astype(np.int64) + 1
    pieces[places < 0] = 0
    return np.minimum(pieces, PIECES).astype(np.uint8)


def raw_parts(raw: bytes, has_verdicts: bool = True) -> tuple[bytes, bytes]:
    """Return the bytes of header and body that the raw views are made of; verdicts are looked for if there are any."""
    data = raw[:_HEADER_SPAN].replace(b"\r\n", b"\n")
    data = strip_verdict_headers(data) if has_verdicts else data
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
    """Return the slots of a view's bytes, in their order, some more than once."""
    return to_slots(gram_hashes(data, GRAM), TABLE_BITS[view])
