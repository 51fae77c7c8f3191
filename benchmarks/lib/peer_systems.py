"""The scanners of `benchmarks/peers.py`: each with its defaults, one scanning process, trained on the same mail.

The rule: the checks are those that each has enabled as it is installed; what is changed is where it listens, which name
server it asks, where it keeps its state, and that it asks no service outside.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.milter_client import MilterClient
from benchmarks.throughput import ALL_CHECKS
from filterproxy import __version__
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.waiting import answers, free_port, wait_until

SPAMD = shutil.which("spamd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
RSPAMD = shutil.which("rspamd")
REDIS = shutil.which("redis-server")


@dataclass
class Training:
    """Folders with the messages that everyone learns."""

    ham: Path
    spam: Path


class Peer(Protocol):
    """A running scanner."""

    name: str
    version: str
    checks: str
    pids: Sequence[int]
    together: int

    def scan(self, mail: Mail) -> None:
        """Have one message scanned."""

    def symbols(self) -> int:
        """Return how many symbols fired since the start."""


@dataclass
class Ours:
    """`filterproxy run` with one worker and a milter listener."""

    server: FilterproxyServer
    client: MilterClient
    pids: Sequence[int]
    name: str = "filterproxy"
    version: str = __version__
    checks: str = " ".join(sorted(ALL_CHECKS))
    together: int = 1
    _count: int = 0

    def scan(self, mail: Mail) -> None:
        """Have one message scanned."""
        self._count += 1
        self.client.scan(mail, f"4Peer{self._count}")

    def symbols(self) -> int:
        """Return how many symbols the log names."""
        wait_until(lambda: self.server.log().count(": scan: ") >= self._count, "all lines in the log", 30)
        found = re.findall(r": scan: .*? symbols=(\S*)", self.server.log())
        return sum(len(re.findall(r"[A-Z][A-Z0-9_]+\(", line)) for line in found)


@contextlib.contextmanager
def ours(folder: Path, dns_port: int, dns_pid: int, training: Training) -> Iterator[Ours]:
    """Run filterproxy with all checks that need no list of yours."""
    path = folder / "milter.sock"
    config = {
        "listeners": [{"type": "milter", "address": f"unix:{path}"}],
        "mode": "observe",
        "dns": {"nameservers": [f"127.0.0.1:{dns_port}"], "timeout": "1s"},
        "checks": ALL_CHECKS,
    }
    server = FilterproxyServer(folder / "filterproxy", config)
    for label, messages in (("spam", training.spam), ("ham", training.ham)):
        _run([COMMAND, "learn", "-c", server.config, label, messages])
    with server, MilterClient(str(path)) as client:
        yield Ours(server, client, [server.pid, dns_pid])


@dataclass
class Rspamd:
    """rspamd with one normal worker, Bayes in a Redis of its own."""

    port: int
    version: str
    checks: str
    pids: Sequence[int]
    name: str = "rspamd"
    together: int = 1
    _fired: int = 0

    def scan(self, mail: Mail) -> None:
        """Have one message scanned."""
        headers = {"IP": mail.client, "Helo": mail.helo, "From": mail.mail_from, "Rcpt": "bench@example.org"}
        self._fired += len(json.loads(_post(self.port, "/checkv2", mail.raw, headers)).get("symbols", {}))

    def symbols(self) -> int:
        """Return how many symbols its answers named."""
        return self._fired


@contextlib.contextmanager
def rspamd(folder: Path, dns_port: int, dns_pid: int, training: Training, workers: int = 1) -> Iterator[Rspamd]:
    """Run rspamd and Redis."""
    assert RSPAMD and REDIS, "rspamd or redis-server is not installed"
    port, controller, redis_port = free_port(), free_port(), free_port()
    root = folder / "rspamd"
    _write_rspamd(root, port, controller, redis_port, dns_port, workers)
    user = pwd.getpwnam("_rspamd")
    for path in (root, *root.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    variables = {"LOCAL_CONFDIR": root, "DBDIR": root / "db", "RUNDIR": root / "run", "LOGDIR": root / "log"}
    command = [RSPAMD, "-f", "-u", user.pw_name, "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
    command += [f"--var={key}={value}" for key, value in variables.items()]
    redis = [REDIS, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(root / "db")]
    with _process(redis, root / "redis.log") as store, _process(command, root / "output") as scanner:
        wait_until(lambda: answers(port) and answers(controller) and answers(redis_port), "rspamd listens", 60)
        for label, messages in (("learnspam", training.spam), ("learnham", training.ham)):
            for path in sorted(messages.iterdir()):
                _post(controller, f"/{label}", path.read_bytes(), {})
        modules = _first_line([RSPAMD, "--version"]).rpartition(" ")[2]
        yield Rspamd(port, modules, _rspamd_modules(), [scanner.pid, store.pid, dns_pid])


def _write_rspamd(root: Path, port: int, controller: int, redis_port: int, dns_port: int, workers: int) -> None:
    files = {
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{port}"; count = {workers};\n',
        "worker-controller.inc": f'bind_socket = "127.0.0.1:{controller}"; secure_ip = "127.0.0.1";\n',
        "worker-proxy.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        # It would ask a service outside.
        "fuzzy_check.conf": "enabled = false;\n",
        "redis.conf": f'servers = "127.0.0.1:{redis_port}";\n',
        "options.inc": f'dns {{ nameserver = ["127.0.0.1:{dns_port}"]; timeout = 1s; retransmits = 1; }}\n',
        "logging.inc": f'type = "file"; filename = "{root}/log/rspamd.log";\n',
    }
    for name in ("local.d", "override.d", "db", "run", "log"):
        (root / name).mkdir(parents=True)
    for name, text in files.items():
        (root / "local.d" / name).write_text(text)


def _rspamd_modules() -> str:
    names = sorted(path.stem for path in Path("/etc/rspamd/modules.d").glob("*.conf"))
    return f"as installed without fuzzy_check ({len(names)} modules configured), Bayes in Redis"


@dataclass
class Spamd:
    """SpamAssassin's daemon with one child, its network checks answered by the local name server."""

    port: int
    version: str
    checks: str
    pids: Sequence[int]
    name: str = "spamd"
    together: int = 1
    _fired: int = 0

    def scan(self, mail: Mail) -> None:
        """Have one message scanned."""
        request = f"SYMBOLS SPAMC/1.5\r\nContent-length: {len(mail.raw)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.port), 120) as connection:
            connection.sendall(request + mail.raw)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        names = answer.partition(b"\r\n\r\n")[2].strip()
        self._fired += len(names.split(b",")) if names else 0

    def symbols(self) -> int:
        """Return how many symbols its answers named."""
        return self._fired


