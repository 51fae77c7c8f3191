"""Line ends and dots: the one module that reads or writes CR, LF and the dot of SMTP (RFC 5321 sections 2.3.8, 4.5.2).

The rule: a line ends with CRLF and a message with CRLF.CRLF, nothing else does, and no bare CR or LF ever leaves.
What is larger than the limit is read to its end and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from filterproxy.core.errors import LocalProtocolError
from filterproxy.core.reply import Reply

CRLF = b"\r\n"
_END_OF_DATA = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
# For a reader that drops NUL this line is the end of the message, and doubling its dot does not change that.
_HIDDEN_END = re.compile(rb"(?:\A|(?<=\r\n))\0+(?=\.\0*\r\n)")
# The end of a piece that only its successor can explain: half a CRLF, or the beginning of a line such as that.
_UNDECIDED = re.compile(rb"(?:(?:\A|(?<=\n))\0+(?:\.\0*)?\r?|\r)\Z")


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


class Body(Protocol):
    """Where the octets of a message are kept while it comes; raises OSError when it cannot keep more."""

    def append(self, octets: bytes) -> None:
        """Keep octets after those that are kept already."""

    def clear(self) -> None:
        """Keep nothing."""


class MemoryBody:
    """Keeps a message in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def append(self, octets: bytes) -> None:
        """Keep octets."""
        self._pieces.append(octets)

    def clear(self) -> None:
        """Keep nothing."""
        self._pieces.clear()

    def whole(self) -> bytes:
        """Return all of it."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class DataReader:
    """Takes the octets after 354 until CRLF.CRLF, whatever the pieces, and gives the message to a Body as it comes.

    `size_limit` counts the message as RFC 1870 does: line ends included, transparency dots not. Beyond it nothing is
    kept. The message ends with CRLF, unless it is empty.
    """

    def __init__(self, size_limit: int, body: Body) -> None:
        self._size_limit = size_limit
        self._body = body
        # The message begins at the start of a line, as if a CRLF had come before it.
        self._held = CRLF
        self._skip = len(CRLF)
        self._unwanted = False
        self._rest: bytes | None = None
        self.size = 0
        self.complete = False

    @property
    def too_large(self) -> bool:
        """Tell whether the message is larger than the limit."""
        return self.size > self._size_limit

    def discard(self) -> None:
        """Keep nothing of this message, whatever comes."""
        self._unwanted = True
        self._body.clear()

    def feed(self, data: bytes) -> bytes | None:
        """Take octets; return None while the message goes on, what follows it when it is complete.

        Raises OSError when the body does: the octets are taken all the same, and `feed(b"")` gives the answer.
        """
        if self.complete:
            return self._rest
        octets = self._held + data
        end = octets.find(_END_OF_DATA)
        if end >= 0:
            self.complete, self._rest = True, octets[end + len(_END_OF_DATA) :]
            self._keep(octets[: end + len(CRLF)])
            return self._rest
        cut = _safe_cut(octets, max(0, len(octets) - len(_END_OF_DATA) + 1))
        self._held = octets[cut:]
        self._keep(octets[:cut])
        return None

    def _keep(self, octets: bytes) -> None:
        """Keep octets between two safe cuts: every doubled dot in them is seen with the CRLF before it."""
        clean = octets.replace(_STUFFED, CRLF)
        if self._skip and clean:
            clean, self._skip = clean[self._skip :], 0
        if not clean:
            return
        self.size += len(clean)
        if self._unwanted:
            return
        if self.too_large:
            self.discard()
        else:
            self._body.append(clean)


def _safe_cut(octets: bytes, cut: int) -> int:
    """Return a place near `cut`, not behind it, that splits no CRLF and has no dot right after one."""
    if octets[max(0, cut - len(CRLF)) : cut] == CRLF:
        return cut - len(CRLF)
    return cut - 1 if octets[max(0, cut - 1) : cut] == b"\r" else cut


class ChunkReader:
    """Takes the chunks of BDAT, each a known number of octets, and gives them to a Body (RFC 3030)."""

    def __init__(self, size_limit: int, body: Body) -> None:
        self._size_limit = size_limit
        self._body = body
        self._missing = 0
        self._unwanted = False
        self._rest = b""
        self._last = b""
        self.size = 0

    @property
    def complete(self) -> bool:
        """Tell whether the chunk has come to its end."""
        return not self._missing

    @property
    def too_large(self) -> bool:
        """Tell whether the chunks so far are more than the limit allows."""
        return self.size > self._size_limit

    def begin(self, size: int) -> None:
        """Expect a chunk of that many octets."""
        self._missing = size

    def discard(self) -> None:
        """Keep nothing of this message, whatever comes."""
        self._unwanted = True
        self._body.clear()

    def feed(self, data: bytes) -> bytes | None:
        """Take octets; return None while the chunk goes on, what follows it when it is complete.

        Raises OSError when the body does: the octets are taken all the same, and `feed(b"")` gives the answer.
        """
        chunk, self._rest = data[: self._missing], self._rest + data[self._missing :]
        self._missing -= len(chunk)
        self._keep(chunk)
        if self._missing:
            return None
        rest, self._rest = self._rest, b""
        return rest

    def finish(self) -> None:
        """End the message: with CRLF, as DATA brings it."""
        if self.size and self._last != CRLF:
            self._keep(CRLF)

    def _keep(self, octets: bytes) -> None:
        self.size += len(octets)
        self._last = (self._last + octets)[-len(CRLF) :]
        if self._unwanted:
            return
        if self.too_large:
            self.discard()
        elif octets:
            self._body.append(octets)


@dataclass(frozen=True, slots=True)
class Blemishes:
    """What is wrong with a message's octets: CR or LF alone, NUL, a line that ends it for a reader that drops NUL, a
    line of more octets than allowed."""

    bare_newlines: bool = False
    nul: bool = False
    hidden_end: bool = False
    long_line: bool = False


def blemishes(raw: bytes, line_limit: int | None) -> Blemishes:
    """Return what is wrong with a whole message; `line_limit` counts a line without its end, None is no limit."""
    nul = b"\0" in raw
    return Blemishes(
        bare_newlines=has_bare_newlines(raw),
        nul=nul,
        hidden_end=nul and _HIDDEN_END.search(raw) is not None,
        long_line=line_limit is not None and not lines_fit(raw, line_limit),
    )


class BlemishFinder:
    """The same for a message that comes in pieces."""

    def __init__(self, line_limit: int | None) -> None:
        self._line_limit = line_limit
        self._cutter = LineCutter()
        self._line = 0
        self.found = Blemishes()

    def feed(self, octets: bytes) -> None:
        """Look at the next piece."""
        self._look(self._cutter.feed(octets))

    def finish(self) -> Blemishes:
        """Return everything that was found."""
        self._look(self._cutter.finish())
        return replace(self.found, hidden_end=self.found.hidden_end or self._cutter.endless)

    def _look(self, text: bytes) -> None:
        if not text:
            return
        found, known = blemishes(text, None), self.found
        # A text that goes on in the middle of a line has no line start at its own.
        hidden = found.hidden_end and (not self._line or _HIDDEN_END.search(b"-" + text) is not None)
        long_line = self._long_line(text)
        self.found = Blemishes(
            bare_newlines=known.bare_newlines or found.bare_newlines,
            nul=known.nul or found.nul,
            hidden_end=known.hidden_end or hidden,
            long_line=known.long_line or long_line,
        )

    def _long_line(self, text: bytes) -> bool:
        first, last = text.find(CRLF), text.rfind(CRLF)
        if first < 0:
            self._line += len(text)
            return self._line_limit is not None and self._line > self._line_limit
        longest, self._line = self._line + first, len(text) - last - len(CRLF)
        if self._line_limit is None:
            return False
        return max(longest, self._line) > self._line_limit or not lines_fit(text[first : last + 2], self._line_limit)


class LineCutter:
    """Cuts pieces of a message so that none ends in a CRLF's middle, or in a line that may be NULs and a dot."""

    # Of a line that begins with more NULs than that the rest is not waited for; `endless` tells that it was so.
    _PATIENCE = 4096

    def __init__(self) -> None:
        self._held = b""
        self.endless = False

    def feed(self, octets: bytes) -> bytes:
        """Return what may be looked at now."""
        text = self._held + octets
        match = _UNDECIDED.search(text, max(0, len(text) - self._PATIENCE))
        cut = match.start() if match else len(text)
        self.endless = self.endless or text.endswith(b"\0" * self._PATIENCE)
        self._held = text[cut:]
        return text[:cut]

    def finish(self) -> bytes:
        """Return what was held back."""
        text, self._held = self._held, b""
        return text


