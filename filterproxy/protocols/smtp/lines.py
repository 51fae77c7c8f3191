"""Lines that come, and everything that goes: the one module that writes line ends and the dot of SMTP.

The rule: a line ends with CRLF and a message with CRLF.CRLF (RFC 5321 sections 2.3.8, 4.5.2), nothing else does, and
no bare CR or LF ever leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from filterproxy.core.errors import LocalProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.blemishes import CRLF, has_bare_newlines

STUFFED = b"\r\n."


class Fault(Enum):
    """What is wrong with a line or a message, whatever it says."""

    LINE_TOO_LONG = auto()
    BARE_NEWLINE = auto()
    NUL = auto()
    TOO_LARGE = auto()


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; `fault` is set when it must not be obeyed (the text of a too long line is lost)."""

    text: bytes
    fault: Fault | None = None


class LineBuffer:
    """Cuts a stream into lines of at most `limit` octets, line end included; longer ones are dropped as they come.

    A line ends at LF here, so that one with a bare LF is seen and marked instead of swallowing its successor.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._overlong = False

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        """Tell whether a line has begun."""
        return self._overlong or len(self._buffer) > 0

    def feed(self, data: bytes) -> None:
        """Add octets from the peer."""
        self._buffer += data

    def begins_with(self, verb: bytes) -> bool:
        """Tell whether the next line begins with a verb, in any case of letters."""
        return not self._overlong and self._buffer[: len(verb)].upper() == verb

    def take(self) -> bytes:
        """Return all octets that are in here, and forget them: what follows is no line."""
        octets = bytes(self._buffer)
        self._buffer.clear()
        self._searched, self._overlong = 0, False
        return octets

    def next_line(self) -> Line | None:
        """Return the next line, None when it is not complete yet."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._keep_bounded()
            return None
        text = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        if self._overlong or len(text) > self._limit:
            self._overlong = False
            return Line(b"", Fault.LINE_TOO_LONG)
        return _line(text)

    def _keep_bounded(self) -> None:
        if len(self._buffer) > self._limit:
            self._buffer.clear()
            self._overlong = True
        self._searched = len(self._buffer)


def _line(text: bytes) -> Line:
    content = text[:-2] if text.endswith(CRLF) else text[:-1]
    if b"\r" in content or len(content) == len(text) - 1:
        return Line(content, Fault.BARE_NEWLINE)
    if b"\0" in content:
        return Line(content, Fault.NUL)
    return Line(content)


def safe_cut(octets: bytes, cut: int) -> int:
    """Return a place near `cut`, not behind it, that splits no CRLF and has no dot right after one."""
    if octets[max(0, cut - len(CRLF)) : cut] == CRLF:
        return cut - len(CRLF)
    return cut - 1 if octets[max(0, cut - 1) : cut] == b"\r" else cut


def encode_data(message: bytes) -> bytes:
    """Return the message for the wire: dots doubled, CRLF.CRLF at its end (RFC 5321 section 4.5.2).

    Raises LocalProtocolError for a bare CR or LF: what leaves here ends where we say, for every reader.
    """
    if has_bare_newlines(message):
        raise LocalProtocolError("a message with a bare CR or LF must not be sent")
    if message and not message.endswith(CRLF):
        message += CRLF
    stuffed = message.replace(STUFFED, b"\r\n..")
    return b"".join((b"." if message.startswith(b".") else b"", stuffed, b".\r\n"))


def encode_stream(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what `encode_data` returns, for a message that comes in pieces; raise LocalProtocolError as it does."""
    held, empty = CRLF, True
    skip = len(CRLF)
    for piece in pieces:
        octets = held + piece
        empty = empty and not piece
        cut = safe_cut(octets, len(octets))
        yield _stuffed(octets[:cut])[skip:]
        skip = 0 if cut else skip
        held = octets[cut:]
    if held != CRLF:
        yield _stuffed(held + CRLF)[skip:]
    elif not empty:
        yield CRLF[skip:]
    yield b".\r\n"


def in_chunks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same octets in chunks of about `size`: small pieces together, large ones in parts."""
    waiting: list[bytes] = []
    count = 0
    for piece in pieces:
        if count + len(piece) <= size:
            waiting.append(piece)
            count += len(piece)
            continue
        if count:
            yield b"".join(waiting)
        yield from (piece[start : start + size] for start in range(0, len(piece) - size, size))
        waiting = [piece[(len(piece) - 1) // size * size :]] if piece else []
        count = sum(map(len, waiting))
    if count:
        yield b"".join(waiting)


def _stuffed(octets: bytes) -> bytes:
    if has_bare_newlines(octets):
        raise LocalProtocolError("a message with a bare CR or LF must not be sent")
    return octets.replace(STUFFED, b"\r\n..")


def encode_command(text: bytes) -> bytes:
    """Return a command line for the wire; raise LocalProtocolError when it holds CR, LF or NUL."""
    if b"\r" in text or b"\n" in text or b"\0" in text:
        raise LocalProtocolError("a command with CR, LF or NUL must not be sent")
    return text + CRLF


def encode_reply(reply: Reply) -> bytes:
    """Return a reply for the wire; core.reply has taken control characters out of its texts."""
    return str(reply).encode("utf-8", "surrogateescape") + CRLF
