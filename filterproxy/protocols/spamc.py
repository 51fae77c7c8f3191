"""spamd's protocol, SPAMC/1.x, without I/O: octets to one request, and what is answered.

The rule: a connection carries one request; its message is as long as `Content-length` says, or, without that, ends when
the client closes its sending side. A wrong length is a protocol error and never half a message.

| state | octets | next state |
|---|---|---|
| command | a line `VERB SPAMC/1.x` | headers, done for PING |
| headers | `Name: value` lines | headers |
| headers | an empty line | body, done when no message follows the verb |
| body | as many octets as announced, and perhaps a line end | done |
| body, no length | the end of the stream | done |
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from filterproxy.core.errors import RemoteProtocolError

VERSION = "1.1"
_LINE_LIMIT = 1024
_MAX_HEADERS = 64
_COMMAND = re.compile(r"([A-Za-z_]{1,20})(?:[ \t]+SPAMC/([0-9]{1,3})\.([0-9]{1,3}))?[ \t]*")
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,63})[ \t]*:[ \t]*(.*?)[ \t]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Verb(StrEnum):
    """What a client may ask."""

    CHECK = "CHECK"
    SYMBOLS = "SYMBOLS"
    REPORT = "REPORT"
    REPORT_IFSPAM = "REPORT_IFSPAM"
    PROCESS = "PROCESS"
    HEADERS = "HEADERS"
    TELL = "TELL"
    PING = "PING"
    SKIP = "SKIP"


class Status(IntEnum):
    """How it ended (sysexits.h)."""

    OK = 0
    UNAVAILABLE = 69
    IO_ERROR = 74
    TEMPORARY_FAILURE = 75
    PROTOCOL = 76
    TIMEOUT = 79


class BadRequestError(RemoteProtocolError):
    """The request cannot be served; `status` says so to the client."""

    def __init__(self, reason: str, status: Status = Status.PROTOCOL) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `message` is the mail as it came, decompressed; `set` and `remove` are TELL's, in lower case."""

    verb: Verb
    version: tuple[int, int] = (1, 2)
    user: str = ""
    message: bytes = b""
    message_class: str = ""
    set: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


@dataclass
class RequestReader:
    """Reads one request; messages above `size_limit` octets, before and after decompression, are refused."""

    size_limit: int
    _buffer: bytearray = field(default_factory=bytearray)
    _verb: Verb | None = None
    _version: tuple[int, int] = (1, 2)
    _headers: dict[str, str] = field(default_factory=dict)
    _in_body: bool = False
    _length: int | None = None

    def feed(self, data: bytes) -> Request | None:
        """Take octets; return the request when it is complete. Raises BadRequestError."""
        self._buffer += data
        while not self._in_body:
            line = self._next_line()
            if line is None:
                return None
            request = self._line(line)
            if request is not None:
                return request
        return self._body()

    def finish(self) -> Request:
        """The client has closed its side: return the request, or raise BadRequestError."""
        if self._in_body and self._length is None:
            return self._request(bytes(self._buffer))
        if self._in_body:
            raise BadRequestError(f"Content-Length mismatch: expected {self._length} octets, got {len(self._buffer)}")
        raise BadRequestError("the request ends too early")

    def _next_line(self) -> str | None:
        end = self._buffer.find(b"\n")
        if end > _LINE_LIMIT or (end < 0 and len(self._buffer) > _LINE_LIMIT):
            raise BadRequestError("a line is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end]).rstrip(b"\r").decode("utf-8", "replace")
        del self._buffer[: end + 1]
        return line

    def _line(self, line: str) -> Request | None:
        if self._verb is None:
            return self._command(line)
        if line:
            self._header(line)
            return None
        if self._verb in (Verb.PING, Verb.SKIP):
            return self._request(b"")
        self._length = self._content_length()
        self._in_body = True
        return None

    def _command(self, line: str) -> Request | None:
        match = _COMMAND.fullmatch(line)
        verb = match[1].upper() if match else ""
        if match is None or verb not in Verb.__members__:
            raise BadRequestError(f"Bad header line: {_shown(line)}")
        self._verb = Verb(verb)
        if match[2]:
            self._version = int(match[2]), int(match[3])
        # PING's answer does not wait for headers that some clients never send.
        return self._request(b"") if self._verb is Verb.PING else None

    def _header(self, line: str) -> None:
        match = _HEADER.fullmatch(line)
        if match is None or len(self._headers) >= _MAX_HEADERS:
            raise BadRequestError(f"Bad header line: {_shown(line)}")
        self._headers[match[1].lower()] = match[2]

    def _content_length(self) -> int | None:
        text = self._headers.get("content-length")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise BadRequestError(f"Content-Length: {_shown(text)} is no number")
        if int(text) > self.size_limit:
            raise BadRequestError("the message is too large", Status.UNAVAILABLE)
        return int(text)

    def _body(self) -> Request | None:
        if len(self._buffer) > self.size_limit:
            raise BadRequestError("the message is too large", Status.UNAVAILABLE)
        if self._length is None or len(self._buffer) < self._length:
            return None
        # SpamAssassin's own Perl client sends a line end that it does not count.
        if not b"\r\n".startswith(self._buffer[self._length :]):
            raise BadRequestError(f"Content-Length mismatch: expected {self._length} octets, got more")
        return self._request(bytes(self._buffer[: self._length]))

    def _request(self, message: bytes) -> Request:
        assert self._verb is not None
        headers = self._headers
        return Request(
            self._verb,
            self._version,
            headers.get("user", "")[:255],
            _decompressed(message, headers.get("compress", ""), self.size_limit),
            headers.get("message-class", "").lower(),
            _words(headers.get("set", "")),
            _words(headers.get("remove", "")),
        )


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in text.split(",")) - {""}


