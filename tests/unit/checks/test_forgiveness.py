"""A DMARC failure by forwarding is forgiven when a sealer we trust saw the author authenticated, and only then."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from filterproxy.checks.arc import ArcCheck, ArcConfig
from filterproxy.checks.dmarc import DmarcCheck, DmarcConfig
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.services.signatures.results_text import read_results
from filterproxy.testing import FakeClock, FakeResolver, make_context, make_transaction
from tests.signing import MESSAGE, key_record, rsa_key, seal

AUTHENTIC = "dmarc=pass (p=REJECT) header.from=example.org"
BROKEN = "dmarc=fail header.from=example.org"
TABLE = {
    ("_dmarc.example.org", "TXT"): [b"v=DMARC1; p=reject"],
    **{(f"sel._domainkey.{name}.example", "TXT"): [key_record(rsa_key())] for name in ("one", "two", "evil")},
}


async def judge(raw: bytes, *trusted: str):
    """Return the one DMARC firing for a forwarded message without a pass of its own."""
    context = make_context(resolver=FakeResolver(TABLE), clock=FakeClock(datetime.now(UTC)))
    transaction = make_transaction(raw, client="192.0.2.1", mail_from="list@forwarder.example")
    results = await ArcCheck(ArcConfig(trusted_sealers=trusted), context).inspect(transaction)
    transaction.outcomes["arc"] = CheckOutcome("arc", Status.OK, tuple(results))
    (result,) = await DmarcCheck(DmarcConfig(), context).inspect(transaction)
    return result


async def test_a_trusted_forwarder_is_believed_and_named():
    found = await judge(seal(MESSAGE, "one.example", AUTHENTIC), "one.example")
    assert found.name == "DMARC_FORGIVEN"
    assert found.options == ("example.org", "trusted forwarder one.example (i=1) saw dmarc=pass")
    assert found.method.result == "fail"
    assert found.method.property("policy.dmarc") == "reject"
    assert found.method.property("policy.override") == "trusted_forwarder"


@pytest.mark.parametrize(
    ("seen", "symbol"),
    [
        ((AUTHENTIC,), "DMARC_FORGIVEN"),
        (("dmarc=pass action=none header.from=EXAMPLE.org",), "DMARC_FORGIVEN"),
        (("spf=fail smtp.mailfrom=x@y.example", AUTHENTIC), "DMARC_FORGIVEN"),
        (("dkim=pass header.d=example.org",), "DMARC_FORGIVEN"),
        (("dkim=pass header.i=@mail.example.org",), "DMARC_FORGIVEN"),
        (("spf=pass smtp.mailfrom=alice@example.org",), "DMARC_FORGIVEN"),
        (("spf=pass smtp.mailfrom=example.org smtp.helo=mx.example.org",), "DMARC_FORGIVEN"),
        (("spf=pass smtp.helo=example.org",), "DMARC_POLICY_REJECT"),
        (("dkim=pass header.d=evil.example",), "DMARC_POLICY_REJECT"),
        (("dkim=fail header.d=example.org",), "DMARC_POLICY_REJECT"),
        (("dmarc=pass header.from=evil.example",), "DMARC_POLICY_REJECT"),
        ((BROKEN,), "DMARC_POLICY_REJECT"),
        ((BROKEN, "dkim=pass header.d=example.org"), "DMARC_POLICY_REJECT"),
        (('dkim=fail reason="; dmarc=pass header.from=example.org" header.d=x.example',), "DMARC_POLICY_REJECT"),
        (("dkim=fail (; dmarc=pass header.from=example.org) header.d=x.example",), "DMARC_POLICY_REJECT"),
        ((), "DMARC_POLICY_REJECT"),
    ],
)
async def test_what_the_sealer_must_have_seen(seen, symbol):
    assert (await judge(seal(MESSAGE, "one.example", *seen), "one.example")).name == symbol


@pytest.mark.parametrize(
    ("trusted", "symbol"),
    [
        (("one.example", "two.example"), "DMARC_FORGIVEN"),
        (("two.example",), "DMARC_POLICY_REJECT"),
        (("one.example",), "DMARC_POLICY_REJECT"),
        ((), "DMARC_POLICY_REJECT"),
    ],
)
async def test_everybody_from_the_witness_on_must_be_trusted(trusted, symbol):
    once = seal(MESSAGE, "one.example", AUTHENTIC)
    assert (await judge(seal(once, "two.example", BROKEN, "arc=pass"), *trusted)).name == symbol


async def test_a_strangers_story_is_not_believed():
    assert (await judge(seal(MESSAGE, "evil.example", AUTHENTIC), "one.example")).name == "DMARC_POLICY_REJECT"
    twice = seal(seal(MESSAGE, "evil.example", AUTHENTIC), "one.example", BROKEN, "arc=pass")
    assert (await judge(twice, "one.example")).name == "DMARC_POLICY_REJECT"


@pytest.mark.parametrize(
    "change",
    [
        (b"Hello", b"Hallo"),
        (b"alice@example.org", b"mallory@example.org"),
        (b"d=one.example", b"d=two.example"),
        (b"dmarc=pass", b"dmarc=PASS"),
    ],
)
async def test_a_chain_that_does_not_hold_forgives_nothing(change):
    raw = seal(MESSAGE, "one.example", AUTHENTIC)
    assert change[0] in raw
    assert (await judge(raw.replace(*change), "one.example", "two.example")).name == "DMARC_POLICY_REJECT"


async def test_a_second_from_is_never_forgiven():
    raw = b"From: x@evil.example\r\n" + seal(MESSAGE, "one.example", AUTHENTIC)
    found = await judge(raw, "one.example")
    assert (found.name, found.method.result) == ("DMARC_POLICY_REJECT", "fail")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("mx.example", []),
        ("mx.example; none", []),
        ("mx.example 1; spf=pass smtp.mailfrom=a@b.c", [("spf", "pass", (("smtp.mailfrom", "a@b.c"),))]),
        ("mx; DKIM/1 = PASS Header.D = b.c", [("dkim", "pass", (("header.d", "b.c"),))]),
        ('mx; dkim=pass header.i="a b=c;d\\"e"@f.g', [("dkim", "pass", (("header.i", 'a b=c;d"e@f.g'),))]),
        (
            "mx; dmarc=pass (a (b) ; spf=pass) action=none header.from=b.c",
            [("dmarc", "pass", (("header.from", "b.c"),))],
        ),
        ("mx; spf=perfect; dkim=pass", [("dkim", "pass", ())]),
        ("mx; dkim=pass; spf=pass (open", []),
        ('mx; dkim=pass; spf=pass reason="open', []),
        ("mx; dkim=pass" + " " * 20_000, []),
        ("mx" + "; dkim=pass" * 200, [("dkim", "pass", ())] * 50),
        ("mx" + "(" * 16_000, []),
    ],
)
def test_reading_what_others_wrote(text, wanted):
    assert [(found.method, found.result, found.properties) for found in read_results(text)] == wanted