class Normalizer:
    """`normalize_newlines` for a message that comes in pieces."""

    def __init__(self) -> None:
        self._cutter = LineCutter()
        self._in_line = False

    def feed(self, octets: bytes) -> bytes:
        """Return the next piece as it goes on."""
        return self._clean(self._cutter.feed(octets))

    def finish(self) -> bytes:
        """Return the last piece."""
        return self._clean(self._cutter.finish())

    def _clean(self, text: bytes) -> bytes:
        if not text:
            return b""
        if self._cutter.endless:
            text = text.replace(b"\0", b" ")
        clean = normalize_newlines(b"-" + text)[1:] if self._in_line else normalize_newlines(text)
        self._in_line = not clean.endswith(CRLF)
        return clean


def lines_fit(raw: bytes, limit: int) -> bool:
    """Tell whether every CRLF line has at most `limit` octets; leaps from the last line end within reach."""
    start = 0
    while len(raw) - start > limit:
        end = raw.rfind(CRLF, start, start + limit + len(CRLF))
        if end < 0:
            return False
        start = end + len(CRLF)
    return True


def has_bare_newlines(raw: bytes) -> bool:
    """Tell whether a CR or LF stands alone: every CRLF uses up one of each."""
    pairs = raw.count(CRLF)
    return raw.count(b"\n") != pairs or raw.count(b"\r") != pairs


