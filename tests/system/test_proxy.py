"""filterproxy as the before-queue proxy of a real Postfix: the way of a message, every verdict, a dying next hop."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from filterproxy.testing.dns_server import DnsServer
from tests.system.messages import BODY, as_delivered, body_of, gtube, header_lines, message
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.senders import send, smtp_source, swaks
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until

ZONES = {
    "forged.example": {"TXT": ["v=spf1 -all"]},
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.25 -all"]},
}


@dataclass
class Site:
    """Postfix in front, filterproxy, and the same Postfix behind it."""

    postfix: Postfix
    filter: FilterproxyServer
    port: int


def proxy_config(port: int, next_hop: int, dns: DnsServer, **settings: Any) -> dict[str, Any]:
    listener = {"type": "smtp", "address": f"127.0.0.1:{port}", "next_hop": f"127.0.0.1:{next_hop}"}
    return {
        "listeners": [listener | settings.pop("listener", {})],
        "dns": {"nameservers": [dns.address], "timeout": "1s"},
        "checks": {"gtube": {}, "spf": {}},
        **settings,
    }


@pytest.fixture(scope="module", params=[0, 4], ids=["pool 0", "pool 4"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """One Postfix and one filter for the tests that leave nothing behind, without and with kept connections."""
    if missing():
        pytest.fail(missing())
    with scratch_folder() as folder, DnsServer(ZONES) as dns:
        port = free_port()
        with Postfix(folder / "postfix", proxy_filter=f"127.0.0.1:{port}") as postfix:
            hop = {"address": f"127.0.0.1:{postfix.reinject_port}", "pool_size": request.param}
            config = proxy_config(port, postfix.reinject_port, dns, listener={"next_hop": hop})
            with FilterproxyServer(folder / "filter", config) as server:
                yield Site(postfix, server, port)


@pytest.fixture
def start(postfix, filterproxy_server, dns_server):
    """Start Postfix and a filter with other settings."""

    def started(*, listener: dict[str, Any] | None = None, **settings: Any) -> Site:
        port = free_port()
        mta = postfix(proxy_filter=f"127.0.0.1:{port}")
        config = proxy_config(port, mta.reinject_port, dns_server(ZONES), listener=listener or {}, **settings)
        return Site(mta, filterproxy_server(config), port)

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
    kept = raw.partition(b"\r\n\r\n")[0].replace(b"X-Spam-Flag: YES\r\nX-Spam-Status: Yes, forged\r\n", b"")
    assert fields.endswith(as_delivered(kept) + b"\n")
    # swaks ends a message with an empty line of its own.
    assert body.rstrip(b"\n") == as_delivered(BODY).rstrip(b"\n")


def test_exact_octets_of_a_body(site):
    body = b"." + bytes(range(1, 9)) + b"\x0b\x0e\x7f\x80\xff\r\n..\r\n" + b"x" * 5000 + b"\r\n \t \r\n\r\n\r\n"
    sent = send(site.postfix.port, message("octets", body=body), mail_options=["BODY=8BITMIME"])
    assert sent.code == 250
    assert body_of(site.postfix.wait_for_message(b"<octets@example.org>")) == as_delivered(body)


def test_gtube_is_rejected_in_session(site):
    before = len(site.postfix.maildir("alice"))
    sent = swaks(site.postfix.port, data=gtube("gtube"))
    assert sent.message_reply.startswith("554 5.7.1 "), sent.text
    line = site.filter.wait_for_line("message-id=<gtube@example.org>")
    assert "action=reject" in line
    session = sent.message_reply.rpartition("(id ")[2].rstrip(")")
    assert f" {session}: scan: " in line
    assert "proxy-reject: END-OF-MESSAGE: 554 5.7.1" in site.postfix.log()
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
    assert "client=unknown[192.0.2.66]" in site.filter.wait_for_line("message-id=<forged@example.org>")


def test_the_real_client_goes_on_to_the_postfix_behind(site):
    raw = message("genuine", sender=b"ann@good.example")
    send(site.postfix.port, raw, sender="ann@good.example", xclient="ADDR=192.0.2.25 NAME=mail.good.example")
    fields = header_lines(site.postfix.wait_for_message(b"<genuine@example.org>"))
    assert b"spf=pass" in fields
    # Postfix logs with orig_client what XFORWARD told it.
    assert "client=mail.good.example[192.0.2.25]" in site.postfix.log()


def test_an_ipv6_client(site):
    """As a Postfix with IPv6 would tell it."""
    with smtplib.SMTP("127.0.0.1", site.port, local_hostname="mta.example.org", timeout=60) as client:
        client.ehlo()
        assert client.docmd("XFORWARD", "NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::25 HELO=six.example")[0] == 250
        client.sendmail("sender@example.org", "alice@example.net", message("ipv6"))
    line = site.filter.wait_for_line("message-id=<ipv6@example.org>")
    assert "client=unknown[2001:db8::25] helo=<six.example>" in line


def test_an_unknown_recipient_gets_postfix_own_answer(site):
    sent = swaks(site.postfix.port, to="nobody@example.net", data=message("unknown"))
    assert sent.replies[-2].startswith("550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown")


def test_an_unknown_recipient_behind_us_gets_the_next_hops_answer(postfix, filterproxy_server, dns_server):
    port, mta = free_port(), postfix()
    filterproxy_server(proxy_config(port, mta.port, dns_server(ZONES)))
    sent = send(port, message("half"), to=["nobody@example.net", "bob@example.net", "x@elsewhere.example"])
    assert sent.code == 250
    assert sent.refused["nobody@example.net"][0] == 550
    assert sent.refused["nobody@example.net"][1].startswith(b"5.1.1 <nobody@example.net>: Recipient address rejected:")
    assert mta.wait_for_message(b"<half@example.org>", "bob")
    unknown = swaks(port, to="nobody@example.net", data=message("unknown"))
    assert unknown.replies[-2].startswith("550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown")


def test_two_recipients(site):
    sent = swaks(site.postfix.port, to=["alice@example.net", "bob@example.net"], data=message("two"))
    assert sent.message_reply.startswith("250 ")
    for user in ("alice", "bob"):
        assert b"X-Spam-Status: No" in site.postfix.wait_for_message(b"<two@example.org>", user)
    line = site.filter.wait_for_line("message-id=<two@example.org>")
    assert "to=<alice@example.net>,<bob@example.net> nrcpt=2" in line


def test_smtputf8_mail_survives(site):
    raw = message("utf8", sender="Jürgen <jürgen@bücher.example>".encode(), headers=["X-Greeting: Grüße €".encode()])
    sent = send(site.postfix.port, raw, sender="jürgen@bücher.example", mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    assert sent.code == 250, sent.text
    got = site.postfix.wait_for_message(b"<utf8@example.org>")
    assert "From: Jürgen <jürgen@bücher.example>\n".encode() in got
    assert "X-Greeting: Grüße €\n".encode() in got
    assert "Return-Path: <jürgen@bücher.example>\n".encode() in got


def test_dsn_parameters_are_carried_through(site):
    """A success notice that the sender asked for comes only when NOTIFY and ENVID reach the Postfix behind us."""
    before = len(site.postfix.maildir("bob"))
    sent = send(
        site.postfix.port,
        message("dsn"),
        sender="bob@example.net",
        mail_options=["RET=HDRS", "ENVID=abc+2B1"],
        rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;alias+2Btag@example.net"],
    )
    assert sent.code == 250
    notice = site.postfix.wait_for_delivery(before + 1, "bob")[-1]
    assert b"Original-Envelope-Id: abc+1" in notice
    assert b"Original-Recipient: rfc822;alias+tag@example.net" in notice
    assert b"Action: delivered" in notice


def test_mail_without_a_sender(site):
    assert send(site.postfix.port, message("bounce"), sender="").code == 250
    site.postfix.wait_for_message(b"<bounce@example.org>")
    assert "from=<> " in site.filter.wait_for_line("message-id=<bounce@example.org>")


def test_a_large_message(site):
    body = (b"0123456789" * 7 + b"\r\n") * 40_000
    assert send(site.postfix.port, message("large", body=body)).code == 250
    assert body_of(site.postfix.wait_for_message(b"<large@example.org>")) == as_delivered(body)


def test_several_messages_a_connection(site):
    before = len(site.postfix.maildir("bob"))
    smtp_source(site.postfix.port, count=30, sessions=3, to="bob@example.net", keep_session=True)
    messages = site.postfix.wait_for_delivery(before + 30, "bob")[before:]
    assert len(messages) == 30
    assert all(raw.count(b"\nX-Spam-Status: No") == 1 for raw in messages)


def test_many_messages_at_once(site):
    before = len(site.postfix.maildir("bob"))
    smtp_source(site.postfix.port, count=60, sessions=10, to="bob@example.net")
    assert len(site.postfix.wait_for_delivery(before + 60, "bob")) == before + 60


def test_a_session_straight_at_the_filter(site):
    """Everything Postfix' own SMTP client would do, with an ordinary one."""
    with smtplib.SMTP("127.0.0.1", site.port, local_hostname="client.example.org", timeout=60) as client:
        client.ehlo()
        assert {"size", "8bitmime", "smtputf8", "dsn", "enhancedstatuscodes", "pipelining", "xforward"} <= set(
            client.esmtp_features
        )
        client.mail("sender@example.org")
        client.rcpt("alice@example.net")
        assert client.data(message("straight"))[0] == 250
    site.postfix.wait_for_message(b"<straight@example.org>")


