"""Debian's rbldnsd on loopback: the server that real DNS lists are served with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

from tests.system.waiting import free_port, wait_until

PROGRAM = shutil.which("rbldnsd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


class Rbldnsd:
    """Serves `zones`: zone → data sets of rbldnsd, type → lines. `with Rbldnsd(folder, zones) as server`."""

    def __init__(self, folder: Path, zones: Mapping[str, Mapping[str, str]]) -> None:
        assert PROGRAM, "the system tests need the Debian package rbldnsd"
        self._folder, self._zones = folder, zones
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, zone: str, kind: str, lines: str) -> None:
        """Write a data set; a running server reads it at the next `reload`."""
        new = self._file(zone, kind).with_suffix(".new")
        new.write_text(lines)
        new.chmod(0o644)
        new.rename(self._file(zone, kind))

    def reload(self) -> None:
        """Have the server read its data anew."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        sets = []
        for zone, data in self._zones.items():
            for kind, lines in data.items():
                self.write(zone, kind, lines)
                sets.append(f"{zone}:{kind}:{self._file(zone, kind)}")
        # As root it wants a user to become; it stays in the foreground, and looks at its files when told.
        user = ["-u", "nobody:nogroup"] if os.geteuid() == 0 else []
        command = [str(PROGRAM), "-n", "-c", "0", *user, "-b", f"127.0.0.1/{self.port}", *sets]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "an answer from rbldnsd", 15)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def _file(self, zone: str, kind: str) -> Path:
        return self._folder / f"{zone}.{kind}"

    def _answers(self) -> bool:
        try:
            dns.query.udp(dns.message.make_query("example", "A"), "127.0.0.1", port=self.port, timeout=0.2)
        except (OSError, dns.exception.DNSException):
            return False
        return True
