"""Postfix's policy delegation protocol (SMTPD_POLICY_README) without I/O: octets to requests, and answers to octets.

The rule: a request is what its lines say and nothing is guessed: what is no request ends the connection, for behind it
nobody knows where the next one begins.

| state | line | next state |
|---|---|---|
| between requests | `name=value` | in a request |
| between requests | empty | refused: a request has attributes |
| in a request | `name=value` | in a request; the last value of a name counts |
| in a request | empty | between requests, and the request is there |
| any | anything else | refused |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from filterproxy.core.errors import RemoteProtocolError

REQUEST = "smtpd_access_policy"
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,100}")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")
_LONGEST_TEXT = 900  # Postfix reads lines of 2048 octets, and adds the header field or reply whole


@dataclass(frozen=True, slots=True)
class Request:
    """What Postfix asks: attributes by name. Octets that are not UTF-8 are surrogate escapes."""

    attributes: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        """Return an attribute, empty when it is not told."""
        return self.attributes.get(name, "")

    @property
    def is_rcpt(self) -> bool:
        """Tell whether it is about a recipient; at other stages (DATA, END-OF-MESSAGE, …) nothing is decided."""
        return self["protocol_state"].upper() == "RCPT"


@dataclass
class RequestReader:
    """Reads the requests of one connection; `line_length` counts octets without the line end."""

    line_length: int
    attributes: int
    _buffer: bytearray = field(default_factory=bytearray)
    _request: dict[str, str] = field(default_factory=dict)
    _searched: int = 0

    def feed(self, data: bytes) -> None:
        """Take octets."""
        self._buffer += data

    @property
    def in_request(self) -> bool:
        """Tell whether a request has begun and not ended."""
        return bool(self._request or self._buffer)

    def next_request(self) -> Request | None:
        """Return the next request, None when more octets are needed; raise RemoteProtocolError."""
        while (line := self._next_line()) is not None:
            if line:
                self._attribute(line)
            else:
                return self._end()
        return None

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if end > self.line_length or (end < 0 and len(self._buffer) > self.line_length):
            raise RemoteProtocolError(f"a line is longer than {self.line_length} octets")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _attribute(self, line: bytes) -> None:
        name, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
        if not equals or not _NAME.fullmatch(name) or "\0" in value:
            raise RemoteProtocolError(f"a line is no attribute `name=value`: {_shown(line)}")
        if len(self._request) >= self.attributes and name not in self._request:
            raise RemoteProtocolError(f"a request has more than {self.attributes} attributes")
        self._request[name] = value

    def _end(self) -> Request:
        request, self._request = Request(self._request), {}
        if request["request"] != REQUEST:
            raise RemoteProtocolError(f"the request is not `request={REQUEST}`: {request['request'][:60]!r}")
        return request


def answer(action: str, text: str = "") -> bytes:
    """Return an answer: an action of Postfix's access(5) with its text, made printable ASCII and cut."""
    line = f"action={action} {_NOT_PRINTABLE.sub('?', text)[:_LONGEST_TEXT]}".rstrip()
    return line.encode("ascii") + b"\n\n"


def _shown(octets: bytes) -> str:
    return repr(octets[:60].decode("utf-8", "replace"))