def test_smuggling_ends_here(site):
    """A bare line feed around the dot, at the filter itself: the Postfix in front would have cleaned it."""
    before = len(site.postfix.maildir("bob"))
    smuggled = b"\n.\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nx\r\n.\r\n"
    with socket.create_connection(("127.0.0.1", site.port), 60) as link, link.makefile("rb") as replies:
        for command in (b"", b"HELO a", b"MAIL FROM:<a@example.org>", b"RCPT TO:<bob@example.net>", b"DATA"):
            link.sendall(command + b"\r\n" if command else b"")
            assert replies.readline()[:1] in b"23"
        link.sendall(message("smuggler") + smuggled)
        assert replies.readline().startswith(b"550 5.5.2 ")
    assert len(site.postfix.maildir("bob")) == before


@pytest.mark.parametrize(("action", "reply"), [("discard", "250 2.0.0 Ok"), ("soft_reject", "451 4.7.1 ")])
def test_other_actions(start, action, reply):
    site = start(force_actions={"GTUBE": action})
    assert swaks(site.postfix.port, data=gtube("other")).message_reply.startswith(reply)
    assert f"action={action}" in site.filter.wait_for_line("message-id=<other@example.org>")
    assert not site.postfix.maildir("alice")
    assert not site.postfix.queued("active")


