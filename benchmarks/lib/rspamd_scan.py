"""rspamd's CPU for the same messages, scanned over its own HTTP protocol."""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.process_tree import cpu_seconds
from tests.system.waiting import answers, free_port, wait_until


def rspamd_cpu(mails: Sequence[Mail], dns_port: int, rounds: int) -> float:
    """Return the median over the rounds of rspamd's CPU milliseconds a message; raise SystemExit without rspamd."""
    rspamd = shutil.which("rspamd")
    if rspamd is None:
        raise SystemExit("rspamd is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        _configure(folder, port, dns_port)
        user = pwd.getpwnam("_rspamd")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        variables = {
            "LOCAL_CONFDIR": folder,
            "DBDIR": folder / "db",
            "RUNDIR": folder / "run",
            "LOGDIR": folder / "log",
        }
        command = [rspamd, "-f", "-u", user.pw_name, "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
        command += [f"--var={key}={value}" for key, value in variables.items()]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            wait_until(lambda: answers(port), "rspamd listens", 60)
            return _measure(process.pid, port, mails, rounds)
        finally:
            process.terminate()
            process.wait(30)


def _configure(folder: Path, port: int, dns_port: int) -> None:
    files = {
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{port}"; count = 1;\n',
        "worker-proxy.inc": "enabled = false;\n",
        "worker-controller.inc": "enabled = false;\n",
        "worker-fuzzy.inc": "enabled = false;\n",
        # It would ask servers outside; names are answered by our own server, so nothing else leaves either.
        "fuzzy_check.conf": "enabled = false;\n",
        "options.inc": f'dns {{ nameserver = ["127.0.0.1:{dns_port}"]; timeout = 1s; retransmits = 1; }}\n',
        "logging.inc": f'type = "file"; filename = "{folder}/log/rspamd.log"; level = "warning";\n',
    }
    for name in ("local.d", "override.d", "db", "run", "log"):
        (folder / name).mkdir()
    for name, text in files.items():
        (folder / "local.d" / name).write_text(text)


def _measure(pid: int, port: int, mails: Sequence[Mail], rounds: int) -> float:
    # Twice to warm up: it compiles its expressions in the background.
    for _ in range(2):
        _scan_all(port, mails)
    found = []
    for _ in range(rounds):
        before = cpu_seconds([pid])
        _scan_all(port, mails)
        found.append((cpu_seconds([pid]) - before) * 1000 / len(mails))
    return median(found)


def _scan_all(port: int, mails: Sequence[Mail]) -> None:
    symbols = 0
    for mail in mails:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"IP": mail.client, "Helo": mail.helo, "From": mail.mail_from, "Rcpt": "bench@example.org"}
        connection.request("POST", "/checkv2", mail.raw, headers)
        symbols += connection.getresponse().read().count(b'"metric_score"')
        connection.close()
    if not symbols:
        raise SystemExit("rspamd fired no symbols: it did not scan")
