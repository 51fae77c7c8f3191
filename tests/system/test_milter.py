"""filterproxy as a milter of a real Postfix: the whole way of a message, and every verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from filterproxy.testing.dns_server import DnsServer, slow
from tests.system.messages import BODY, as_delivered, body_of, gtube, header_lines, message
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.senders import send, smtp_source, swaks
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until

ZONES = {
    "forged.example": {"TXT": ["v=spf1 -all"]},
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.25 -all"]},
    "slow.example": {"TXT": ["v=spf1 -all"]},
}


@dataclass
class Site:
    """Postfix with filterproxy as its milter."""

    postfix: Postfix
    filter: FilterproxyServer


def milter_config(
    address: str, dns: DnsServer, *, listener: Mapping[str, Any] | None = None, dns_timeout: str = "1s", **settings: Any
) -> dict[str, Any]:
    return {
        "listeners": [{"type": "milter", "address": address, **(listener or {})}],
        "dns": {"nameservers": [dns.address], "timeout": dns_timeout},
        "checks": {"gtube": {}, "spf": {}},
        **settings,
    }


@pytest.fixture(scope="module", params=["tcp", "unix"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One Postfix and one filter for the tests that leave nothing behind, over TCP and over a unix socket."""
    if missing():
        pytest.fail(missing())
    with scratch_folder() as folder, DnsServer(ZONES) as dns:
        address = f"127.0.0.1:{free_port()}" if request.param == "tcp" else f"unix:{folder}/milter.sock"
        milter = address if request.param == "unix" else f"inet:{address}"
        with (
            FilterproxyServer(folder / "filter", milter_config(address, dns)) as server,
            Postfix(folder / "postfix", milters=[milter]) as postfix,
        ):
            yield Site(postfix, server)


@pytest.fixture
def start(postfix, filterproxy_server, dns_server):
    """Start Postfix and a filter with other settings."""

    def started(*, main_cf: Mapping[str, str] | None = None, **settings: Any) -> Site:
        address = f"127.0.0.1:{free_port()}"
        server = filterproxy_server(
            milter_config(address, dns_server(ZONES, behaviours={"slow.example": slow(3.0)}), **settings)
        )
        return Site(postfix(milters=[f"inet:{address}"], settings=main_cf), server)

    return started


