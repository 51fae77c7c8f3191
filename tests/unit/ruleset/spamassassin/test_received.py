"""Received fields of many mail servers as relays."""

from __future__ import annotations

import pytest

from filterproxy.ruleset.spamassassin.received import NoRelay, Relay, parse_received


@pytest.mark.parametrize(
    ("text", "ip", "rdns", "helo", "by"),
    [
        ("from a.example (b.example [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1; 5 Jan 2026 12:00:00 +0000",
         "192.0.2.1", "b.example", "a.example", "mx.example"),
        ("from a.example (unknown [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1",
         "192.0.2.1", "", "a.example", "mx.example"),
        ("from a.example (b.example [IPv6:2001:db8::1]) by mx.example (Postfix) with ESMTPS id 1",
         "2001:db8::1", "b.example", "a.example", "mx.example"),
        ("from a.example ([192.0.2.1]) by mx.example (8.15.2/8.15.2) with ESMTP id 1",
         "192.0.2.1", "", "a.example", "mx.example"),
        ("from b.example ([192.0.2.1] helo=a.example) by mx.example with esmtp (Exim 4.96) id 1",
         "192.0.2.1", "b.example", "a.example", "mx.example"),
        ("from [192.0.2.1] (helo=a.example) by mx.example with esmtp (Exim 4.96) id 1",
         "192.0.2.1", "", "a.example", "mx.example"),
        ("from unknown (HELO a.example) (192.0.2.1) by mx.example with SMTP",
         "192.0.2.1", "", "a.example", "mx.example"),
        ("from a.example (192.0.2.1) by mx.example (198.51.100.1) with Microsoft SMTP Server id 15.1.1.1",
         "192.0.2.1", "", "a.example", "mx.example"),
        ("from [192.0.2.1] by web.example via HTTP", "192.0.2.1", "", "", "web.example"),
    ],
)  # fmt: skip
def test_forms(text, ip, rdns, helo, by):
    relay = parse_received(text)
    assert isinstance(relay, Relay)
    assert (relay.ip, relay.rdns, relay.helo, relay.by) == (ip, rdns, helo, by)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(qmail 1 invoked by uid 0); 5 Jan 2026", NoRelay.NO_HOP),
        ("by mx.example (Postfix, from userid 0) id 1", NoRelay.NO_HOP),
        ("from mail.example by localhost with POP3 (fetchmail-6.4)", NoRelay.FETCHED),
        ("from mx.example by other.example with LMTP", NoRelay.NO_HOP),
        ("from somewhere out there", NoRelay.UNKNOWN),
        ("", NoRelay.NO_HOP),
    ],
)
def test_what_is_no_relay(text, reason):
    assert parse_received(text) is reason


def test_a_relay_tells_how_the_sender_authenticated():
    relay = parse_received("from a.example (b.example [192.0.2.1]) by mx.example (Postfix) with ESMTPSA id 1")
    assert isinstance(relay, Relay)
    assert relay.auth == "ESMTPSA"
    assert str(relay) == (
        "[ ip=192.0.2.1 rdns=b.example helo=a.example by=mx.example ident= envfrom= intl=0 id= auth=ESMTPSA msa=0 ]"
    )


@pytest.mark.parametrize("text", ["from " + "(" * 100_000, "from a (" + "b " * 50_000, "from " + "[1.1.1.1" * 20_000])
def test_a_field_made_to_be_slow_is_read_all_the_same(text):
    assert parse_received(text) in NoRelay or isinstance(parse_received(text), Relay)
