"""`filterproxy run` as an operator starts it: a process with a configuration file.

Used by the system tests and by benchmarks/throughput.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from tests.system.waiting import wait_until

COMMAND = Path(sys.executable).with_name("filterproxy")
# Scratch state, one worker, no DNS servers but those a test names.
DEFAULTS: Mapping[str, Any] = {
    "hostname": "mx.example.net",
    "workers": 1,
    "store": "sqlite:state.db",
    "log": {"to": "filterproxy.log"},
    "deadline": "10s",
    "dns": {"nameservers": ["127.0.0.1:1"], "timeout": "200ms"},
}


class FilterproxyServer:
    """The service on a configuration (over DEFAULTS) in the folder `root`; relative paths in it start there."""

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        root.mkdir(mode=0o2755, exist_ok=True)
        self.root = root
        self.config = root / "filterproxy.yml"
        self.exit_status: int | None = None
        self.configure(config)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write the configuration; a running service reads it at the next `reload`."""
        self.config.write_text(yaml.safe_dump({**DEFAULTS, **config}, sort_keys=False))

    @property
    def pid(self) -> int:
        """Return the process id of the supervisor."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, before: Sequence[str] = (), *, deadline: float = 30.0, pass_fds: Sequence[int] = ()) -> Self:
        """Start the process and return when it prints `ready`; raise AssertionError with its words otherwise.

        `before` is a command that runs the words after it.
        """
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*before, COMMAND, "run", "-c", self.config],
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        wait_until(self._ready_or_gone, "filterproxy prints `ready`", deadline, self.log)
        assert self._process.poll() is None, f"filterproxy ended with {self._process.poll()}\n{self.log()}"
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        assert self.stop() == 0, self.log()

    def stop(self, deadline: float = 40.0) -> int:
        """Send SIGTERM and return the exit status; kill it and raise when it does not end in time."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            self.exit_status = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"filterproxy did not end within {deadline:g} s\n{self.log()}") from None
        self._process = None
        return self.exit_status

    def kill(self) -> None:
        """End it at once, workers included."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def reload(self) -> None:
        """Send SIGHUP."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        """Return the log and everything it printed so far."""
        paths = (self.root / "filterproxy.log", self._stdout, self._stderr)
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def wait_for_log(self, text: str, count: int = 1, deadline: float = 20.0) -> str:
        """Return the log once it holds the text that often."""
        wait_until(lambda: self.log().count(text) >= count, f"{text!r} in filterproxy's log", deadline, self.log)
        return self.log()

    def wait_for_line(self, text: str, deadline: float = 20.0) -> str:
        """Return the first whole log line that holds the text, once it is there."""
        return next(line for line in self.wait_for_log(text, deadline=deadline).splitlines() if text in line)

    @property
    def _stdout(self) -> Path:
        return self.root / "stdout"

    @property
    def _stderr(self) -> Path:
        return self.root / "stderr"

    def _ready_or_gone(self) -> bool:
        assert self._process is not None
        return "ready" in self._stdout.read_text(errors="replace").splitlines() or self._process.poll() is not None
