"""A server's octets to replies (RFC 5321 section 4.2).

The rule: the server decides what it says, never how much memory that takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from filterproxy.core.errors import RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.lines import Fault, LineBuffer

_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)
_LINE_LIMIT = 4096
_MAX_LINES = 200


class ReplyReader:
    """Cuts a stream into replies; a bare LF ends a line of a reply too, its text is clean when it is written."""

    def __init__(self) -> None:
        self._lines = LineBuffer(_LINE_LIMIT)
        self._texts: list[str] = []
        self._code = 0

    @property
    def incomplete(self) -> bool:
        """Tell whether a reply has begun and not ended."""
        return bool(self._texts or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that are complete now; raise RemoteProtocolError for what is no reply."""
        replies: list[Reply] = []
        for line in self._complete_lines(data):
            if self._add(line.rstrip(b"\r")):
                replies.append(Reply(self._code, tuple(self._texts)))
                self._texts.clear()
        return replies

    def _complete_lines(self, data: bytes) -> Iterable[bytes]:
        if not self._lines and len(data) <= _LINE_LIMIT and data.endswith(b"\r\n"):
            # Nearly every reply comes in one piece: nothing to keep.
            return data[:-2].replace(b"\r\n", b"\n").split(b"\n")
        self._lines.feed(data)
        return self._buffered_lines()

    def _buffered_lines(self) -> Iterator[bytes]:
        while (line := self._lines.next_line()) is not None:
            if line.fault is Fault.LINE_TOO_LONG:
                raise RemoteProtocolError(f"reply line of more than {_LINE_LIMIT} octets")
            yield line.text

    def _add(self, line: bytes) -> bool:
        """Take one line; tell whether it is its reply's last."""
        match = _REPLY_LINE.match(line)
        if match is None:
            raise RemoteProtocolError(f"not an SMTP reply: {line[:80]!r}")
        code = int(match[1])
        if self._texts and code != self._code:
            raise RemoteProtocolError(f"reply changes its code from {self._code} to {code}")
        if len(self._texts) >= _MAX_LINES:
            raise RemoteProtocolError(f"reply of more than {_MAX_LINES} lines")
        self._code = code
        self._texts.append((match[3] or b"").decode("utf-8", "surrogateescape"))
        return match[2] != b"-"
