"""A real Haraka of our own, from npm: own configuration, log and port on loopback; it relays to a given port.

The rule: it asks nobody but the filter, the next hop and a name server on loopback.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.system.logged_server import LoggedServer

_NODE = Path(sys.prefix) / "bin" / "node"
_PACKAGE = Path(sys.prefix) / "mailauth" / "node_modules" / "Haraka"

Ini = Mapping[str, Mapping[str, object]]


class Haraka(LoggedServer):
    """Takes mail for example.net on `port`, asks one plugin about it and relays it to `next_hop`, a port.

    `plugin` is `rspamd` or `spamassassin`, `settings` its file: sections (`main` has no heading) of keys and values.
    `nameserver` is `host:port`.
    """

    def __init__(self, root: Path, plugin: str, settings: Ini, *, next_hop: int, nameserver: str) -> None:
        assert _PACKAGE.is_dir(), "Haraka is missing: run `make test`"
        super().__init__(root)
        config = root / "config"
        config.mkdir()
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

    def __enter__(self) -> Self:
        self.start([_NODE, "-r", self.root / "resolver.js", _PACKAGE / "bin" / "haraka", "-c", self.root])
        return self

    def __exit__(self, *_: object) -> None:
        # It has no queue of its own here, and would wait for idle connections.
        self.stop(signal.SIGKILL)


def _ini(settings: Ini) -> str:
    lines = []
    for section, values in sorted(settings.items(), key=lambda item: item[0] != "main"):
        lines += [] if section == "main" else [f"[{section}]"]
        lines += [f"{key}={value}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
