"""rspamd's protocol from before HTTP (`CHECK RSPAMC/1.3`), which Exim's `variant=rspamd` speaks, on the HTTP port.

The rule: such a request differs from HTTP in its first line and its answer in its status line; nothing else is done
twice: here the one is turned into the other.

| RSPAMC | HTTP |
|---|---|
| `CHECK RSPAMC/1.3` (also SYMBOLS, PROCESS, REPORT) | `POST /rspamc HTTP/1.0` |
| `PING RSPAMC/1.3` | `GET /ping HTTP/1.0` |
| `RSPAMD/1.3 0 EX_OK` | `HTTP/1.1 200 OK` and its header section |
| `RSPAMD/1.3 401 Unauthorized` | `HTTP/1.1 401 Unauthorized` and its header section |
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

_REQUEST = re.compile(rb"(CHECK|SYMBOLS|PROCESS|REPORT|PING) RSPAMC/1\.\d\r?\n")
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ([^\r\n]*)\r\n")


def is_rspamc(data: bytes) -> bool:
    """Tell whether a connection that begins so speaks RSPAMC; clients send that line in one piece."""
    return _REQUEST.match(data) is not None


def to_http(data: bytes) -> bytes:
    """Return the beginning of a connection with HTTP's request line instead of RSPAMC's."""
    found = _REQUEST.match(data)
    assert found is not None
    line = b"GET /ping HTTP/1.0\r\n" if found[1] == b"PING" else b"POST /rspamc HTTP/1.0\r\n"
    return line + data[found.end() :]


class RspamcTransport:
    """A transport on which an HTTP answer's header section becomes RSPAMC's one line."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = bytearray()
        self._passed = False

    def write(self, data: bytes) -> None:
        """Write a piece of the answer."""
        if self._passed:
            self._transport.write(data)
            return
        self._head += data
        head, end, body = bytes(self._head).partition(b"\r\n\r\n")
        if end:
            self._passed = True
            self._transport.write(_status_line(head + end) + body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _status_line(head: bytes) -> bytes:
    found = _ANSWER.match(head)
    if found is None:
        return b"RSPAMD/1.3 500 Internal Server Error\r\n"
    if found[1] == b"200":
        return b"RSPAMD/1.3 0 EX_OK\r\n"
    return b"RSPAMD/1.3 " + found[1] + b" " + found[2] + b"\r\n"
