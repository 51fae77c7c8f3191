"""The mail systems that are compared: Postfix alone, and with a filter in one of the ways it can stand there.

The rule: all on loopback, all with own folders, and mail ends in Postfix' discard transport, so that the filter is what
differs between two systems.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.postfix import Postfix
from tests.system.server import FilterproxyServer
from tests.system.waiting import answers, free_port, wait_until

RSPAMD = shutil.which("rspamd")
_SETTINGS = {"virtual_transport": "discard:", "default_process_limit": "50"}


@dataclass(frozen=True)
class MailSystem:
    """A running system: mail goes to `postfix`; `filter_pid` is the filter's first process, None without one."""

    name: str
    postfix: Postfix
    filter_pid: int | None = None


@dataclass(frozen=True)
class Filter:
    """What filterproxy does in a run: its checks, how many workers, and the DNS server's address."""

    checks: Mapping[str, Any]
    workers: int
    dns: str

    def config(self, listener: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration with this one listener; spam is marked, not refused."""
        return {
            "listeners": [listener],
            "workers": self.workers,
            "mode": "observe",
            "dns": {"nameservers": [self.dns], "timeout": "1s"},
            "checks": dict(self.checks),
        }


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[MailSystem]:
    """Run Postfix alone."""
    with Postfix(folder / "postfix-plain", settings=_SETTINGS) as postfix:
        yield MailSystem("postfix", postfix)


@contextlib.contextmanager
def milter(folder: Path, filters: Filter, *, unix: bool, name: str) -> Iterator[MailSystem]:
    """Run Postfix with filterproxy as its milter, over a unix socket or TCP."""
    port = free_port()
    address, endpoint = (
        (f"unix:{folder}/{name}.sock", f"unix:{folder}/{name}.sock")
        if unix
        else (f"127.0.0.1:{port}", f"inet:127.0.0.1:{port}")
    )
    server = FilterproxyServer(folder / name, filters.config({"type": "milter", "address": address}))
    with server, Postfix(folder / f"postfix-{name}", milters=[endpoint], settings=_SETTINGS) as postfix:
        yield MailSystem(name, postfix, server.pid)


@contextlib.contextmanager
def proxy(folder: Path, filters: Filter, *, name: str) -> Iterator[MailSystem]:
    """Run Postfix with filterproxy as its before-queue filter."""
    address = f"127.0.0.1:{free_port()}"
    postfix = Postfix(folder / f"postfix-{name}", proxy_filter=address, settings=_SETTINGS)
    listener = {"type": "smtp", "address": address, "next_hop": f"127.0.0.1:{postfix.reinject_port}"}
    server = FilterproxyServer(folder / name, filters.config(listener))
    with server, postfix:
        yield MailSystem(name, postfix, server.pid)


@contextlib.contextmanager
def rspamd(folder: Path, dns: str, workers: int) -> Iterator[MailSystem]:
    """Run Postfix with rspamd as its milter: Debian's default configuration, without Redis and without a network."""
    assert RSPAMD, "rspamd is not installed"
    port = free_port()
    root = folder / "rspamd"
    _configure_rspamd(root, port, dns, workers)
    user = pwd.getpwnam("_rspamd")
    for path in (root, *root.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    variables = {"LOCAL_CONFDIR": root, "DBDIR": root / "db", "RUNDIR": root / "run", "LOGDIR": root / "log"}
    with (root / "output").open("wb") as output:
        process = subprocess.Popen(
            [RSPAMD, "-f", "-u", user.pw_name, "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
            + [f"--var={key}={value}" for key, value in variables.items()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(port), "rspamd listens", 60, (root / "output").read_text)
        with Postfix(folder / "postfix-rspamd", milters=[f"inet:127.0.0.1:{port}"], settings=_SETTINGS) as postfix:
            yield MailSystem("rspamd milter", postfix, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _configure_rspamd(root: Path, port: int, dns: str, workers: int) -> None:
    host, _, dns_port = dns.rpartition(":")
    files = {
        "worker-proxy.inc": f'bind_socket = "127.0.0.1:{port}"; milter = yes; count = {workers};\n'
        'timeout = 60s; upstream "local" { default = yes; self_scan = yes; }\n',
        "worker-normal.inc": "enabled = false;\n",
        "worker-controller.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        # What would ask servers outside; names are answered by our own DNS server, so nothing else leaves either.
        "fuzzy_check.conf": "enabled = false;\n",
        "options.inc": f'dns {{ nameserver = ["{host}:{dns_port}"]; timeout = 1s; retransmits = 1; }}\n',
        "logging.inc": f'type = "file"; filename = "{root}/log/rspamd.log"; level = "warning";\n',
        "actions.conf": "reject = null; add_header = 6; greylist = null;\n",
    }
    for name in ("local.d", "override.d", "db", "run", "log"):
        (root / name).mkdir(parents=True)
    for name, text in files.items():
        (root / "local.d" / name).write_text(text)
