"""The octets of a message as they come: DATA with its dots (RFC 5321 section 4.5.2), the chunks of BDAT (RFC 3030).

The rule: a message ends with CRLF.CRLF, nothing else does. What is larger than the limit is read to its end, not kept.
"""

from __future__ import annotations

from typing import Protocol

from filterproxy.protocols.smtp.blemishes import CRLF
from filterproxy.protocols.smtp.lines import STUFFED, safe_cut

_END_OF_DATA = b"\r\n.\r\n"


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
        cut = safe_cut(octets, max(0, len(octets) - len(_END_OF_DATA) + 1))
        self._held = octets[cut:]
        self._keep(octets[:cut])
        return None

    def _keep(self, octets: bytes) -> None:
        """Keep octets between two safe cuts: every doubled dot in them is seen with the CRLF before it."""
        clean = octets.replace(STUFFED, CRLF)
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
