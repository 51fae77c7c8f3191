"""`body`, `rawbody` and `full`: the message's text as rules of SpamAssassin see it (Mail::SpamAssassin::Conf, RULES).

The rule: linear time; of each part only so much is read as SpamAssassin reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar
from weakref import WeakKeyDictionary

from filterproxy.message import Message, Part
from filterproxy.message.html_tokens import START, TEXT, tokenize
from filterproxy.message.transfer import decode_transfer

T = TypeVar("T")

MAX_LINE = 2048
MAX_RENDERED = 50_000
MAX_RAW = 500_000
MAX_SOURCE = 512 * 1024
_HTML_SPACES = re.compile("[ \t\n\r\f\v\xa0]+")
_TITLE = re.compile(r"<title\b[^>]*>([^<]*)", re.IGNORECASE)
_BREAKS = frozenset({"br", "div"})
_BLANKS = frozenset({"li", "th", "td", "dd", "dt", "embed", "h1", "h2", "h3", "h4", "h5", "h6"})
_PARAGRAPHS = frozenset({"p", "hr", "blockquote", "pre", "listing", "plaintext", "xmp", "title"})
_SILENT = frozenset({"script", "style"})


def leaves(message: Message) -> list[Part]:
    """Return the parts that contain no others."""
    return [part for part in message.parts if not part.is_container]


def effective_type(part: Part) -> str:
    """Return the media type; what is named like a web page is HTML."""
    return "text/html" if part.filename.lower().endswith((".html", ".htm")) else part.content_type


def _once(read: Callable[[Message], T]) -> Callable[[Message], T]:
    """Return the reader, asked once a message."""
    known: WeakKeyDictionary[Message, T] = WeakKeyDictionary()

    def cached(message: Message) -> T:
        if message not in known:
            known[message] = read(message)
        return known[message]

    return cached


@_once
def rendered_parts(message: Message) -> list[str | None]:
    """Return the rendered text of each leaf, None for one that is no text."""
    return [_rendered(part) for part in leaves(message)]


def _rendered(part: Part) -> str | None:
    kind = effective_type(part)
    if kind == "text/html":
        return render(source_text(part)[:MAX_SOURCE])
    return part.text.replace("\r\n", "\n") if kind == "text/plain" else None


@_once
def body_lines(message: Message) -> list[bytes]:
    """Return the subject and each paragraph of the rendered text, on one line each with its line end.

    White space is single blanks; lines above 2 KiB are divided at a blank.
    """
    text = ""
    for rendered in rendered_parts(message):
        if text:
            text += "\n"
        text += _cut(rendered or "", MAX_RENDERED, "\n ")
    subject = message.headers.last("subject")
    first = (subject.value if subject is not None else "") + "\n"
    return list(_short_lines((first + squeezed(text)).encode("utf-8", "replace")))


def source_text(part: Part) -> str:
    """Return the source of an HTML part."""
    if part.is_text:
        return part.text
    return part.payload.decode("utf-8", "replace")


def squeezed(text: str) -> str:
    """Return the text with each run of white space as one blank, or as a line end when it holds an empty line."""
    pieces: list[str] = []
    breaks = -1  # line ends since the last word
    tail = last = False  # white space before the first of them, and after the last
    for line in text.split("\n"):
        breaks += 1
        words = line.split()
        if not words:
            last = bool(line)
            tail = tail or (not pieces and not breaks and last)
            continue
        pieces.append(_gap(breaks, tail, line[0].isspace()))
        pieces.append(" ".join(words))
        breaks, tail, last = 0, line[-1].isspace(), False
    pieces.append(_gap(breaks, tail, last))
    return "".join(pieces)


def _gap(breaks: int, before: bool, after: bool) -> str:
    """Return what white space becomes that holds so many line ends, with blanks before or after them."""
    if breaks > 1:
        return (" " if before else "") + "\n" + (" " if after else "")
    return " " if breaks or before or after else ""


def _cut(text: str, limit: int, at: str) -> str:
    """Return the first part of a text, ending at one of some characters if one is near."""
    if len(text) <= limit:
        return text
    for char in at:
        index = text.find(char, limit, limit + 1025)
        if index >= 0:
            return text[: index + 1]
    return text[:limit]


def _short_lines(data: bytes) -> Iterator[bytes]:
    for line in data.splitlines(keepends=True) if b"\r" not in data else re.findall(rb"[^\n]*\n|[^\n]+", data):
        while len(line) > MAX_LINE:
            length = line.rfind(b" ", 0, MAX_LINE + 1) + 1 or MAX_LINE
            yield line[:length]
            line = line[length:]
        yield line


def render(source: str) -> str:
    """Return the text of HTML, hidden text included: blocks end paragraphs, cells and list items are blanks."""
    pieces: list[str] = []
    space = silent = False
    titles = (match[1] for match in _TITLE.finditer(source))
    for kind, name, _ in tokenize(source):
        if kind is TEXT:
            if not silent:
                text = _HTML_SPACES.sub(" ", name)
                pieces.append(text.removeprefix(" ") if space else text)
                space = False
            continue
        if name in _SILENT:
            silent = kind is START
        white = _white_space(name)
        if white:
            if pieces and not space:
                pieces[-1] = pieces[-1].removesuffix(" ")
            pieces.append(white)
            space = True
        if name == "title" and kind is START:
            pieces.append(_HTML_SPACES.sub(" ", next(titles, "")).strip())
            space = False
    return "".join(pieces)


def _white_space(name: str) -> str:
    if name in _BREAKS:
        return "\n"
    if name in _BLANKS:
        return " "
    return "\n\n" if name in _PARAGRAPHS else ""


def raw_body(message: Message) -> list[bytes]:
    """Return the decoded text parts with their markup, in pieces of 2 to 4 KiB that end at a line end if possible."""
    pieces: list[bytes] = []
    for part in leaves(message):
        if effective_type(part).startswith(("text/", "message/")) and part.content_type != "text/calendar":
            data = _payload(part)[: MAX_RAW + 1025].replace(b"\r\n", b"\n")
            pieces += _raw_pieces(_cut(data.decode("latin-1"), MAX_RAW, "\n> ").encode("latin-1"))
    return pieces


def _payload(part: Part) -> bytes:
    """Return the decoded body; white space at the end of a quoted-printable line is not part of it (RFC 2045, 6.7)."""
    if part.encoding != "quoted-printable":
        return part.payload
    return decode_transfer(b"\n".join(line.rstrip() for line in part.raw.split(b"\n")), part.encoding, set())


def _raw_pieces(data: bytes) -> Iterator[bytes]:
    start = 0
    if len(data) <= MAX_LINE:
        yield data
        return
    while len(data) - start > 2 * MAX_LINE:
        ends = (data.find(char, start + MAX_LINE, start + 2 * MAX_LINE) for char in (b"\n", b">", b" "))
        end = next((end for end in ends if end >= 0), start + MAX_LINE)
        yield data[start : end + 1]
        start = end + 1
    if start < len(data):
        yield data[start:]


def full(message: Message) -> bytes:
    """Return the whole message with LF as line ends."""
    return message.raw.replace(b"\r\n", b"\n")
