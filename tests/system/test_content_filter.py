"""filterproxy as the content filter of a real Postfix: the client has its 250 already, so nothing may bounce."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from filterproxy.testing.dns_server import DnsServer
from tests.system.messages import as_delivered, body_of, gtube, header_lines, message
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.senders import send, smtp_source, swaks
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until

ZONES = {"forged.example": {"TXT": ["v=spf1 -all"]}}


@dataclass
class Site:
    """Postfix with filterproxy behind its queue."""

    postfix: Postfix
    filter: FilterproxyServer
    config: dict[str, Any]


def filter_config(port: int, next_hop: int, server: DnsServer, **settings: Any) -> dict[str, Any]:
    listener = {
        "type": "smtp",
        "mode": "after_queue",
        "address": f"127.0.0.1:{port}",
        "next_hop": f"127.0.0.1:{next_hop}",
    }
    return {
        "listeners": [listener | settings.pop("listener", {})],
        "dns": {"nameservers": [server.address], "timeout": "1s"},
        "checks": {"gtube": {}, "spf": {}},
        **settings,
    }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One Postfix and one filter for the tests that leave nothing behind."""
    if missing():
        pytest.fail(missing())
    with scratch_folder() as folder, DnsServer(ZONES) as dns:
        port = free_port()
        with Postfix(folder / "postfix", content_filter=f"127.0.0.1:{port}") as postfix:
            config = filter_config(port, postfix.reinject_port, dns)
            with FilterproxyServer(folder / "filter", config) as server:
                yield Site(postfix, server, config)


@pytest.fixture
def start(postfix, filterproxy_server, dns_server):
    """Start Postfix and a filter with other settings."""

    def started(*, listener: dict[str, Any] | None = None, **settings: Any) -> Site:
        port = free_port()
        mta = postfix(content_filter=f"127.0.0.1:{port}")
        config = filter_config(port, mta.reinject_port, dns_server(ZONES), listener=listener or {}, **settings)
        return Site(mta, filterproxy_server(config), config)

    return started


def flush(postfix: Postfix) -> None:
    """Have Postfix try its deferred mail now."""
    subprocess.run(["postqueue", "-c", str(postfix.config), "-f"], check=True, timeout=30)


def test_ham_is_delivered_with_headers_and_the_same_body(site):
    raw = message("ham", headers=[b"X-Spam-Flag: YES", b"X-Last: caf\xc3\xa9"])
    assert send(site.postfix.port, raw, mail_options=["BODY=8BITMIME"]).code == 250
    got = site.postfix.wait_for_message(b"<ham@example.org>")
    fields = header_lines(got)
    assert b"\nX-Spam-Status: No, score=" in fields
    assert b"\nAuthentication-Results: mx.example.net;" in fields
    assert b"X-Spam-Flag" not in fields
    kept = raw.partition(b"\r\n\r\n")[0].replace(b"X-Spam-Flag: YES\r\n", b"")
    assert fields.endswith(as_delivered(kept) + b"\n")
    assert body_of(got) == as_delivered(raw).partition(b"\n\n")[2]


def test_gtube_is_delivered_with_a_mark_and_never_bounced(site):
    assert swaks(site.postfix.port, data=gtube("gtube")).message_reply.startswith("250 ")
    got = site.postfix.wait_for_message(b"<gtube@example.org>")
    assert b"X-Spam-Flag: YES\n" in header_lines(got)
    line = site.filter.wait_for_line("message-id=<gtube@example.org>")
    assert 'reply="250 2.0.0 Ok: queued as' in line
    assert "status=bounced" not in site.postfix.log()


def test_the_real_client_and_queue_id_come_through_xforward(site):
    sent = swaks(
        site.postfix.port,
        sender="boss@forged.example",
        data=message("forged", sender=b"boss@forged.example"),
        xclient="ADDR=192.0.2.66 NAME=[UNAVAILABLE]",
    )
    queue_id = sent.message_reply.rpartition(" ")[2]
    fields = header_lines(site.postfix.wait_for_message(b"<forged@example.org>"))
    assert b"spf=fail" in fields
    line = site.filter.wait_for_line("message-id=<forged@example.org>")
    assert "client=unknown[192.0.2.66]" in line
    assert f" {queue_id}: scan: " in line
    assert f"orig_queue_id={queue_id}" in site.postfix.wait_for_log("orig_client=unknown[192.0.2.66]")


