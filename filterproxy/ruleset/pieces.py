"""Where matchers find the pieces of a message: its paragraphs, lines, MIME parts and HTML elements.

The rule: of each kind there is a most that is looked at, so that a message of many small pieces costs no more than one
of a few large ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from filterproxy.message import Attachment, Header, Headers, Part
from filterproxy.message.html_tokens import START, tokenize
from filterproxy.ruleset.facts import Facts, Field, Target
from filterproxy.ruleset.targets import BODY

MAX_PIECES = 2000
MAX_ELEMENTS = 5000
_EMPTY_LINE = re.compile(r"\n[ \t\r]*\n\s*")
_LINE_END = re.compile(r"\r?\n|\r")


def _split(text: str, at: re.Pattern[str], most: int) -> Iterator[str]:
    """Yield the pieces that hold more than white space; what is left beyond `most` pieces is the last one."""
    return (piece for piece in at.split(text, most - 1) if piece and not piece.isspace())


def _paragraphs(facts: Facts) -> list[str]:
    """Return the paragraphs of plain text and the blocks of HTML."""
    found: list[str] = []
    left = facts.limits.text
    for part, text in facts.message.text_parts():
        if left <= 0 or len(found) >= MAX_PIECES:
            break
        ends = _LINE_END if part.content_type == "text/html" else _EMPTY_LINE
        found += _split(text[:left], ends, MAX_PIECES - len(found))
        left -= len(text) + 1
    return found


def _text_parts(facts: Facts) -> Iterator[Part]:
    """Yield the text parts, until they hold as much text as rules look at."""
    left = facts.limits.raw
    for part in facts.message.parts:
        if part.is_text and left > 0:
            left -= len(part.payload)
            yield part


def _lines(texts: Iterable[str], limit: int) -> list[str]:
    return list(islice((line for text in texts for line in _split(text[:limit], _LINE_END, MAX_PIECES)), MAX_PIECES))


def _itself(item: str) -> str:
    return item


PARAGRAPHS = Field("body.paragraph", Target("body.paragraph", _paragraphs, True), _itself, within=BODY, split=True)
DECODED_BODY = Field(
    "decoded_body",
    Target("decoded_body", lambda facts: [part.text for part in _text_parts(facts)], True),
    _itself,
)
DECODED_LINES = Field(
    "decoded_body.line",
    Target(
        "decoded_body.line", lambda facts: _lines((part.text for part in _text_parts(facts)), facts.limits.text), True
    ),
    _itself,
    within=DECODED_BODY,
    split=True,
)
DECODED_BYTES = Field(
    "decoded_body.raw",
    Target("decoded_body.raw", lambda facts: [part.payload for part in _text_parts(facts)], True),
    lambda item: item,
    normalize=False,
    raw=True,
)
DECODED_BYTE_LINES = Field(
    "decoded_body.raw.line",
    Target(
        "decoded_body.raw.line",
        lambda facts: [
            line.encode("latin-1")
            for line in _lines((part.payload.decode("latin-1") for part in _text_parts(facts)), facts.limits.raw)
        ],
        True,
    ),
    lambda item: item,
    normalize=False,
    raw=True,
    within=DECODED_BYTES,
    split=True,
)

PARTS = Target("part", lambda facts: facts.message.parts[:MAX_PIECES])
PART_FIELDS: dict[str, Field] = {
    "type": Field("part.type", PARTS, lambda part: part.content_type),
    "disposition": Field("part.disposition", PARTS, lambda part: part.disposition),
    "encoding": Field("part.encoding", PARTS, lambda part: part.encoding),
    "charset": Field("part.charset", PARTS, lambda part: part.charset),
    "filename": Field("part.filename", PARTS, lambda part: part.filename),
    "text": Field("part.text", PARTS, lambda part: part.text, costly=True),
}


def part_size(part: Part) -> float:
    """Return the size of the decoded part in bytes."""
    return len(part.payload)


def part_depth(part: Part) -> float:
    """Return how deep the part lies, 0 for the message itself."""
    return part.depth


def _headers(item: Part | Attachment) -> Headers:
    return item.part.headers if isinstance(item, Attachment) else item.headers


def header_fields(item: Part | Attachment, names: tuple[str, ...]) -> list[Header]:
    """Return the header fields of these names (in lower case) of a part or an attachment."""
    return [found for name in names for found in _headers(item).all(name)]


@cache
def part_header(target: Target, names: tuple[str, ...], *, raw: bool) -> Field:
    """Return the field of the header fields of these names of each part or attachment."""
    key = f"{target.key}.header.{','.join(names)}"
    if raw:
        return Field(
            key + ".raw", target, lambda item: tuple(found.raw_value for found in header_fields(item, names)),
            normalize=False, raw=True,
        )  # fmt: skip
    return Field(key, target, lambda item: [found.value for found in header_fields(item, names)])


class Element(NamedTuple):
    """A start tag: the element's name in lower case and its attributes, as far as they have names."""

    name: str
    attributes: dict[str, str]


def _elements(facts: Facts) -> list[Element]:
    sources = (part.text for part in facts.message.parts if part.content_type == "text/html" and not part.is_container)
    left = facts.limits.raw
    found: list[Element] = []
    for source in sources:
        tokens = tokenize(source[:left])
        starts = (Element(name, attributes) for kind, name, attributes in tokens if kind is START)
        found += islice(starts, MAX_ELEMENTS - len(found))
        left -= min(len(source), left)
    return found


ELEMENTS = Target("html.element", _elements)
ELEMENT_NAME = Field("html.element.name", ELEMENTS, lambda element: element.name)


@cache
def attribute(name: str) -> Field:
    """Return the field of an attribute of each element."""
    key = f"html.element.attributes.{name}"
    return Field(key, ELEMENTS, lambda e: (e.attributes[name],) if name in e.attributes else ())
