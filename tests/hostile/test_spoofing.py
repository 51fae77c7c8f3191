"""A sender with good SPF and DKIM of their own tries to look like somebody else: never a pass in that name."""

from __future__ import annotations

import pytest

from filterproxy.checks.dmarc import DmarcCheck, DmarcConfig
from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import SymbolResult
from filterproxy.testing import FakeResolver, make_context, make_transaction

POLICIES = {(f"_dmarc.{name}.example", "TXT"): [b"v=DMARC1; p=reject"] for name in ("bank", "evil")}


async def judge(header: bytes, *methods: MethodResult) -> MethodResult:
    """Return DMARC's result for a message that evil.example signed and may send."""
    own = (
        MethodResult("spf", "pass", (("smtp.mailfrom", "x@evil.example"),)),
        MethodResult("dkim", "pass", (("header.d", "evil.example"),)),
    )
    transaction = make_transaction(header + b"\r\n\r\nbody\r\n", client="192.0.2.1", mail_from="x@evil.example")
    results = tuple(SymbolResult("X", method=method) for method in methods or own)
    transaction.outcomes["dkim"] = CheckOutcome("dkim", Status.OK, results)
    (result,) = await DmarcCheck(DmarcConfig(), make_context(resolver=FakeResolver(POLICIES))).inspect(transaction)
    assert result.method is not None
    return result.method


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@bank.example\r\nFrom: x@evil.example",
        b"From: x@evil.example\r\nFrom: a@bank.example",
        b"From: x@evil.example\r\nFROM : a@bank.example",
        b"From : a@bank.example\r\nFrom: x@evil.example",
        b" From: a@bank.example\r\nFrom: x@evil.example",
        b"From: x@evil.example,a@bank.example",
        b"From: <x@evil.example>,<a@bank.example>",
        b"From: <x@evil.example><a@bank.example>",
        b"From: <a@bank.example>x@evil.example",
        b"From: a@bank.example <x@evil.example>",
        b"From: <@bank.example,@x:x@evil.example>",
        b"From: <a@bank.example\\>\\,x@evil.example>",
        b"From: a@bank.example\x00@evil.example",
        b"From: a@bank.example\x00, x@evil.example",
        b"From: =?utf-8?b?PGFAYmFuay5leGFtcGxlPg==?=x@evil.example",
        b"From: =?utf-8?b?PGFAYmFuay5leGFtcGxlPiw=?= <x@evil.example>, y",
        b"From: <a@bank.example>(\r\n <x@evil.example>)",
        b"From: (" + b"c" * 110_000 + b") x@evil.example, a@bank.example",
        b"From: x@evil.example\r\n" + b"X: 1\r\n" * 11_000 + b"From: a@bank.example",
        b"From: a@bank.example@evil.example",
        b'From: "a@bank.example"@evil.example',
        b"From: a@bank.example;x@evil.example",
        b"From: bank:a@bank.example;,x@evil.example",
    ],
)
async def test_a_from_that_shows_two_senders_never_passes(header):
    assert (await judge(header)).result != "pass"


@pytest.mark.parametrize(
    "domain", ["bank.example.evil.example", "bank.example@evil.example", "evil.example(.bank.example)"]
)
async def test_odd_authenticated_domains_do_not_align(domain):
    spf = MethodResult("spf", "pass", (("smtp.mailfrom", f"a@{domain}"),))
    dkim = MethodResult("dkim", "pass", (("header.d", domain),))
    assert (await judge(b"From: a@bank.example", spf, dkim)).result == "fail"


async def test_their_own_name_is_theirs():
    found = await judge(b'From: "a@bank.example" <x@evil.example>')
    assert (found.result, found.property("header.from")) == ("pass", "evil.example")
