"""What a message is built like, as short strings: header order, MIME parts, HTML tags, URL hosts, shapes of fields.

The rule: each string is a feature of its own, bounded in number and length, and means the same for every site's mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from filterproxy.message import Header, HtmlDocument, Message, Part, Url

MAX_HEADERS = 60
MAX_PARTS = 40
MAX_URLS = 60
MAX_TAGS = 80

_DIGITS = re.compile(r"[0-9]+")
_LOWER = re.compile(r"[a-z]+")
_UPPER = re.compile(r"[A-Z]+")
_ADDRESS_HOST = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\[.*\]")


def header_structure(headers: Iterable[Header]) -> Iterator[str]:
    """Yield what the header is built like; `headers` are the fields to look at, verdicts of other filters left out."""
    yield from _header_features(list(islice(headers, MAX_HEADERS)))


def body_structure(message: Message) -> Iterator[str]:
    """Yield what the body is built like."""
    yield from _part_features(message.parts[:MAX_PARTS])
    for document in message.html[:MAX_PARTS]:
        yield from _html_features(document)
    for url in message.urls[:MAX_URLS]:
        yield from _url_features(url)
    yield f"size {body_size(message).bit_length()}"


def shape(text: str) -> str:
    """Return the text with runs of digits, lower and upper case letters as 9, a and A; cut to 80 characters.

    The length of a run is kept up to 4: message-ids and dates of one program have the same shape.
    """
    shaped = _DIGITS.sub(lambda run: _run("9", run), text[:200])
    shaped = _UPPER.sub(lambda run: _run("A", run), _LOWER.sub(lambda run: _run("a", run), shaped))
    return shaped[:80]


def _run(character: str, match: re.Match[str]) -> str:
    return character * min(match.end() - match.start(), 4)


def host_and_parents(host: str) -> Iterator[str]:
    """Yield the host and its parent domains down to two labels; an IP address alone."""
    yield host
    if _ADDRESS_HOST.fullmatch(host):
        return
    labels = host.split(".")[-6:]
    for start in range(1, len(labels) - 1):
        yield ".".join(labels[start:])


def body_size(message: Message) -> int:
    """Return the size of the body in bytes, with every line end counted as one."""
    start = len(message.header_block)
    return message.size - start - message.raw.count(b"\r\n", start)


def _header_features(fields: list[Header]) -> Iterator[str]:
    names = [field.name for field in fields]
    yield from (f"header {name}" for name in names)
    yield from (f"order {first} {second}" for first, second in pairwise(names))
    for field in fields:
        match field.name.lower():
            case "date":
                yield f"date {shape(field.unfolded)}"
                yield f"zone {field.unfolded[-12:].partition(' ')[2]}"
            case "message-id":
                local, _, host = field.unfolded.strip("<>").rpartition("@")
                yield f"message-id {shape(local)}"
                yield from (f"message-id host {name}" for name in host_and_parents(host[:100].lower()))


def _part_features(parts: Iterable[Part]) -> Iterator[str]:
    skeleton = []
    for part in parts:
        skeleton.append(f"{part.depth}{part.content_type[:40]}")
        yield f"part {part.content_type[:60]} {part.charset[:20]} {part.disposition[:20]}"
        yield f"encoding {part.content_type} {part.encoding[:20]}"
        if part.filename:
            yield f"extension {part.filename.rpartition('.')[2][:10].lower()}"
    yield f"parts {' '.join(skeleton[:12])}"


def _html_features(document: HtmlDocument) -> Iterator[str]:
    for tag, count in islice(document.tags.items(), MAX_TAGS):
        yield f"tag {tag[:20]}"
        yield f"tag {tag[:20]} {count.bit_length()}"
    if document.hidden:
        yield f"hidden {len(document.hidden).bit_length()}"


def _url_features(url: Url) -> Iterator[str]:
    yield from (f"url {name}" for name in host_and_parents(url.host[:100]))
    yield f"url {url.scheme} {url.port or ''}"
    if url.userinfo:
        yield "url with user"
