"""The dkim check: signatures that verify, those that do not, and what DMARC reads of them."""

from __future__ import annotations

from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives import serialization

from filterproxy.checks.dkim import DkimCheck, DkimConfig
from filterproxy.core.authentication import summarise
from filterproxy.testing import (
    FakeClock,
    FakeResolver,
    assert_check_contract,
    make_context,
    make_site,
    make_transaction,
)
from tests.signing import MESSAGE, ed25519_key, key_record, rsa_key, sign

NAME = ("sel._domainkey.example.org", "TXT")


async def inspect(raw: bytes, records, *, offline: bool = False, **config):
    resolver = records if isinstance(records, FakeResolver) else FakeResolver({NAME: records})
    context = make_context(resolver=resolver, site=make_site(offline=offline), clock=FakeClock(datetime.now(UTC)))
    return await DkimCheck(DkimConfig(**config), context).inspect(make_transaction(raw))


@pytest.mark.parametrize("form", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "relaxed"])
@pytest.mark.parametrize("key", [rsa_key(), rsa_key(1024), ed25519_key()], ids=["rsa2048", "rsa1024", "ed25519"])
async def test_signatures_verify(key, form):
    (result,) = await inspect(sign(MESSAGE, key, c=form), [key_record(key)])
    assert (result.name, result.method.result, result.weight) == ("DKIM_PASS", "pass", 1.0)
    assert result.method.property("header.d") == "example.org"
    assert result.method.property("header.i") == "@example.org"
    assert result.method.property("header.s") == "sel"
    assert len(result.method.property("header.b")) == 8


async def test_dkimpys_own_signatures_verify():
    pem = rsa_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    for form in ((b"simple", b"simple"), (b"relaxed", b"relaxed")):
        signature = dkim.sign(MESSAGE, b"sel", b"example.org", pem, canonicalize=form)
        (result,) = await inspect(signature + MESSAGE, [key_record(rsa_key())])
        assert result.name == "DKIM_PASS"


async def test_bare_lf_is_read_as_crlf():
    raw = sign(MESSAGE, rsa_key()).replace(b"\r\n", b"\n")
    (result,) = await inspect(raw, [key_record(rsa_key())])
    assert result.name == "DKIM_PASS"


@pytest.mark.parametrize(
    "change",
    [
        (b"Hello  Bob", b"Hello  Eve"),
        (b"Subject:  a", b"Subject:  b"),
        (b"how are you?", b"how are you?\r\nmore"),
        (b"From: Alice", b"From: Mallory <m@example.org>\r\nFrom: Alice"),
    ],
)
@pytest.mark.parametrize("form", ["simple/simple", "relaxed/relaxed"])
async def test_changed_mail_fails(change, form):
    raw = sign(MESSAGE, rsa_key(), c=form)
    (result,) = await inspect(raw.replace(*change), [key_record(rsa_key())])
    assert (result.name, result.method.result) == ("DKIM_FAIL", "fail")


async def test_oversigning_is_honoured():
    raw = sign(MESSAGE, rsa_key(), signed="from:from:to:subject:reply-to")
    assert (await inspect(raw, [key_record(rsa_key())]))[0].name == "DKIM_PASS"
    added = raw.replace(b"To: bob", b"Reply-To: evil@example.com\r\nTo: bob")
    (result,) = await inspect(added, [key_record(rsa_key())])
    assert result.name == "DKIM_FAIL"


async def test_every_signature_has_its_result_and_a_pass_outweighs():
    good = sign(MESSAGE, rsa_key())
    raw = sign(good, ed25519_key(), d="list.example", s="ed")
    resolver = FakeResolver(
        {NAME: [key_record(rsa_key())], ("ed._domainkey.list.example", "TXT"): [key_record(rsa_key())]}
    )
    first, second = await inspect(raw, resolver)
    assert (first.name, first.weight) == ("DKIM_PERMERROR", 0.0)
    assert (second.name, second.weight) == ("DKIM_PASS", 1.0)
    assert summarise([first.method, second.method])["dkim"] == "pass"


async def test_only_so_many_signatures_are_verified():
    raw = MESSAGE
    for _ in range(5):
        raw = sign(raw, rsa_key())
    resolver = FakeResolver({NAME: [key_record(rsa_key())]})
    *verified, limit = await inspect(raw, resolver, max_signatures=3)
    assert [result.name for result in verified] == ["DKIM_PASS"] * 3
    assert (limit.name, limit.options, limit.method) == ("DKIM_LIMIT", ("2 more",), None)
    assert resolver.asked == [NAME]  # one question for the same key


async def test_a_large_message_is_verified_off_the_event_loop():
    raw = sign(MESSAGE + b"a line of text\r\n" * 40_000, rsa_key())
    (result,) = await inspect(raw, [key_record(rsa_key())])
    assert result.name == "DKIM_PASS"


async def test_without_a_signature_or_offline():
    (result,) = await inspect(MESSAGE, [])
    assert (result.name, result.method.result) == ("DKIM_NONE", "none")
    resolver = FakeResolver()
    assert await inspect(sign(MESSAGE, rsa_key()), resolver, offline=True) == []
    assert resolver.asked == []


def test_the_contract():
    assert_check_contract(DkimCheck(DkimConfig(), make_context()))
