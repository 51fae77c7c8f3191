"""Haraka's plugins for rspamd and SpamAssassin, as they are, ask the http and the spamd listener."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.system.haraka import Haraka, Ini
from tests.system.logged_server import MINUTE
from tests.system.messages import BY_SUBJECT, GTUBE, gtube, header_lines, message
from tests.system.postfix import Postfix
from tests.system.senders import Sent, send
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port

_LISTENERS = {"rspamd": "http", "spamassassin": "spamd"}
_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
LARGE = message("large", body=(b"x" * 70 + b"\r\n") * 1000 + GTUBE + b"\r\n")
CLIENT = "ADDR=192.0.2.1 NAME=mail.example.org"


@dataclass
class Site:
    """Haraka, the filter it asks and the Postfix it relays to."""

    haraka: Haraka
    server: FilterproxyServer
    postfix: Postfix

    def send(self, raw: bytes) -> Sent:
        """Send as a client elsewhere."""
        return send(self.haraka.port, raw, to=("alice@example.net", "bob@example.net"), xclient=CLIENT)

    def refused(self, raw: bytes) -> tuple[int, str]:
        """Return the reply to a message that must not be taken."""
        sent = self.send(raw)
        assert sent.code >= 400, (sent, self.haraka.log(), self.server.log())
        return sent.code, sent.text

    def delivered(self, raw: bytes, marker: str) -> bytes:
        """Return the message as it was delivered."""
        sent = self.send(raw)
        assert sent.code == 250, (sent, self.haraka.log(), self.server.log())
        return self.postfix.wait_for_message(f"<{marker}@example.org>".encode(), deadline=MINUTE)

    def gets_no_verdict(self, raw: bytes, marker: str, defer: str) -> None:
        """See a message that the filter says nothing of put off, or delivered without a mark, as the plugin is set."""
        if defer == "true":
            assert 400 <= self.refused(raw)[0] < 500
        else:
            assert b"X-Spam" not in header_lines(self.delivered(raw, marker))


@pytest.fixture
def start(
    postfix: Any, filterproxy_server: Any, dns_server: Any, system_dir: Path, servers: list[Any]
) -> Iterator[Callable[..., Site]]:
    (system_dir / "words.yml").write_text(BY_SUBJECT)
    with contextlib.ExitStack() as stack:

        def started(plugin: str, settings: Ini, **listener: Any) -> Site:
            port, dns = free_port(), dns_server({"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
            config = {
                "listeners": [{"type": _LISTENERS[plugin], "address": f"127.0.0.1:{port}", **listener}],
                "dns": {"nameservers": [dns.address], "timeout": "10s"},
                "deadline": "30s",
                "checks": {"gtube": {}, "spf": {}, "rules": {"files": [str(system_dir / "words.yml")]}},
                "trusted_networks": ["192.0.2.9"] if "password" in listener else ["127.0.0.1"],
            }
            server, sink = filterproxy_server(config), postfix()
            host = {"host": "127.0.0.1", "port": port}
            main = {"rspamd": host, "spamassassin": {"spamd_socket": f"127.0.0.1:{port}"}}[plugin]
            ini: Ini = {
                **settings,
                "main": {**main, **settings.get("main", {})},
                "check": {"private_ip": "true", "local_ip": "true"},
            }
            haraka = Haraka(system_dir / "haraka", plugin, ini, next_hop=sink.port, nameserver=dns.address)
            servers.append(haraka)
            return Site(stack.enter_context(haraka), server, sink)

        yield started


def test_rspamd_verdicts(start: Callable[..., Site]) -> None:
    site = start("rspamd", {"request": {"milter": "true"}})
    head = header_lines(site.delivered(message("good", headers=[b"X-Spam-Flag: YES", b"X-Spam: Yes"]), "good"))
    assert b"\nX-Spamd-Result: default: False [-0.20 / 15.00];\n\tSPF_PASS(-0.20)" in head
    assert b"\nAuthentication-Results: mx.example.net;\n\tspf=pass " in head
    assert b"X-Spam" not in head.replace(b"X-Spamd-Result", b"") and b"X-Rspamd-Score" not in head
    marked = header_lines(site.delivered(message("marked", subject="ten points"), "marked"))
    assert b"\nX-Rspamd-Score: 9.8\n" in marked and b"TEN_POINTS(10)" in marked
    assert b"\nX-Rspamd-Bar: +++++++++\n" in marked and b"\nX-Spam: Yes\n" in marked
    rewritten = header_lines(site.delivered(message("subject", subject="new name"), "subject"))
    assert b"\nSubject: ***SPAM*** new name\n" in rewritten
    assert site.refused(message("later", subject="come again"))[0] == 451
    code, text = site.refused(gtube("spam"))
    assert code == 550 and text.startswith("Message rejected: ")
    log = site.server.wait_for_log("listener=http", count=5, deadline=MINUTE)
    assert "client=mail.example.org[192.0.2.1] helo=<client.example.org>" in log
    assert log.count("from=<sender@example.org> to=<alice@example.net>,<bob@example.net> nrcpt=2 ") == 5


@pytest.mark.parametrize("defer", ["true", "false"])
def test_rspamd_too_much_and_nobody_there(start: Callable[..., Site], defer: str) -> None:
    site = start(
        "rspamd",
        {"defer": {"error": defer}, "request_headers": {"Password": "right"}},
        limits={"message_size": 20_000},
        password=_HASHER.hash("right"),
    )
    assert site.refused(gtube("spam"))[0] == 550
    site.gets_no_verdict(LARGE, "large", defer)
    site.server.wait_for_log("413 ", deadline=MINUTE)
    assert site.server.stop() == 0
    site.gets_no_verdict(gtube("dead"), "dead", defer)


@pytest.mark.parametrize("defer", ["true", "false"])
def test_rspamd_a_wrong_password(start: Callable[..., Site], defer: str) -> None:
    settings = {"defer": {"error": defer}, "request_headers": {"Password": "wrong"}}
    site = start("rspamd", settings, password=_HASHER.hash("right"))
    site.gets_no_verdict(gtube("unasked"), "unasked", defer)
    site.server.wait_for_log("401 unauthorized", deadline=MINUTE)


def test_spamassassin_verdicts(start: Callable[..., Site]) -> None:
    site = start("spamassassin", {"main": {"reject_threshold": "15", "munge_subject_threshold": "6"}})
    good = header_lines(site.delivered(message("good", headers=[b"X-Spam-Status: No, score=-9"]), "good"))
    assert b"\nX-Spam-Status: No, score=0.0 required=6.0\n" in good and b"\nX-Old-Spam-Status: No, score=-9\n" in good
    assert b"X-Spam-Flag" not in good
    marked = header_lines(site.delivered(message("marked", subject="ten points"), "marked"))
    assert b"\nX-Spam-Flag: YES\n" in marked and b"\nX-Spam-Level: **********\n" in marked
    assert b"TEN_POINTS" in marked and b"\nSubject: *** SPAM *** ten points\n" in marked
    assert site.refused(gtube("spam"))[0] == 550
    site.server.wait_for_log("listener=spamd", count=3, deadline=MINUTE)


@pytest.mark.parametrize("defer", ["true", "false"])
def test_spamassassin_too_much_and_nobody_there(start: Callable[..., Site], defer: str) -> None:
    settings = {"main": {"reject_threshold": "15", "max_size": "50000"}, "defer": {"error": defer}}
    site = start("spamassassin", settings, limits={"message_size": 20_000})
    assert b"X-Spam-" not in header_lines(site.delivered(LARGE, "large")), "the plugin asked about it"
    medium = message("medium", body=(b"x" * 70 + b"\r\n") * 400 + GTUBE + b"\r\n")
    if defer == "false":  # otherwise it hears the answer, or the connection's end before that
        site.gets_no_verdict(medium, "medium", defer)
        site.server.wait_for_log("the message is too large", deadline=MINUTE)
    assert site.server.stop() == 0
    site.gets_no_verdict(gtube("dead"), "dead", defer)
