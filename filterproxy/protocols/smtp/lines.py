"""Line ends and dots: the one module that reads or writes CR, LF and the dot of SMTP (RFC 5321 sections 2.3.8, 4.5.2).

The rule: a line ends with CRLF and a message with CRLF.CRLF, nothing else does, and no bare CR or LF ever leaves.

DataReader:

| state | octets | next state |
|---|---|---|
| receiving | CRLF.CRLF | done |
| receiving | more than the size limit | discarding |
| discarding | CRLF.CRLF | done |
| done | any | they are the next commands |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from filterproxy.core.errors import LocalProtocolError
from filterproxy.core.reply import Reply

CRLF = b"\r\n"
_END_OF_DATA = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
# For a reader that drops NUL this line is the end of the message, and doubling its dot does not change that.
_HIDDEN_END = re.compile(rb"(?:\A|(?<=\r\n))\0+(?=\.\0*\r\n)")


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


@dataclass(frozen=True, slots=True)
class MessageData:
    """A message as DATA brought it: dots removed, line ends as sent, ended by CRLF unless empty.

    `fault` is set when a limit was passed: then `raw` is empty.
    """

    raw: bytes
    fault: Fault | None = None

    @property
    def has_bare_newlines(self) -> bool:
        """Tell whether a CR or LF stands alone."""
        return has_bare_newlines(self.raw)

    @property
    def has_nul(self) -> bool:
        """Tell whether there is a NUL octet."""
        return b"\0" in self.raw

    @property
    def has_hidden_end(self) -> bool:
        """Tell whether a line would end the message for a reader that drops NUL."""
        return self.has_nul and _HIDDEN_END.search(self.raw) is not None


class DataReader:
    """Collects the octets after 354 until CRLF.CRLF, whatever the pieces; memory stays within the size limit.

    `size_limit` counts the message as RFC 1870 does: line ends included, transparency dots not. `line_limit` counts
    a line without its end, None is no limit.
    """

    def __init__(self, size_limit: int, line_limit: int | None) -> None:
        self._size_limit = size_limit
        self._line_limit = line_limit
        # The message begins at the start of a line, as if a CRLF had come before it.
        self._buffer = bytearray(CRLF)
        self._dots = 0
        self._discarding = False
        self.message: MessageData | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Take octets; return None while the message goes on, what follows it when it is complete."""
        new = max(0, len(self._buffer) - len(_END_OF_DATA) + 1)
        dots_from = max(0, len(self._buffer) - len(_STUFFED) + 1)
        self._buffer += data
        end = self._buffer.find(_END_OF_DATA, new)
        if end < 0:
            self._dots += self._buffer.count(_STUFFED, dots_from)
            self._keep_bounded()
            return None
        rest = bytes(self._buffer[end + len(_END_OF_DATA) :])
        self.message = self._finish(end + len(CRLF))
        self._buffer.clear()
        return rest

    def _keep_bounded(self) -> None:
        # The virtual CRLF does not count; a CRLF.CRL of the end mark does not either, but may be held back here.
        if self._discarding or len(self._buffer) - len(CRLF) - self._dots > self._size_limit + len(_END_OF_DATA):
            self._discarding = True
            del self._buffer[: -len(_END_OF_DATA)]

    def _finish(self, end: int) -> MessageData:
        if self._discarding:
            return MessageData(b"", Fault.TOO_LARGE)
        raw = bytes(self._buffer[:end]).replace(_STUFFED, CRLF)[len(CRLF) :]
        if len(raw) > self._size_limit:
            return MessageData(b"", Fault.TOO_LARGE)
        if self._line_limit is not None and not _lines_fit(raw, self._line_limit):
            return MessageData(b"", Fault.LINE_TOO_LONG)
        return MessageData(raw)


class ChunkReader:
    """Collects the chunks of BDAT, each a known number of octets; memory stays within the size limit (RFC 3030)."""

    def __init__(self, size_limit: int, line_limit: int | None) -> None:
        self._size_limit = size_limit
        self._line_limit = line_limit
        self._buffer = bytearray()
        self._missing = 0
        self._discarding = False

    @property
    def complete(self) -> bool:
        """Tell whether the chunk has come to its end."""
        return not self._missing

    @property
    def too_large(self) -> bool:
        """Tell whether the chunks so far are more than the limit allows."""
        return self._discarding

    def begin(self, size: int) -> None:
        """Expect a chunk of that many octets."""
        self._missing = size

    def discard(self) -> None:
        """Keep nothing of this message, whatever comes."""
        self._discarding = True
        self._buffer.clear()

    def feed(self, data: bytes) -> bytes | None:
        """Take octets; return None while the chunk goes on, what follows it when it is complete."""
        chunk, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(chunk)
        if not self._discarding:
            self._buffer += chunk
        if len(self._buffer) > self._size_limit:
            self.discard()
        return None if self._missing else rest

    def message(self) -> MessageData:
        """Return the message of all chunks."""
        if self._discarding:
            return MessageData(b"", Fault.TOO_LARGE)
        raw = bytes(self._buffer)
        if raw and not raw.endswith(CRLF):
            raw += CRLF
        if self._line_limit is not None and not _lines_fit(raw, self._line_limit):
            return MessageData(b"", Fault.LINE_TOO_LONG)
        return MessageData(raw)


def _lines_fit(raw: bytes, limit: int) -> bool:
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


def encode_command(text: bytes) -> bytes:
    """Return a command line for the wire; raise LocalProtocolError when it holds CR, LF or NUL."""
    if b"\r" in text or b"\n" in text or b"\0" in text:
        raise LocalProtocolError("a command with CR, LF or NUL must not be sent")
    return text + CRLF


def encode_reply(reply: Reply) -> bytes:
    """Return a reply for the wire; core.reply has taken control characters out of its texts."""
    return str(reply).encode("utf-8", "surrogateescape") + CRLF
