"""A milter's client, just large enough to have messages scanned: what Postfix does, without Postfix's own CPU.

The rule: one connection for many messages; what the milter wants no answer to gets none.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from benchmarks.lib.mail_samples import Mail

_ACTIONS = 0x1FF
# The bit of each command by which a milter says that it does not answer it.
_NO_REPLY = {
    b"L": 0x80, b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"T": 0x10000, b"N": 0x40000, b"B": 0x80000,
}  # fmt: skip
_FINAL = frozenset(b"acdrty")
_PROGRESS = ord("p")
_CHUNK = 65_535


class MilterClient:
    """A connection to the milter on a unix socket; use it as a context manager."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(path)
        self._stream = self._socket.makefile("rb")
        self._unanswered = 0

    def __enter__(self) -> Self:
        self._send(b"O", struct.pack("!III", 6, _ACTIONS, sum(_NO_REPLY.values())))
        self._flush()
        code, answer = self._receive()
        if code != ord("O"):
            raise ConnectionError(f"the milter answered the negotiation with {chr(code)}")
        self._unanswered = struct.unpack("!III", answer[:12])[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def scan(self, mail: Mail, queue_id: str) -> None:
        """Have one message scanned; raise ConnectionError when the connection breaks."""
        head, _, body = mail.raw.partition(b"\r\n\r\n")
        helo, sender = mail.helo.encode(), mail.mail_from.encode()
        self._step(b"C", b"%s\x004\x00\x19%s\x00" % (helo, mail.client.encode()))
        self._step(b"H", helo + b"\0")
        self._step(b"M", b"<%s>\0" % sender)
        self._send(b"D", b"Ri\0%s\0" % queue_id.encode())
        self._step(b"R", b"<bench@example.org>\0")
        self._step(b"T", b"")
        for name, value in _fields(head + b"\r\n"):
            self._step(b"L", b"%s\0%s\0" % (name, value))
        self._step(b"N", b"")
        for start in range(0, len(body), _CHUNK):
            self._step(b"B", body[start : start + _CHUNK])
        self._send(b"E", b"")
        self._flush()
        while self._receive()[0] not in _FINAL:
            pass
        self._send(b"K", b"")  # a new connection in the same one

    _pending = b""

    def _step(self, command: bytes, data: bytes) -> None:
        self._send(command, data)
        if not self._unanswered & _NO_REPLY[command]:
            self._flush()
            while self._receive()[0] == _PROGRESS:
                pass

    def _send(self, command: bytes, data: bytes) -> None:
        self._pending += struct.pack("!I", len(data) + 1) + command + data

    def _flush(self) -> None:
        self._socket.sendall(self._pending)
        self._pending = b""

    def _receive(self) -> tuple[int, bytes]:
        header = self._stream.read(4)
        if len(header) < 4:
            raise ConnectionError("the milter closed the connection")
        frame = self._stream.read(struct.unpack("!I", header)[0])
        return frame[0], frame[1:]


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and value of the header fields; lines that are no field are left out, as Postfix would end there."""
    found: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + b"\n" + line)
        elif b":" in line:
            name, _, value = line.partition(b":")
            found.append((name, value.removeprefix(b" ")))
    return [(name, value.replace(b"\0", b"")) for name, value in found]
