"""A real Haraka of our own, from npm: own configuration, log and port on loopback; it relays to a given port.

The rule: it asks nobody but the filter, the next hop and a name server on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.system.waiting import answers, free_port, wait_until

_NODE = Path(sys.prefix) / "bin" / "node"
_PACKAGE = Path(sys.prefix) / "mailauth" / "node_modules" / "Haraka"
MINUTE = 60.0

Ini = Mapping[str, Mapping[str, object]]


class Haraka:
    """Takes mail for example.net on `port`, asks one plugin about it and relays it to `next_hop`, a port.

    `plugin` is `rspamd` or `spamassassin`, `settings` its file: sections (`main` has no heading) of keys and values.
    `nameserver` is `host:port`.
    """

    def __init__(self, root: Path, plugin: str, settings: Ini, *, next_hop: int, nameserver: str) -> None:
        assert _PACKAGE.is_dir(), "Haraka is missing: run `make test`"
        self.root, self.port = root, free_port()
        config = root / "config"
        config.mkdir(parents=True)
        (root / "queue").mkdir()
        files = {
            "plugins": f"xclient\nrcpt_to.in_host_list\n{plugin}\nqueue/smtp_forward\n",
            "host_list": "example.net\n",
            "me": "haraka.example.net\n",
            "xclient.hosts": "127.0.0.1\n",
            "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=0\n",
            "smtp_forward.ini": f"host=127.0.0.1\nport={next_hop}\n",
            f"{plugin}.ini": _ini(settings),
        }
        for name in ("connection.ini", "log.ini"):
            shutil.copy(_PACKAGE / "config" / name, config)
        for name, text in files.items():
            (config / name).write_text(text)
        (root / "resolver.js").write_text(f"require('node:dns').setServers([{json.dumps(nameserver)}])\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_NODE, "-r", self.root / "resolver.js", _PACKAGE / "bin" / "haraka", "-c", self.root],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: answers(self.port) or self._ended(), "Haraka listens", MINUTE, self.log)
        assert not self._ended(), self.log()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        # It has no queue of its own here, and would wait for idle connections.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(MINUTE)

    def log(self) -> str:
        """Return what it printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.root / "log"

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None


def _ini(settings: Ini) -> str:
    lines = []
    for section, values in sorted(settings.items(), key=lambda item: item[0] != "main"):
        lines += [] if section == "main" else [f"[{section}]"]
        lines += [f"{key}={value}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
