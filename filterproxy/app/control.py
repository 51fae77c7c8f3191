"""The words between supervisor and workers, one JSON object a line over a socket pair.

The rule: the end of the stream is a word too — a worker whose supervisor is gone drains and exits.

| supervisor says | worker answers | meaning |
|---|---|---|
| (fork) | ready, or failed with lines | the listeners of this worker serve |
| prepare N | prepared N, or refused N with lines | build configuration N beside the one in use |
| commit N / abort N | – | use it from the next transaction on / forget it |
| drain | (exits 0) | finish the open sessions and go |
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum


class Word(StrEnum):
    """What a control message says."""

    READY = "ready"
    FAILED = "failed"
    PREPARE = "prepare"
    PREPARED = "prepared"
    REFUSED = "refused"
    COMMIT = "commit"
    ABORT = "abort"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """One message; `generation` numbers the reloads, `lines` are faults for the operator."""

    word: Word
    generation: int = 0
    lines: tuple[str, ...] = ()
    temporary: bool = False

    def encode(self) -> bytes:
        """Return the line, with its end."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> ControlMessage:
        """Return the message of a line."""
        fields = json.loads(line)
        return cls(Word(fields["word"]), fields["generation"], tuple(fields["lines"]), fields["temporary"])


class Channel:
    """The supervisor's end: never blocks, so that one stuck worker holds up nobody."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._pending = b""

    def send(self, message: ControlMessage) -> bool:
        """Send a message; return False when the worker is gone or reads no more."""
        try:
            self.socket.sendall(message.encode())
        except OSError:
            return False
        return True

    def receive(self) -> Iterator[ControlMessage]:
        """Yield the messages that have arrived; a closed stream yields nothing (the process's end tells why)."""
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                break
            if not data:
                break
            self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        yield from map(ControlMessage.decode, lines)

    def close(self) -> None:
        """Close our end; the worker reads the end of the stream."""
        self.socket.close()
