"""Signals as a queue that a selector can wait for: handlers only note, the loop acts."""

from __future__ import annotations

import signal
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType


class SignalQueue:
    """Collects signals while open; `socket` becomes readable when one has arrived."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._arrived: deque[signal.Signals] = deque()
        self.socket, self._wakeup = socket.socketpair()
        self.socket.setblocking(False)
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in numbers}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number))

    def take(self) -> list[signal.Signals]:
        """Return what has arrived since the last call, oldest first."""
        with suppress(BlockingIOError):
            while self.socket.recv(4096):
                pass
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def close(self) -> None:
        """Put back the handlers that were there before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.socket.close()
        self._wakeup.close()