def test_ham_is_delivered_with_headers_and_the_same_octets(site):
    raw = message("ham", headers=[b"X-Spam-Flag: YES", b"X-Spam-Status: Yes, forged", b"X-Last: caf\xc3\xa9"])
    sent = swaks(site.postfix.port, data=raw.replace(b"\r\n", b"\n"))
    assert sent.message_reply.startswith("250 2.0.0 Ok: queued"), sent.text
    got = site.postfix.wait_for_message(b"<ham@example.org>")
    fields, body = header_lines(got), body_of(got)
    assert b"\nX-Spam-Status: No, score=" in fields
    assert b"\nAuthentication-Results: mx.example.net;" in fields
    assert b"X-Spam-Flag" not in fields
    assert b"forged" not in fields
    # Our fields stand on top; below Postfix's own Received field the sender's are as they were sent.
    ours, _, theirs = fields.partition(b"\nFrom: ")
    assert ours.index(b"X-Spam-Status") < ours.index(b"\nReceived: ")
    kept = raw.partition(b"\r\n\r\n")[0].replace(b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, forged\r\n", b"")
    assert b"From: " + theirs == as_delivered(kept) + b"\n"
    # swaks ends a message with an empty line of its own.
    assert body.rstrip(b"\n") == as_delivered(BODY).rstrip(b"\n")


def test_exact_octets_of_a_body(site):
    body = b"." + bytes(range(1, 9)) + b"\x0b\x0e\x7f\x80\xff\r\n..\r\n" + b"x" * 990 + b"\r\n \t \r\n\r\n\r\n"
    sent = send(site.postfix.port, message("octets", body=body), mail_options=["BODY=8BITMIME"])
    assert sent.code == 250
    got = site.postfix.wait_for_message(b"<octets@example.org>")
    assert body_of(got) == as_delivered(body)


def test_gtube_is_rejected_in_session(site):
    before = len(site.postfix.maildir("alice"))
    sent = swaks(site.postfix.port, data=gtube("gtube"))
    assert sent.message_reply.startswith("554 5.7.1 "), sent.text
    line = site.filter.wait_for_line("message-id=<gtube@example.org>")
    assert "action=reject" in line
    # The id in the reply is Postfix's queue id, and the log line begins with it.
    queue_id = sent.message_reply.rpartition("(id ")[2].rstrip(")")
    assert f" {queue_id}: scan: " in line
    assert f"{queue_id}: milter-reject: END-OF-MESSAGE" in site.postfix.log()
    assert len(site.postfix.maildir("alice")) == before


def test_a_forged_sender_is_seen(site):
    sent = swaks(
        site.postfix.port,
        sender="boss@forged.example",
        data=message("forged", sender=b"boss@forged.example"),
        xclient="ADDR=192.0.2.66 NAME=[UNAVAILABLE]",
    )
    assert sent.message_reply.startswith("250 "), sent.text
    fields = header_lines(site.postfix.wait_for_message(b"<forged@example.org>"))
    assert b"spf=fail" in fields
    assert b"SPF_FAIL" in fields


def test_the_real_client_passes_spf(site):
    raw = message("genuine", sender=b"ann@good.example")
    send(site.postfix.port, raw, sender="ann@good.example", xclient="ADDR=192.0.2.25 NAME=[UNAVAILABLE]")
    fields = header_lines(site.postfix.wait_for_message(b"<genuine@example.org>"))
    assert b"spf=pass" in fields


def test_an_unknown_recipient_gets_postfix_own_answer(site):
    sent = swaks(site.postfix.port, to="nobody@example.net", data=message("unknown"))
    assert sent.replies[-2].startswith("550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown")


def test_two_recipients(site):
    sent = swaks(site.postfix.port, to=["alice@example.net", "bob@example.net"], data=message("two"))
    assert sent.message_reply.startswith("250 ")
    for user in ("alice", "bob"):
        assert b"X-Spam-Status: No" in site.postfix.wait_for_message(b"<two@example.org>", user)
    line = site.filter.wait_for_line("message-id=<two@example.org>")
    assert "to=<alice@example.net>,<bob@example.net> nrcpt=2" in line


def test_one_unknown_recipient_of_two(site):
    sent = send(site.postfix.port, message("half"), to=["nobody@example.net", "bob@example.net"])
    assert sent.code == 250
    assert sent.refused["nobody@example.net"][0] == 550
    site.postfix.wait_for_message(b"<half@example.org>", "bob")
    line = site.filter.wait_for_line("message-id=<half@example.org>")
    assert "to=<bob@example.net> nrcpt=1" in line


def test_smtputf8_mail_survives(site):
    raw = message("utf8", sender="Jürgen <jürgen@bücher.example>".encode(), headers=["X-Greeting: Grüße €".encode()])
    sent = send(site.postfix.port, raw, sender="jürgen@bücher.example", mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    assert sent.code == 250, sent.text
    got = site.postfix.wait_for_message(b"<utf8@example.org>")
    assert "From: Jürgen <jürgen@bücher.example>\n".encode() in got
    assert "X-Greeting: Grüße €\n".encode() in got
    assert "Return-Path: <jürgen@bücher.example>\n".encode() in got


def test_dsn_parameters_are_accepted(site):
    sent = send(
        site.postfix.port,
        message("dsn"),
        mail_options=["RET=HDRS", "ENVID=abc+2B1"],
        rcpt_options=["NOTIFY=NEVER", "ORCPT=rfc822;alice@example.net"],
    )
    assert sent.code == 250
    site.postfix.wait_for_message(b"<dsn@example.org>")


def test_a_large_message(site):
    body = (b"0123456789" * 7 + b"\r\n") * 40_000
    assert send(site.postfix.port, message("large", body=body)).code == 250
    got = site.postfix.wait_for_message(b"<large@example.org>")
    assert body_of(got) == as_delivered(body)


def test_local_mail_through_pickup(site):
    site.postfix.sendmail(as_delivered(message("pickup")), "alice@example.net", sender="root@example.net")
    got = site.postfix.wait_for_message(b"<pickup@example.org>")
    assert b"X-Spam-Status: No" in got
    line = site.filter.wait_for_line("message-id=<pickup@example.org>")
    assert "client=localhost[127.0.0.1]" in line
    assert "from=<root@example.net>" in line


def test_several_messages_a_connection(site):
    before = len(site.postfix.maildir("bob"))
    smtp_source(site.postfix.port, count=30, sessions=3, to="bob@example.net", keep_session=True)
    messages = site.postfix.wait_for_delivery(before + 30, "bob")[before:]
    assert len(messages) == 30
    assert all(raw.count(b"\nX-Spam-Status: No") == 1 for raw in messages)


def test_many_messages_at_once(site):
    before = len(site.postfix.maildir("bob"))
    smtp_source(site.postfix.port, count=60, sessions=10, to="bob@example.net")
    assert all(b"X-Spam-Status" in raw for raw in site.postfix.wait_for_delivery(before + 60, "bob")[before:])


def test_quarantine_is_postfix_hold_queue(start):
    site = start(force_actions={"GTUBE": "quarantine"})
    sent = swaks(site.postfix.port, data=gtube("hold"))
    assert sent.message_reply.startswith("250 "), sent.text
    held = wait_until(lambda: site.postfix.queued("hold"), "a message in the hold queue", state=site.postfix.log)
    assert len(held) == 1
    assert b"X-Spam-Flag: YES" in held[0].read_bytes()
    assert site.postfix.maildir("alice") == []


def test_discard_looks_like_success(start):
    site = start(force_actions={"GTUBE": "discard"})
    sent = swaks(site.postfix.port, data=gtube("discard"))
    assert sent.message_reply.startswith("250 "), sent.text
    site.postfix.wait_for_log("milter-discard: END-OF-MESSAGE")
    # What comes after it has been delivered, so it will not come any more.
    send(site.postfix.port, message("after"))
    site.postfix.wait_for_message(b"<after@example.org>")
    assert len(site.postfix.maildir("alice")) == 1


def test_soft_reject_is_temporary(start):
    site = start(force_actions={"GTUBE": "soft_reject"})
    sent = swaks(site.postfix.port, data=gtube("soft"))
    assert sent.message_reply.startswith("451 4.7.1 "), sent.text


def test_rewrite_subject(start):
    site = start(force_actions={"GTUBE": "rewrite_subject"})
    sent = swaks(site.postfix.port, data=gtube("rewrite"))
    assert sent.message_reply.startswith("250 "), sent.text
    fields = header_lines(site.postfix.wait_for_message(b"<rewrite@example.org>"))
    assert b"\nSubject: ***SPAM*** The minutes of Monday\n" in fields
    assert fields.count(b"\nSubject:") == 1
    assert b"\nX-Spam-Flag: YES\n" in fields


def test_observe_mode_marks_and_never_rejects(start):
    site = start(mode="observe")
    sent = swaks(site.postfix.port, data=gtube("observe"))
    assert sent.message_reply.startswith("250 "), sent.text
    assert b"X-Spam-Flag: YES" in site.postfix.wait_for_message(b"<observe@example.org>")


def test_a_message_that_is_too_large_for_the_filter_waits(start):
    site = start(listener={"limits": {"message_size": "10KB"}})
    sent = send(site.postfix.port, message("big", body=(b"y" * 70 + b"\r\n") * 200))
    assert (sent.code, sent.text) == (452, "4.3.4 Message too large for the mail filter")


def test_of_a_message_longer_than_is_scanned_the_rest_passes(start):
    site = start(max_scan_size="100KB")
    body = (b"0123456789" * 7 + b"\r\n") * 20_000
    assert send(site.postfix.port, message("longer", body=body)).code == 250
    got = site.postfix.wait_for_message(b"<longer@example.org>")
    assert body_of(got) == as_delivered(body)
    assert b"X-Spam-Status: No" in got
    raw = message("longer", body=body)
    line = site.filter.wait_for_line("message-id=<longer@example.org>")
    assert f" size={len(raw)} " in line
    assert "MESSAGE_TRUNCATED" in line


def test_recipients_that_never_reject_get_their_mail_alone(start):
    site = start(listener={"never_reject": ["bob@example.net"]})
    mixed = send(site.postfix.port, gtube("mixed"), to=["alice@example.net", "bob@example.net"])
    assert mixed.code == 250
    assert b"X-Spam-Flag: YES" in site.postfix.wait_for_message(b"<mixed@example.org>", "bob")
    assert "note=" in (line := site.filter.wait_for_line("message-id=<mixed@example.org>"))
    assert "not for alice@example.net" in line
    assert send(site.postfix.port, gtube("alone"), to=["bob@example.net"]).code == 250
    site.postfix.wait_for_message(b"<alone@example.org>", "bob")
    assert send(site.postfix.port, gtube("refused"), to=["alice@example.net"]).code == 554
    assert send(site.postfix.port, message("later")).code == 250
    site.postfix.wait_for_message(b"<later@example.org>")
    assert len(site.postfix.maildir("alice")) == 1


def test_a_scan_longer_than_the_mtas_time_out_is_reported(start):
    site = start(
        listener={"progress_interval": "500ms"},
        main_cf={"milter_content_timeout": "2s"},
        dns_timeout="5s",
    )
    assert send(site.postfix.port, message("slow"), sender="ann@slow.example").code == 250
    assert b"X-Spam-Status: No" in site.postfix.wait_for_message(b"<slow@example.org>")
    line = site.filter.wait_for_line("message-id=<slow@example.org>")
    assert float(line.partition(" delay=")[2].split()[0]) > 2.0


def test_without_the_filter_mail_waits_at_the_sender(start):
    site = start()
    assert send(site.postfix.port, message("up")).code == 250
    site.filter.kill()
    sent = swaks(site.postfix.port, data=message("down"))
    assert sent.replies[-2].startswith("451 4.7.1 "), sent.text
    # The same address again: mail flows.
    site.filter.start()
    assert send(site.postfix.port, message("again")).code == 250
    site.postfix.wait_for_message(b"<again@example.org>")
    assert not any(b"<down@example.org>" in path.read_bytes() for path in site.postfix.maildir("alice"))
