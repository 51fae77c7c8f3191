"""A server of somebody else's as a process: prints into a file, answers on a port, is stopped with its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.waiting import answers, free_port, wait_until

MINUTE = 60.0


class LoggedServer:
    """A process in the folder `root` that listens on `port`; a subclass writes its configuration and starts it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root, self.port = root, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start it and return when it listens; raise AssertionError with its words when it ends instead."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: answers(self.port) or self._ended(), f"{command[0]} listens", MINUTE, self.log)
        assert not self._ended(), self.log()

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Send it and its children a signal and wait for its end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            self._process.wait(MINUTE)

    def log(self) -> str:
        """Return what it printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.root / "log"

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None
