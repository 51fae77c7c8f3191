"""Milter frames: a big-endian uint32 length that counts the command byte, the command byte, the payload.

The rule: a length on the wire is a claim; it is checked against the limit before anything waits for its bytes.
"""

from __future__ import annotations

import struct

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError

# Postfix sends a header field whole (header_size_limit, 102400 octets); sendmail may be built with 1 MiB chunks.
DEFAULT_FRAME_LIMIT = 1024 * 1024 + 1024
_LENGTH = struct.Struct("!I")


def encode_frame(code: bytes, payload: bytes = b"") -> bytes:
    """Return one frame for a one-byte command or reply code."""
    if len(code) != 1:
        raise LocalProtocolError(f"a milter code is one byte, not {code!r}")
    return _LENGTH.pack(1 + len(payload)) + code + payload


class FrameDecoder:
    """Cuts a byte stream into frames; holds at most one unfinished frame of `limit` bytes plus what was just fed."""

    def __init__(self, limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._position = 0

    @property
    def buffered(self) -> int:
        """Return the number of bytes not yet handed out."""
        return len(self._buffer) - self._position

    def feed(self, data: bytes) -> None:
        """Add bytes from the peer."""
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def next_frame(self) -> tuple[bytes, bytes] | None:
        """Return the next (code, payload), None until it is complete; raise RemoteProtocolError for a bad length."""
        start = self._position + _LENGTH.size
        if len(self._buffer) < start:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._position)
        if not 0 < length <= self._limit:
            raise RemoteProtocolError(f"milter frame of {length} bytes (1 to {self._limit} allowed)")
        end = start + length
        if len(self._buffer) < end:
            return None
        self._position = end
        return bytes(self._buffer[start : start + 1]), bytes(self._buffer[start + 1 : end])