def normalize_newlines(raw: bytes) -> bytes:
    """Return the message with CRLF for each bare LF and a space for each bare CR, as MTAs do that accept them.

    Dots are added again by `encode_data` afterwards, so a line that becomes a lone dot ends nothing; NULs that hide
    such a line become spaces too.
    """
    if has_bare_newlines(raw):
        raw = _BARE_LF.sub(CRLF, _BARE_CR.sub(b" ", raw))
    return _HIDDEN_END.sub(lambda match: b" " * len(match[0]), raw) if b"\0" in raw else raw


def encode_data(message: bytes) -> bytes:
    """Return the message for the wire: dots doubled, CRLF.CRLF at its end (RFC 5321 section 4.5.2).

    Raises LocalProtocolError for a bare CR or LF: what leaves here ends where we say, for every reader.
    """
    if has_bare_newlines(message):
        raise LocalProtocolError("a message with a bare CR or LF must not be sent")
    if message and not message.endswith(CRLF):
        message += CRLF
    stuffed = message.replace(_STUFFED, b"\r\n..")
    return b"".join((b"." if message.startswith(b".") else b"", stuffed, b".\r\n"))


def encode_stream(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what `encode_data` returns, for a message that comes in pieces; raise LocalProtocolError as it does."""
    held, empty = CRLF, True
    skip = len(CRLF)
    for piece in pieces:
        octets = held + piece
        empty = empty and not piece
        cut = _safe_cut(octets, len(octets))
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
    return octets.replace(_STUFFED, b"\r\n..")


def encode_command(text: bytes) -> bytes:
    """Return a command line for the wire; raise LocalProtocolError when it holds CR, LF or NUL."""
    if b"\r" in text or b"\n" in text or b"\0" in text:
        raise LocalProtocolError("a command with CR, LF or NUL must not be sent")
    return text + CRLF


def encode_reply(reply: Reply) -> bytes:
    """Return a reply for the wire; core.reply has taken control characters out of its texts."""
    return str(reply).encode("utf-8", "surrogateescape") + CRLF
