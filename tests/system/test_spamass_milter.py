"""spamass-milter before a real Postfix, as it is: it hands each message to spamc, which asks the spamd listener."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.messages import BODY, BY_SUBJECT, GTUBE, as_delivered, body_of, gtube, header_lines, message
from tests.system.postfix import Postfix
from tests.system.senders import send
from tests.system.server import FilterproxyServer
from tests.system.waiting import answers, free_port, wait_until

MINUTE = 60.0


class Chain:
    """Postfix, spamass-milter and filterproxy behind each other."""

    def __init__(self, postfix: Postfix, server: FilterproxyServer) -> None:
        self.postfix, self.server = postfix, server

    def delivered(self, raw: bytes, marker: str) -> bytes:
        """Return the message as it was delivered."""
        sent = send(self.postfix.port, raw)
        assert sent.code == 250, (sent, self.postfix.log(), self.server.log())
        return self.postfix.wait_for_message(f"<{marker}@example.org>".encode(), deadline=MINUTE)


@contextlib.contextmanager
def spamass_milter(port: int, *options: str) -> Iterator[None]:
    """Run it on a port; the options behind `--` are spamc's."""
    program = shutil.which("spamass-milter") or "/usr/sbin/spamass-milter"
    assert Path(program).exists(), "not installed: apt-get install spamass-milter"
    process = subprocess.Popen([program, "-p", f"inet:{port}@127.0.0.1", *options])
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, "spamass-milter listens", MINUTE)
        assert process.poll() is None, "spamass-milter ended"
        yield
    finally:
        process.kill()  # it has no queue, and takes five seconds over SIGTERM
        process.wait(MINUTE)


@pytest.fixture
def start(postfix: Any, filterproxy_server: Any) -> Iterator[Callable[..., Chain]]:
    with contextlib.ExitStack() as stack:

        def started(*options: str, **config: Any) -> Chain:
            port, milter = free_port(), free_port()
            listener = {"type": "spamd", "address": f"127.0.0.1:{port}", **config.pop("listener", {})}
            server = filterproxy_server({"listeners": [listener], "checks": {"gtube": {}}, **config})
            asked = ("--", "-d", "127.0.0.1", "-p", str(port), "--connect-retries", "1", "--retry-sleep", "0")
            stack.enter_context(spamass_milter(milter, *options, *asked))
            return Chain(postfix(milters=[f"inet:127.0.0.1:{milter}"]), server)

        yield started


def test_good_mail_and_spam(start: Callable[..., Chain]) -> None:
    chain = start("-m", "-r", "2000", "-u", "nobody", "-e", "example.net")
    good = header_lines(chain.delivered(message("good", headers=[b"X-Spam-Flag: YES"]), "good"))
    assert b"X-Spam-Status: No, score=0.0 required=6.0 tests=none" in b" ".join(good.split()), good
    assert b"X-Spam-Flag" not in good, "the forged one is gone"
    spam = chain.delivered(gtube("spam"), "spam")
    head = header_lines(spam)
    assert b"\nX-Spam-Flag: YES\n" in head and b"\nX-Spam-Status: Yes, score=1000.0" in head
    assert b"GTUBE" in head and b"\nSubject: The minutes of Monday\n" in head
    assert spam.endswith(GTUBE + b"\n"), "the message is not wrapped into a report"
    log = chain.server.wait_for_log("listener=spamd", count=2, deadline=MINUTE)
    assert "action=add_header" in log


def test_spam_is_refused_from_its_own_threshold_on(start: Callable[..., Chain], system_dir: Path) -> None:
    (system_dir / "words.yml").write_text(BY_SUBJECT)
    chain = start("-r", "15", checks={"gtube": {}, "rules": {"files": [str(system_dir / "words.yml")]}})
    sent = send(chain.postfix.port, gtube("refused"))
    assert (sent.code, sent.text) == (550, "5.7.1 Blocked by SpamAssassin"), chain.server.log()
    renamed = chain.delivered(message("renamed", subject="new name"), "renamed")
    assert b"\nSubject: ***SPAM*** new name\n" in header_lines(renamed)
    assert body_of(renamed) == as_delivered(BODY)


def test_what_is_too_large_is_delivered_unmarked(start: Callable[..., Chain]) -> None:
    chain = start("-r", "15", listener={"limits": {"message_size": 20_000}})
    large = message("large", body=(b"x" * 70 + b"\r\n") * 1000 + GTUBE + b"\r\n")
    got = chain.delivered(large, "large")
    assert b"X-Spam-" not in header_lines(got)
    chain.server.wait_for_log("the message is too large", deadline=MINUTE)
    assert send(chain.postfix.port, gtube("refused")).code == 550


def test_a_dead_server_costs_no_mail(start: Callable[..., Chain]) -> None:
    chain = start("-r", "15")
    assert chain.server.stop() == 0
    assert b"X-Spam-" not in header_lines(chain.delivered(gtube("dead"), "dead"))
