"""rspamd's client, as it is: scans, learning, statistics, compression, passwords and a server that is gone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.system.messages import gtube, message
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port

HAM, SPAM = message("wanted").replace(b"\r\n", b"\n"), gtube("unwanted").replace(b"\r\n", b"\n")
CLIENT = ("-i", "192.0.2.1", "-F", "a@example.org", "-r", "b@example.net", "--helo", "mail.example.org")
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Daemon:
    """A running http listener and rspamc to ask it."""

    def __init__(self, server: FilterproxyServer, port: int) -> None:
        self.server, self.port = server, port

    def ask(self, *options: str, mail: bytes = b"", status: int = 0) -> str:
        """Return what rspamc prints; its exit status is part of what it says."""
        command = ["rspamc", "-h", f"127.0.0.1:{self.port}", "-t", "20", *options]
        done = subprocess.run(command, input=mail, capture_output=True, timeout=60, check=False)
        output = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        assert done.returncode == status, (done.returncode, output, self.server.log())
        return output

    def scan(self, *options: str, mail: bytes = HAM) -> dict[str, Any]:
        """Return the answer to a scan."""
        answer: dict[str, Any] = json.loads(self.ask("--compact", "-j", *options, mail=mail))
        return answer


@pytest.fixture
def start(filterproxy_server: Any, dns_server: Any) -> Callable[..., Daemon]:
    assert shutil.which("rspamc"), "not installed: apt-get install rspamd"

    def started(**config: Any) -> Daemon:
        port = free_port()
        dns = dns_server({"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
        listener = {"type": "http", "address": f"127.0.0.1:{port}", **config.pop("listener", {})}
        settings = {
            "listeners": [listener],
            "dns": {"nameservers": [dns.address], "timeout": "2s"},
            "checks": {"gtube": {}, "bayes": {}, "spf": {}},
            "actions": {"add_header": 6, "reject": 15},
        }
        return Daemon(filterproxy_server(settings | config), port)

    return started


def test_scans(start: Callable[..., Daemon]) -> None:
    daemon = start()
    report = daemon.ask(mail=HAM)
    assert "Action: no action\nSpam: false\n" in report and "Message-ID: wanted@example.org" in report
    assert re.search(r"^Score: -?[\d.]+ / 15\.00$", report, re.MULTILINE)
    assert "New body" not in report
    spam = daemon.ask(*CLIENT, "symbols", mail=SPAM)
    assert "Action: reject\nSpam: true\n" in spam and "Symbol: GTUBE (1000.00)" in spam
    assert "Message - smtp_message: Message rejected: " in spam
    assert daemon.scan("-z", mail=SPAM)["action"] == "reject"
    assert daemon.scan("-p", "--header", "Settings-ID=x", "--extended-urls")["action"] == "no action"
    marked = daemon.ask("-m", mail=SPAM)
    assert "X-Spam-Action: reject" in marked and marked.replace("\r", "").rstrip().endswith("EMAIL*C.34X")
    log = daemon.server.wait_for_log("listener=http", count=5)
    assert "action=reject" in log and "from=<a@example.org>" in log


def test_the_client_is_checked(start: Callable[..., Daemon]) -> None:
    daemon = start()
    assert "SPF_PASS" in daemon.scan(*CLIENT)["symbols"]
    assert "SPF_FAIL" in daemon.scan(*CLIENT, "-i", "198.51.100.1")["symbols"]
    log = daemon.server.wait_for_log("client=unknown[198.51.100.1]")
    assert "helo=<mail.example.org>" in log and "to=<b@example.net>" in log


def test_a_new_subject_comes_with_the_message(start: Callable[..., Daemon]) -> None:
    daemon = start(actions={"rewrite_subject": 6}, force_actions={"GTUBE": "rewrite subject"})
    assert "Subject: ***SPAM*** The minutes of Monday" in daemon.ask("-m", mail=SPAM)
    assert "Action: rewrite subject" in daemon.ask(mail=SPAM)


def test_learning_and_statistics(start: Callable[..., Daemon]) -> None:
    daemon = start()
    assert "success = true" in daemon.ask("learn_spam", mail=SPAM)
    assert "already learned as spam" in daemon.ask("learn_spam", mail=SPAM)
    assert "success = true" in daemon.ask("learn_ham", mail=HAM)
    daemon.ask(mail=SPAM)
    stat = daemon.ask("stat")
    assert "Messages scanned: 1\n" in stat and "Messages with action reject: 1, 100.00%" in stat
    assert "Messages learned: 2\n" in stat and re.search(r"Statfile: BAYES_SPAM .* learned: 1;", stat)
    assert re.search(r"\| GTUBE +\| +1000\.0 +\| *[\d.]+ *\([\d.]+\) *\| +1 +\|", daemon.ask("counters"))
    assert "Uptime: " in daemon.ask("uptime")
    assert "Messages scanned: 1\n" in daemon.ask("stat_reset")
    assert "Messages scanned: 0\n" in daemon.ask("stat")


def test_passwords(start: Callable[..., Daemon]) -> None:
    listener = {"password": HASHER.hash("read"), "enable_password": HASHER.hash("write")}
    daemon = start(trusted_networks=["192.0.2.9"], listener=listener)
    assert "HTTP error: 401" in daemon.ask(mail=HAM, status=1)
    assert "HTTP error: 401" in daemon.ask("-P", "wrong", "stat", status=1)
    assert "Action: no action" in daemon.ask("-P", "read", mail=HAM)
    assert "Messages scanned: 1" in daemon.ask("-P", "read", "stat")
    assert "HTTP error: 403" in daemon.ask("-P", "read", "learn_spam", mail=HAM, status=1)
    assert "success = true" in daemon.ask("-P", "write", "learn_spam", mail=HAM)
    for word in ("read", "write", "wrong"):
        assert f"password={word}" not in daemon.server.log()


def test_what_is_too_large(start: Callable[..., Daemon]) -> None:
    daemon = start(listener={"limits": {"message_size": 20_000}})
    large = HAM + b"x" * 3_000_000 + b"\n"
    assert "HTTP error: 413" in daemon.ask(mail=large, status=1)
    assert "HTTP error: 413" in daemon.ask("-z", mail=large, status=1)
    assert "HTTP error: 403" in daemon.ask("--header", "Path=/etc/passwd", mail=HAM, status=1)
    assert "Action: no action" in daemon.ask(mail=HAM)


def test_a_dead_server(start: Callable[..., Daemon]) -> None:
    daemon = start()
    assert daemon.server.stop() == 0
    daemon.ask(mail=HAM, status=1)