@contextlib.contextmanager
def spamd(folder: Path, dns_port: int, dns_pid: int, training: Training, children: int = 1) -> Iterator[Spamd]:
    """Run spamd."""
    assert SPAMD, "spamd is not installed"
    root, port = folder / "spamassassin", free_port()
    shutil.copytree("/etc/spamassassin", root / "etc")
    (root / "home").mkdir()
    (root / "etc" / "bench.cf").write_text(
        f"dns_available yes\ndns_server 127.0.0.1:{dns_port}\nbayes_path {root}/home/bayes\nbayes_file_mode 0777\n"
        "use_razor2 0\nuse_pyzor 0\nuse_dcc 0\nrbl_timeout 2\n"
    )
    site = f"--siteconfigpath={root}/etc"
    for label, messages in (("--spam", training.spam), ("--ham", training.ham)):
        _run(["sa-learn", site, "--no-sync", label, messages])
    _run(["sa-learn", site, "--sync"])
    nobody = pwd.getpwnam("nobody")
    for path in (root, *root.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    command = [SPAMD, site, "-x", "-u", "nobody", "-H", str(root / "home"), "-i", "127.0.0.1", "-p", str(port)]
    with _process([*command, "-m", str(children), "-s", str(root / "home" / "log")], root / "output") as scanner:
        wait_until(lambda: answers(port), "spamd listens", 120)
        version = _first_line([SPAMD, "--version"]).rpartition(" ")[2]
        yield Spamd(port, version, "as installed, Bayes, network checks by DNS", [scanner.pid, dns_pid])


@contextlib.contextmanager
def _process(command: Sequence[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _first_line(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def _post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().read()
    finally:
        connection.close()
