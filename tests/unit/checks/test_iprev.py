"""The iprev check: confirmed, unconfirmed, missing and unknown reverse names."""

from __future__ import annotations

import pytest

from filterproxy.checks.iprev import IprevCheck, IprevConfig
from filterproxy.core.check import Stage
from filterproxy.testing import FakeResolver, assert_check_contract, make_context, make_site, make_transaction

V6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
TABLE = {
    ("1.2.0.192.in-addr.arpa", "PTR"): ["other.example", "mx.example"],
    ("mx.example", "A"): ["203.0.113.1", "192.0.2.1"],
    ("mx.example", "AAAA"): ["2001:DB8:0::1"],
    ("2.2.0.192.in-addr.arpa", "PTR"): ["mx.example"],
    ("3.2.0.192.in-addr.arpa", "PTR"): None,
    ("4.2.0.192.in-addr.arpa", "PTR"): ["silent.example", "mx.example"],
    ("silent.example", "A"): None,
    (V6, "PTR"): ["mx.example"],
}


async def inspect(client: str, resolver: FakeResolver | None = None, *, offline: bool = False):
    context = make_context(resolver=resolver or FakeResolver(TABLE), site=make_site(offline=offline))
    return await IprevCheck(IprevConfig(), context).inspect(make_transaction(client=client))


@pytest.mark.parametrize(
    ("client", "symbol", "word", "name"),
    [
        ("192.0.2.1", "IPREV_PASS", "pass", "mx.example"),
        ("::ffff:192.0.2.1", "IPREV_PASS", "pass", "mx.example"),
        ("2001:db8::1", "IPREV_PASS", "pass", "mx.example"),
        ("192.0.2.2", "IPREV_FAIL", "fail", "mx.example"),
        ("192.0.2.3", "IPREV_TEMPERROR", "temperror", ""),
        ("192.0.2.4", "IPREV_TEMPERROR", "temperror", "silent.example"),
        ("192.0.2.5", "IPREV_NONE", "permerror", ""),
    ],
)
async def test_results(client, symbol, word, name):
    (result,) = await inspect(client)
    assert (result.name, result.method.result, result.method.reason) == (symbol, word, name)
    assert result.method.property("policy.iprev") == client.removeprefix("::ffff:")


@pytest.mark.parametrize(
    "client", ["", "nonsense", "10.1.2.3", "127.0.0.1", "192.168.0.1", "::1", "fe80::1", "fd00::1"]
)
async def test_addresses_nobody_else_knows_are_not_asked_for(client):
    resolver = FakeResolver()
    assert await inspect(client, resolver) == []
    assert resolver.asked == []


async def test_offline():
    resolver = FakeResolver()
    assert await inspect("192.0.2.1", resolver, offline=True) == []
    assert resolver.asked == []


async def test_the_number_of_names_is_bounded():
    table = {("1.2.0.192.in-addr.arpa", "PTR"): [f"h{number}.example" for number in range(500)]}
    resolver = FakeResolver(table)
    (result,) = await inspect("192.0.2.1", resolver)
    assert result.name == "IPREV_FAIL"
    assert len(resolver.asked) == 6


def test_the_contract():
    assert IprevCheck.stage is Stage.CONNECT
    assert_check_contract(IprevCheck(IprevConfig(), make_context()))