def _decompressed(message: bytes, method: str, limit: int) -> bytes:
    if not method:
        return message
    if method.lower() != "zlib":
        raise BadRequestError(f"Compress: {_shown(method)} is not supported")
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(message, limit + 1)
    except zlib.error:
        raise BadRequestError("the message is no zlib data") from None
    if len(plain) > limit:
        raise BadRequestError("the message is too large", Status.UNAVAILABLE)
    if not engine.eof or engine.unused_data:
        raise BadRequestError("the zlib data does not end where the message does")
    return plain


def _shown(text: str) -> str:
    return _CONTROL.sub("?", text)[:80]


def pong() -> bytes:
    """Return the answer to PING."""
    return b"SPAMD/1.5 0 PONG\r\n"


def failure(status: Status, reason: str) -> bytes:
    """Return the answer to a request that could not be served."""
    words = {
        Status.UNAVAILABLE: "Service Unavailable: ",
        Status.TIMEOUT: "Timeout: ",
        Status.PROTOCOL: "",
        Status.IO_ERROR: "EX_IOERR: ",
        Status.TEMPORARY_FAILURE: "EX_TEMPFAIL: ",
    }
    return f"SPAMD/1.0 {status.value} {words.get(status, '')}{_shown(reason)}\r\n".encode("utf-8", "replace")


def spam_line(is_spam: bool, score: float, required: float) -> str:
    """Return the header that tells the verdict."""
    return f"Spam: {is_spam} ; {score:.1f} / {required:.1f}"


def answer(headers: Iterable[str], body: bytes | None) -> bytes:
    """Return an answer with these headers, and with the body and its length unless it is None."""
    lines = [f"SPAMD/{VERSION} 0 EX_OK"]
    if body is not None:
        lines.append(f"Content-length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("utf-8", "replace") + (body or b"")


def scan_answer(request: Request, spam: str, body: bytes) -> bytes:
    """Return the answer to a scan with a body; `spam` is the header that tells the verdict.

    A client below version 1.3 (Exim says 1.2) gets one header, as from spamd: a length, else `spam`.
    """
    if request.version >= (1, 3):
        return answer([spam], body)
    if request.verb in (Verb.PROCESS, Verb.HEADERS):
        return answer([], body)
    return answer([spam], None) + body
