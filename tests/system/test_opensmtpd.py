"""OpenSMTPD's filter-rspamd, as it is, asks the http listener."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.logged_server import MINUTE
from tests.system.messages import BY_SUBJECT, GTUBE, gtube, header_lines, message
from tests.system.opensmtpd import OpenSmtpd
from tests.system.postfix import Postfix
from tests.system.senders import send
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port


@dataclass
class Site:
    """OpenSMTPD, the filter it asks and the Postfix it relays to."""

    opensmtpd: OpenSmtpd
    server: FilterproxyServer
    postfix: Postfix

    def refused(self, raw: bytes) -> tuple[int, str]:
        """Return the reply to a message that must not be taken."""
        sent = send(self.opensmtpd.port, raw, to=("alice@example.net", "bob@example.net"))
        assert sent.code >= 400, sent
        return sent.code, sent.text

    def delivered(self, raw: bytes, marker: str) -> bytes:
        """Return the header section of the message as it was delivered."""
        sent = send(self.opensmtpd.port, raw, to=("alice@example.net", "bob@example.net"))
        assert sent.code == 250, sent
        return header_lines(self.postfix.wait_for_message(f"<{marker}@example.org>".encode(), deadline=MINUTE))


@pytest.fixture
def start(postfix: Any, filterproxy_server: Any, system_dir: Path, servers: list[Any]) -> Iterator[Callable[..., Site]]:
    (system_dir / "words.yml").write_text(BY_SUBJECT)
    with contextlib.ExitStack() as stack:

        def started(trusted: str = "127.0.0.1") -> Site:
            port = free_port()
            limits = {"message_size": 20_000}
            config = {
                "listeners": [{"type": "http", "address": f"127.0.0.1:{port}", "limits": limits}],
                "checks": {"gtube": {}, "rules": {"files": [str(system_dir / "words.yml")]}},
                "trusted_networks": [trusted],
            }
            server, sink = filterproxy_server(config), postfix()
            opensmtpd = OpenSmtpd(system_dir / "opensmtpd", f"http://127.0.0.1:{port}", sink.port)
            servers.append(opensmtpd)
            return Site(stack.enter_context(opensmtpd), server, sink)

        yield started


def test_verdicts(start: Callable[..., Site]) -> None:
    site = start()
    good = site.delivered(message("good"), "good")
    assert b"\nAuthentication-Results: mx.example.net; none\n" in good and b"X-Spam" not in good
    marked = site.delivered(message("marked", subject="ten points"), "marked")
    assert b"\nX-Spam: yes\n" in marked and b"\nX-Spam-Score: 10 / 15\n" in marked and b"TEN_POINTS" in marked
    rewritten = site.delivered(message("subject", subject="new name"), "subject")
    assert b"\nSubject: ***SPAM*** new name\n" in rewritten
    assert site.refused(message("later", subject="come again"))[0] == 451
    code, text = site.refused(gtube("spam"))
    assert code == 550 and text.startswith("Message rejected: ")
    log = site.server.wait_for_log("listener=http", count=5, deadline=MINUTE)
    assert log.count("[127.0.0.1] helo=<client.example.org>") == 5
    assert log.count("from=<sender@example.org> to=<alice@example.net>,<bob@example.net> nrcpt=2 ") == 5


def test_too_much_and_nobody_there(start: Callable[..., Site]) -> None:
    site = start()
    large = message("large", body=(b"x" * 70 + b"\r\n") * 1000 + GTUBE + b"\r\n")
    assert b"X-Spam" not in site.delivered(large, "large")
    site.server.wait_for_log("413 ", deadline=MINUTE)
    assert site.server.stop() == 0
    assert 400 <= site.refused(gtube("dead"))[0] < 500


def test_a_client_that_may_not_ask(start: Callable[..., Site]) -> None:
    site = start(trusted="192.0.2.9")
    assert b"X-Spam" not in site.delivered(gtube("unasked"), "unasked")
    site.server.wait_for_log("401 unauthorized", deadline=MINUTE)
