"""The arc check: chains made here, trusted sealers, chains that do not hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from filterproxy.checks.arc import ArcCheck, ArcConfig
from filterproxy.testing import (
    FakeClock,
    FakeResolver,
    assert_check_contract,
    make_context,
    make_site,
    make_transaction,
)
from tests import signing
from tests.signing import MESSAGE, key_record, rsa_key

KEYS = {(f"sel._domainkey.{name}.example", "TXT"): [key_record(rsa_key())] for name in ("one", "two")}


def seal(raw: bytes, domain: str, validity: str) -> bytes:
    """Return the message with one more ARC set, as a forwarder of that domain adds it."""
    seen = () if validity == "none" else (f"arc={validity}",)
    return signing.seal(raw, domain, *seen, "dmarc=pass header.from=example.org")


async def inspect(raw: bytes, resolver=None, *, offline: bool = False, trusted: tuple[str, ...] = ()):
    resolver = resolver or FakeResolver(KEYS)
    clock = FakeClock(datetime.now(UTC))
    context = make_context(resolver=resolver, clock=clock, site=make_site(offline=offline))
    return await ArcCheck(ArcConfig(trusted_sealers=trusted), context).inspect(make_transaction(raw))


async def test_chains_of_one_and_two_sealers_pass():
    once = seal(MESSAGE, "one.example", "none")
    (result,) = await inspect(once)
    assert (result.name, result.method.result) == ("ARC_PASS", "pass")
    (result,) = await inspect(seal(once, "two.example", "pass"))
    assert (result.name, result.method.reason) == ("ARC_PASS", "i=2")
    assert result.method.property("header.d") == "two.example"


@pytest.mark.parametrize(
    ("trusted", "fires"),
    [
        ((), False),
        (("one.example",), False),
        (("TWO.example",), True),
        (("example",), True),
        (("wo.example",), False),
    ],
)
async def test_only_the_newest_sealer_is_trusted_and_only_when_named(trusted, fires):
    raw = seal(seal(MESSAGE, "one.example", "none"), "two.example", "pass")
    names = {result.name for result in await inspect(raw, trusted=trusted)}
    assert ("ARC_TRUSTED" in names) is fires


@pytest.mark.parametrize(
    ("trusted", "sealers"),
    [
        (("two.example",), ("two.example",)),
        (("two.example", "one.example"), ("two.example", "one.example")),
        (("example",), ("two.example", "one.example")),
    ],
)
async def test_the_trusted_sealers_are_listed_up_to_one_who_is_not(trusted, sealers):
    raw = seal(seal(MESSAGE, "one.example", "none"), "two.example", "pass")
    (found,) = (result for result in await inspect(raw, trusted=trusted) if result.name == "ARC_TRUSTED")
    assert found.options == sealers


@pytest.mark.parametrize(
    "change",
    [
        (b"Hello", b"Hallo"),
        (b"dmarc=pass", b"dmarc=fail"),
        (b"i=1", b"i=2"),
        (b"i=1", b"i=0"),
        (b"i=1", b"i=99999"),
        (b"i=1", b"x=1"),
        (b"i=1", b"i="),
        (b"ARC-Seal", b"X-Seal"),
        (b"cv=none", b"cv=pass"),
        (b"d=one.example", b"d=two.example"),
        (b"s=sel", b"s=other"),
    ],
)
async def test_changed_chains_fail(change):
    raw = seal(MESSAGE, "one.example", "none")
    assert change[0] in raw
    (result,) = await inspect(raw.replace(*change), trusted=("example",))
    assert (result.name, result.method.result) == ("ARC_FAIL", "fail")


async def test_a_key_that_cannot_be_fetched_is_no_fail():
    resolver = FakeResolver({("sel._domainkey.one.example", "TXT"): None})
    (result,) = await inspect(seal(MESSAGE, "one.example", "none"), resolver)
    assert (result.name, result.method.result) == ("ARC_TEMPERROR", "temperror")


async def test_without_a_chain_or_offline():
    (result,) = await inspect(MESSAGE)
    assert (result.name, result.method.result) == ("ARC_NONE", "none")
    resolver = FakeResolver()
    assert await inspect(seal(MESSAGE, "one.example", "none"), resolver, offline=True) == []
    assert resolver.asked == []


async def test_long_chains_are_refused_without_asking():
    fields = b"".join(
        b"ARC-Seal: i=%d; a=rsa-sha256; d=x; s=%d; cv=pass; b=AAAA\r\nARC-Message-Signature: i=%d; a=rsa-sha256; d=x;"
        b" s=%d; h=from; bh=AAAA; b=AAAA\r\nARC-Authentication-Results: i=%d; x\r\n" % ((n,) * 5)
        for n in range(1, 60)
    )
    resolver = FakeResolver()
    (result,) = await inspect(fields + MESSAGE, resolver)
    assert result.name == "ARC_FAIL"
    assert resolver.asked == []


def test_the_contract():
    assert_check_contract(ArcCheck(ArcConfig(), make_context()))