def test_two_recipients_and_smtputf8(site):
    raw = message("utf8", sender="Jürgen <jürgen@bücher.example>".encode())
    options = ["SMTPUTF8", "BODY=8BITMIME"]
    sent = send(
        site.postfix.port,
        raw,
        sender="jürgen@bücher.example",
        to=["alice@example.net", "bob@example.net"],
        mail_options=options,
    )
    assert sent.code == 250, sent.text
    for user in ("alice", "bob"):
        got = site.postfix.wait_for_message(b"<utf8@example.org>", user)
        assert "From: Jürgen <jürgen@bücher.example>\n".encode() in got


def test_dsn_parameters_are_carried_through(site):
    before = len(site.postfix.maildir("bob"))
    sent = send(
        site.postfix.port,
        message("dsn"),
        sender="bob@example.net",
        mail_options=["RET=HDRS", "ENVID=abc+2B1"],
        rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;alias@example.net"],
    )
    assert sent.code == 250
    notice = site.postfix.wait_for_delivery(before + 1, "bob")[-1]
    assert b"Original-Envelope-Id: abc+1" in notice
    assert b"Original-Recipient: rfc822;alias@example.net" in notice
    assert b"Action: delivered" in notice


def test_local_mail(site):
    site.postfix.sendmail(as_delivered(message("pickup")), "alice@example.net", sender="root@example.net")
    assert b"X-Spam-Status: No" in site.postfix.wait_for_message(b"<pickup@example.org>")


def test_many_messages_at_once(site):
    before = len(site.postfix.maildir("bob"))
    smtp_source(site.postfix.port, count=60, sessions=10, to="bob@example.net")
    assert len(site.postfix.wait_for_delivery(before + 60, "bob")) == before + 60


def test_discard(start):
    site = start(listener={"on_reject": "discard"})
    assert swaks(site.postfix.port, data=gtube("gtube")).message_reply.startswith("250 ")
    assert "action=discard" in site.filter.wait_for_line("message-id=<gtube@example.org>")
    wait_until(lambda: not site.postfix.queued("active"), "the queue is empty", state=site.postfix.log)
    assert "status=sent (250 2.0.0 Ok" in site.postfix.wait_for_log("status=sent")
    assert not site.postfix.maildir("alice")


def test_a_soft_reject_is_a_mark_too(start):
    site = start(force_actions={"GTUBE": "soft_reject"})
    assert swaks(site.postfix.port, data=gtube("soft")).message_reply.startswith("250 ")
    assert b"X-Spam-Flag: YES\n" in site.postfix.wait_for_message(b"<soft@example.org>")
    assert "action=add_header" in site.filter.wait_for_line("message-id=<soft@example.org>")


class TestTrouble:
    def test_the_filter_is_down_and_comes_back(self, start):
        site = start()
        site.filter.kill()
        assert send(site.postfix.port, message("waits")).code == 250
        wait_until(lambda: site.postfix.queued("deferred"), "the mail waits", state=site.postfix.log)
        site.filter.start()
        flush(site.postfix)
        site.postfix.wait_for_message(b"<waits@example.org>")

    def test_a_message_beyond_our_limit_waits(self, start):
        """The administrator sees it in the log and raises the limit; nothing is bounced."""
        site = start(listener={"limits": {"message_size": "2000"}})
        body = b"x" * 70 + b"\r\n"
        assert send(site.postfix.port, message("large", body=body * 100)).code == 250
        log = site.postfix.wait_for_log("status=deferred")
        assert "said: 452 4.3.4 Message size exceeds the limit" in log
        site.filter.wait_for_log("452 4.3.4 Message size exceeds the limit")
        assert "status=bounced" not in log

    def test_the_next_hop_is_killed_in_the_message(self, start):
        from tests.system.test_proxy import reinjecting, unread

        site = start()
        body = (b"0123456789" * 7 + b"\r\n") * 100_000
        assert send(site.postfix.port, message("first")).code == 250
        site.postfix.wait_for_message(b"<first@example.org>")
        smtpd = reinjecting(site.postfix)
        os.kill(smtpd, signal.SIGSTOP)
        assert send(site.postfix.port, message("killed", body=body)).code == 250
        wait_until(
            lambda: unread(site.postfix.reinject_port) or site.postfix.log().count("connect from") > 3, "on its way"
        )
        os.kill(smtpd, signal.SIGKILL)
        wait_until(
            lambda: site.postfix.queued("deferred") or len(site.postfix.maildir("alice")) > 1, "put off or delivered"
        )
        flush(site.postfix)
        got = site.postfix.wait_for_message(b"<killed@example.org>")
        assert body_of(got) == as_delivered(body)
        assert len(site.postfix.maildir("alice")) == 2
        assert "status=bounced" not in site.postfix.log()
