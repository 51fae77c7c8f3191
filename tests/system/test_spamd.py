"""The clients of SpamAssassin's daemon, as they are: every mode of spamc, what it exits with, and learning."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.messages import gtube, message
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.waiting import free_port, wait_until

HAM, SPAM = message("wanted").replace(b"\r\n", b"\n"), gtube("unwanted").replace(b"\r\n", b"\n")
# What spamc makes of every answer that is no result (EX_IOERR).
REFUSED = 74


_PERL = """
use Mail::SpamAssassin::Client;
my $client = Mail::SpamAssassin::Client->new({ host => '127.0.0.1', port => shift @ARGV });
my $mail = do { local $/; <STDIN> };
my $result = $client->process($mail);
my @learned = map { $client->learn($mail, $_) ? 1 : 0 } (0, 0, 1, 2);
print join("|", $client->ping ? 1 : 0, $result->{isspam}, $result->{score}, $result->{threshold}, "@learned"), "\\n";
print $result->{message};
"""


class Daemon:
    """A running spamd listener and spamc to ask it."""

    def __init__(self, server: FilterproxyServer, port: int) -> None:
        self.server, self.port = server, port

    def ask(self, *options: str, mail: bytes = b"", status: int = 0) -> bytes:
        """Return what spamc prints; its exit status is part of what it says."""
        command = ["spamc", "-d", "127.0.0.1", "-p", str(self.port), *options]
        done = subprocess.run(command, input=mail, capture_output=True, timeout=30, check=False)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr, self.server.log())
        return done.stdout


@pytest.fixture
def start(filterproxy_server: Callable[..., FilterproxyServer]) -> Callable[..., Daemon]:
    assert shutil.which("spamc"), "not installed: apt-get install spamc"

    def started(**listener: Any) -> Daemon:
        port = free_port()
        config = {
            "listeners": [{"type": "spamd", "address": f"127.0.0.1:{port}", **listener}],
            "checks": {"gtube": {}, "bayes": {}},
            "actions": {"add_header": 6, "reject": 15},
        }
        return Daemon(filterproxy_server(config), port)

    return started


def test_every_mode_of_spamc(start: Callable[..., Daemon]) -> None:
    daemon = start()
    assert daemon.ask("-K").startswith(b"SPAMD/1.5 0")
    assert re.fullmatch(rb"-?[\d.]+/6\.0\n", daemon.ask("-c", mail=HAM))
    assert re.fullmatch(rb"[\d.]+/6\.0\n", daemon.ask("-c", mail=SPAM, status=1))
    assert b"GTUBE" in daemon.ask("-y", mail=SPAM).split(b",")
    assert b"GTUBE" not in daemon.ask("-y", mail=HAM)
    report = daemon.ask("-R", mail=SPAM)
    assert b"Spam: " in report and b"GTUBE" in report
    assert b"Not spam: " in daemon.ask("-R", mail=HAM)
    assert b"GTUBE" in daemon.ask("-r", mail=SPAM)
    assert b"Spam" not in daemon.ask("-r", mail=HAM)
    marked = daemon.ask(mail=SPAM)
    assert b"\nX-Spam-Flag: YES\n" in marked and marked.endswith(SPAM)
    passed = daemon.ask(mail=HAM)
    assert b"X-Spam-Status: No" in passed and b"X-Spam-Flag" not in passed and passed.endswith(HAM)
    assert b"\r" not in passed
    # Of --headers spamc puts the body behind the header section itself.
    assert daemon.ask("--headers", mail=SPAM) == marked
    assert daemon.ask("-E", mail=SPAM, status=1).endswith(SPAM)
    assert daemon.ask("-u", "joe@example.net", mail=HAM).endswith(HAM)
    daemon.server.wait_for_log("listener=spamd")
    daemon.server.wait_for_log("action=add_header")


def test_an_odd_message_comes_back_whole(start: Callable[..., Daemon]) -> None:
    daemon = start()
    for mail in (b"no header\n", b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\n\n\0\xff\n", b"\n\nbody"):
        assert daemon.ask(mail=mail).endswith(mail)


def test_learning(start: Callable[..., Daemon]) -> None:
    daemon = start(allow_tell=True)
    assert b"successfully un/learned" in daemon.ask("-L", "spam", mail=HAM, status=0)
    assert b"already un/learned" in daemon.ask("-L", "spam", mail=HAM)
    assert b"successfully un/learned" in daemon.ask("-L", "ham", mail=HAM)
    assert b"successfully un/learned" in daemon.ask("-L", "forget", mail=HAM)
    assert b"already un/learned" in daemon.ask("-L", "forget", mail=HAM)
    shown = subprocess.run(
        [COMMAND, "models", "show", "default", "-c", daemon.server.config], capture_output=True, text=True, check=True
    )
    assert shown.stdout


def test_learning_is_off_unless_allowed(start: Callable[..., Daemon]) -> None:
    daemon = start()
    daemon.ask("-L", "spam", mail=HAM, status=REFUSED)
    daemon.server.wait_for_log("TELL is not allowed here (allow_tell)")


def test_what_is_too_large_comes_back_as_it_is(start: Callable[..., Daemon]) -> None:
    daemon = start(limits={"message_size": 2000})
    large = HAM + b"x" * 3000 + b"\n"
    assert daemon.ask(mail=large) == large
    daemon.ask("-x", mail=large, status=REFUSED)
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as client:
        client.sendall(b"CHECK SPAMC/1.5\r\n\r\n" + HAM + b"x" * 30_000_000)  # never cut off while it sends
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"SPAMD/1.0 69 ")
    assert daemon.ask(mail=HAM).endswith(HAM)


def test_a_dead_server_costs_no_mail(start: Callable[..., Daemon]) -> None:
    daemon = start()
    assert daemon.server.stop() == 0
    options = ("--connect-retries", "1", "--retry-sleep", "0")
    assert daemon.ask(*options, mail=HAM) == HAM
    daemon.ask("-x", *options, mail=HAM, status=69)


def test_a_unix_socket_and_a_client_that_stalls(filterproxy_server: Any, system_dir: Path) -> None:
    path = system_dir / "spamd.sock"
    listener = {"type": "spamd", "address": f"unix:{path}", "limits": {"request_timeout": "500ms"}}
    server = filterproxy_server({"listeners": [listener], "checks": {"gtube": {}}})
    done = subprocess.run(["spamc", "-U", path, "-c"], input=SPAM, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.split(b"/")[1]) == (1, b"6.0\n")
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.settimeout(20)
        stalled.connect(os.fspath(path))
        stalled.sendall(b"CHECK SPAMC/1.2\r\nContent-length: 100\r\n\r\nSubject")
        assert stalled.recv(1000) == b"SPAMD/1.0 79 Timeout: no complete request in time\r\n"
    wait_until(lambda: "time-out in a request" in server.log(), "the log says so", state=server.log)


@pytest.mark.parametrize(("mail", "verdict"), [(HAM, b"1|False|0|6|"), (SPAM, b"1|True|1000|6|")])
def test_spamassassins_own_module(start: Callable[..., Daemon], mail: bytes, verdict: bytes) -> None:
    daemon = start(allow_tell=True)
    command = ["perl", "-e", _PERL, str(daemon.port)]
    done = subprocess.run(command, input=mail, capture_output=True, timeout=60, check=True)
    told, _, message_back = done.stdout.partition(b"\n")
    assert told == verdict + b"1 0 1 1", done.stderr  # learned, known already, corrected, forgotten
    assert message_back.endswith(mail) and b"X-Spam-Status: " in message_back
