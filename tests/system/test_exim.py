"""Exim's `spam` condition in both variants: a real Exim 4.96 asks the http and the spamd listener as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.messages import gtube, message
from tests.system.server import FilterproxyServer
from tests.system.unpacked import library_path, private_mounts, unpacked
from tests.system.waiting import free_port

VARIANTS = {"http": " variant=rspamd", "spamd": ""}
# Debian's Exim looks for a user of its own, and for the client's name in DNS: a view of /etc that nobody else has.
_VIEW = ("sh", "-c", """
for name in passwd group resolv.conf; do mount --bind "$ROOT/$name" "/etc/$name"; done
exec "$@"
""", "sh")  # fmt: skip
_CONFIG = """\
exim_path = {exim}
spool_directory = {root}/spool
log_file_path = {root}/%slog
pid_file_path = {root}/exim.pid
exim_user = root
exim_group = root
never_users =
primary_hostname = mx.example.net
keep_environment =
spamd_address = 127.0.0.1 {port}{variant}
acl_smtp_rcpt = accept
acl_smtp_data = acl_data
queue_only
begin acl
acl_data:
  deny spam = nobody
       message = $spam_score points: $spam_action
  warn spam = nobody:true
       logwrite = report: $spam_score $spam_action
  accept
"""


class Exim:
    """An Exim that takes one session at a time on its standard input, in front of one listener."""

    def __init__(self, root: Path, server: FilterproxyServer, port: int, variant: str) -> None:
        self.root, self.server = root, server
        self._folder = unpacked(Path(sys.prefix) / "exim", "exim4-daemon-heavy")
        self._exim = self._folder / "usr/sbin/exim4"
        (root / "spool").mkdir(parents=True)
        (root / "exim.conf").write_text(_CONFIG.format(exim=self._exim, root=root, port=port, variant=variant))
        for name, line in {"passwd": "Debian-exim:x:4242:4242::/:/bin/false", "group": "Debian-exim:x:4242:"}.items():
            (root / name).write_text(f"{Path('/etc', name).read_text()}{line}\n")
        (root / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def send(self, mail: bytes) -> str:
        """Return the reply to the message."""
        commands = b"EHLO h.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
        done = subprocess.run(
            [
                *private_mounts(self.root),
                *_VIEW,
                self._exim,
                "-C",
                self.root / "exim.conf",
                "-bs",
                "-oMa",
                "192.0.2.44",
            ],
            input=commands + mail.replace(b"\r\n.", b"\r\n..") + b".\r\nQUIT\r\n",
            env={**os.environ, "LD_LIBRARY_PATH": library_path(self._folder), "ROOT": str(self.root)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        lines = done.stdout.decode(errors="replace").splitlines()
        assert len(lines) > 1, (done.stdout, done.stderr)
        return lines[-2]

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.root.glob("*log")))


@pytest.fixture
def start(filterproxy_server: Any, system_dir: Path) -> Callable[..., Exim]:
    def started(kind: str, **config: Any) -> Exim:
        port = free_port()
        listener = {"type": kind, "address": f"127.0.0.1:{port}", **config.pop("listener", {})}
        server = filterproxy_server({"listeners": [listener], "checks": {"gtube": {}}, **config})
        return Exim(system_dir / "exim", server, port, VARIANTS[kind])

    return started


@pytest.mark.parametrize("kind", VARIANTS)
def test_good_mail_spam_too_much_and_nobody_there(start: Callable[..., Exim], kind: str) -> None:
    exim = start(kind, listener={"limits": {"message_size": 50_000}})
    assert exim.send(message("wanted")).startswith("250 OK"), exim.log()
    assert "report: 0.0" in exim.log()
    assert exim.send(gtube("unwanted")).startswith("550 1000.0 points:"), exim.log()
    log = exim.server.wait_for_log(f"listener={kind}", count=2)
    if kind == "http":
        assert "client=unknown[192.0.2.44]" in log and "from=<a@example.org> to=<b@example.net>" in log
        assert "points: reject" in exim.log()
    # What gets no verdict stays with the sender.
    assert exim.send(message("large", body=(b"x" * 70 + b"\r\n") * 2000)).startswith("451 "), exim.log()
    assert exim.server.stop() == 0
    assert exim.send(message("dead")).startswith("451 "), exim.log()


def test_a_client_that_may_not_ask(start: Callable[..., Exim]) -> None:
    exim = start("http", trusted_networks=["192.0.2.9"])
    assert exim.send(message("wanted")).startswith("451 "), exim.log()
    exim.server.wait_for_log("401 unauthorized")