def test_observe_mode_marks_only(start):
    site = start(mode="observe")
    assert swaks(site.postfix.port, data=gtube("observed")).message_reply.startswith("250 ")
    assert b"X-Spam-Flag: YES" in site.postfix.wait_for_message(b"<observed@example.org>")


class TestTrouble:
    def test_the_filter_is_down(self, postfix):
        mta = postfix(proxy_filter=f"127.0.0.1:{free_port()}")
        assert swaks(mta.port, data=message("down")).replies[-2].startswith("451 4.3.0 ")

    def test_the_postfix_behind_is_down(self, postfix, filterproxy_server, dns_server):
        port = free_port()
        mta = postfix(proxy_filter=f"127.0.0.1:{port}")
        server = filterproxy_server(proxy_config(port, free_port(), dns_server(ZONES)))
        assert swaks(mta.port, data=message("down")).replies[-2].startswith("451 4.3.0 ")
        server.wait_for_log("next hop: relay=127.0.0.1:")

    @pytest.mark.parametrize(("stopped", "unread_octets"), [("smtpd", 1), ("cleanup", 100_000)])
    def test_the_next_hop_is_killed(self, start, stopped, unread_octets):
        """Killed at DATA, or in the middle of the message: the client hears 451, and its next try is delivered."""
        site = start()
        body = (b"0123456789" * 7 + b"\r\n") * 100_000
        raw = message("killed", body=body)
        with smtplib.SMTP("127.0.0.1", site.postfix.port, timeout=60) as client:
            client.ehlo()
            client.mail("sender@example.org")
            assert client.rcpt("alice@example.net")[0] == 250
            smtpd = reinjecting(site.postfix)
            # A stopped smtpd does not answer DATA; a stopped cleanup holds up its smtpd once all buffers are full.
            held = smtpd if stopped == "smtpd" else daemon(site.postfix, "cleanup")
            os.kill(held, signal.SIGSTOP)
            client.putcmd("DATA")
            assert client.getreply()[0] == 354
            client.send(raw.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            wait_until(lambda: unread(site.postfix.reinject_port) >= unread_octets, "the message is on its way")
            os.kill(smtpd, signal.SIGKILL)
            if held != smtpd:
                os.kill(held, signal.SIGCONT)
            code, text = client.getreply()
            assert (code, text[:6]) == (451, b"4.3.0 ")
        site.filter.wait_for_log(f"stage={'data' if stopped == 'smtpd' else 'reply'}")
        assert not site.postfix.maildir("alice")
        assert send(site.postfix.port, raw).code == 250
        assert body_of(site.postfix.wait_for_message(b"<killed@example.org>")) == as_delivered(body)
        assert len(site.postfix.maildir("alice")) == 1

    def test_the_filter_is_killed(self, start):
        site = start()
        with smtplib.SMTP("127.0.0.1", site.postfix.port, timeout=60) as client:
            client.ehlo()
            client.mail("sender@example.org")
            client.rcpt("alice@example.net")
            client.putcmd("DATA")
            client.getreply()
            site.filter.kill()
            client.send(message("killed") + b"\r\n.\r\n")
            assert client.getreply()[0] == 451
        assert not site.postfix.maildir("alice")
        site.filter.start()
        assert send(site.postfix.port, message("again")).code == 250
        site.postfix.wait_for_message(b"<again@example.org>")


def daemon(postfix: Postfix, name: str) -> int:
    """Return the process id of this Postfix' daemon of a name."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command, _, fields = (folder / "stat").read_text().rpartition(")")
            if command.endswith(f"({name}") and int(fields.split()[1]) == postfix.pid:
                return int(folder.name)
    raise AssertionError(f"no {name} runs\n{postfix.log()}")


def reinjecting(postfix: Postfix) -> int:
    """Return the process id of the smtpd that serves the filter: the log names it."""
    log = postfix.wait_for_log("postfix/reinject/smtpd[")
    return int(log.rpartition("postfix/reinject/smtpd[")[2].partition("]")[0])


def unread(port: int) -> int:
    """Return how many octets were sent to connections of a local port and not read yet."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}"))
