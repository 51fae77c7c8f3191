"""Where log lines go: standard error, syslog or a file, written by one background thread.

The rule: logging never delays mail and never raises into it. Lines wait in a bounded queue; when the destination is
slow or broken, lines beyond the bound are counted and the count is written as soon as writing works again.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import syslog
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

QUEUED_LINES = 10_000


class Level(IntEnum):
    """Syslog's numbers for the levels in use."""

    ERROR = syslog.LOG_ERR
    WARNING = syslog.LOG_WARNING
    INFO = syslog.LOG_INFO


class Line(NamedTuple):
    """One finished line, without its line end; `time` in seconds since the epoch."""

    level: Level
    time: float
    text: str


class Sink(Protocol):
    """A destination of lines; used by the writer thread only."""

    def write(self, lines: Sequence[Line]) -> None:
        """Write the lines; raise OSError when that fails."""

    def reopen(self) -> None:
        """Take up a file that was moved away (log rotation)."""

    def close(self) -> None:
        """Give back what is open."""


class StderrSink:
    """Standard error; under systemd each line carries its level, elsewhere time and process."""

    def __init__(self) -> None:
        self._journal = "JOURNAL_STREAM" in os.environ

    def write(self, lines: Sequence[Line]) -> None:
        """Write the lines in one call."""
        text = "".join(f"<{line.level}>{line.text}\n" for line in lines) if self._journal else _dated(lines)
        # Looked up now: whoever replaced sys.stderr meanwhile gets the lines.
        sys.stderr.write(text)
        sys.stderr.flush()

    def reopen(self) -> None:
        """Do nothing: standard error is not ours to open."""

    def close(self) -> None:
        """Do nothing: standard error is not ours to close."""


class SyslogSink:
    """The system's log, facility mail."""

    def __init__(self) -> None:
        self.reopen()

    def write(self, lines: Sequence[Line]) -> None:
        """Hand over each line."""
        for line in lines:
            syslog.syslog(line.level, line.text)

    def reopen(self) -> None:
        """Open the connection anew."""
        syslog.openlog("filterproxy", syslog.LOG_PID, syslog.LOG_MAIL)

    def close(self) -> None:
        """Close the connection."""
        syslog.closelog()


class FileSink:
    """A file, opened for appending, readable by its owner and group only; one that was moved away is opened anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._open()

    def write(self, lines: Sequence[Line]) -> None:
        """Append the lines."""
        if self._file < 0 or self._was_moved():
            self.reopen()
        rest = _dated(lines).encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def reopen(self) -> None:
        """Close the file and open its path again."""
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _was_moved(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return True


def _dated(lines: Sequence[Line]) -> str:
    tag = f"{socket.gethostname()} filterproxy[{os.getpid()}]"
    return "".join(f"{_timestamp(line.time)} {tag}: {line.text}\n" for line in lines)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


# Seconds in which lines gather before they are written together.
_GATHER = 0.02


class Writer:
    """The queue and its thread. The thread starts with the first line, in whichever process writes it."""

    def __init__(self, sink: Sink, queued_lines: int = QUEUED_LINES) -> None:
        self._sink = sink
        self._limit = queued_lines
        self.on_lost: Callable[[int], None] | None = None
        self._reset()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lines: deque[Line] = deque()
        self._dropped = 0
        self._total_dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._writing = self._reopening = self._closing = self._waiting = False
        self._flushing = 0

    @property
    def dropped(self) -> int:
        """Return how many lines were lost since the start."""
        return self._total_dropped

    def put(self, level: Level, text: str) -> None:
        """Queue a line, or count it as lost when the queue is full."""
        with self._changed:
            if len(self._lines) >= self._limit:
                self._lose(1)
                return
            self._lines.append(Line(level, time.time(), text))
            # One that gathers lines or writes some takes the new ones by itself.
            if self._thread is None or self._waiting:
                self._wake()

    def reopen(self) -> None:
        """Have the sink opened again before the next line is written."""
        with self._changed:
            self._reopening = True
            self._wake()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every line so far is written or lost; return False when that took too long."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(self._is_idle, timeout)
            finally:
                self._flushing -= 1

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, stop the thread and close the sink."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        atexit.unregister(self.close)

    def _lose(self, count: int) -> None:
        self._dropped += count
        self._total_dropped += count
        if self.on_lost is not None:
            self.on_lost(count)

    def _is_idle(self) -> bool:
        return not (self._lines or self._writing or self._reopening) or self._thread is None

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="maillog", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._waiting = True
                self._changed.wait_for(lambda: self._lines or self._reopening or self._closing)
                self._waiting = False
                # Waking this thread for each line would cost more than the line.
                self._changed.wait_for(lambda: self._reopening or self._closing or self._flushing, _GATHER)
                lines, reopening = self._take()
                if not lines and not reopening:
                    break
            self._write(lines, reopening)
        self._sink.close()

    def _take(self) -> tuple[list[Line], bool]:
        lines, reopening = list(self._lines), self._reopening
        self._lines.clear()
        if lines and self._dropped:
            lines.append(Line(Level.WARNING, time.time(), f"warning: log: {self._dropped} lines were lost"))
            self._dropped = 0
        self._reopening, self._writing = False, True
        return lines, reopening

    def _write(self, lines: list[Line], reopening: bool) -> None:
        try:
            if reopening:
                self._sink.reopen()
            if lines:
                self._sink.write(lines)
        except (OSError, ValueError):
            # There is no better place to say so than the log itself, once it works again.
            with self._changed:
                self._lose(len(lines))
