"""A log whose lines a test can read and wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from filterproxy.observability.maillog import MailLog
from filterproxy.observability.sinks import Level, Line


class MemorySink:
    """Keeps lines; `broken` makes it fail, `gate` makes it wait."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.reopened = 0
        self.closed = False
        self.broken: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._changed = threading.Condition()

    def write(self, lines: Sequence[Line]) -> None:
        self.entered.set()
        self.gate.wait()
        if self.broken:
            raise self.broken
        with self._changed:
            self.lines.extend(lines)
            self._changed.notify_all()

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed = True

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def warnings(self) -> list[str]:
        return [line.text for line in self.lines if line.level <= Level.WARNING]

    def wait_for(self, condition: Callable[[], object], timeout: float = 20.0) -> bool:
        """Wait until the condition holds after some line."""
        with self._changed:
            return bool(self._changed.wait_for(condition, timeout))


def memory_log() -> tuple[MailLog, MemorySink]:
    sink = MemorySink()
    return MailLog(sink), sink
