"""The helo check: syntax, literals, our own names, existence."""

from __future__ import annotations

import ipaddress

import pytest

from filterproxy.checks.helo import HeloCheck, HeloConfig
from filterproxy.core.check import Stage
from filterproxy.testing import FakeResolver, assert_check_contract, make_context, make_site, make_transaction

TABLE = {
    ("mx.example", "A"): ["192.0.2.1"],
    ("six.example", "AAAA"): ["2001:db8::1"],
    ("else.example", "A"): ["203.0.113.9"],
    ("silent.example", "A"): None,
    ("halfsilent.example", "AAAA"): None,
}


async def inspect(helo: str, client: str = "192.0.2.1", resolver: FakeResolver | None = None, **site):
    defaults = {"local_domains": frozenset({"our.example"})}
    context = make_context(resolver=resolver or FakeResolver(TABLE), site=make_site(**(defaults | site)))
    results = await HeloCheck(HeloConfig(), context).inspect(make_transaction(client=client, helo=helo))
    return [result.name for result in results]


@pytest.mark.parametrize(
    ("helo", "symbols"),
    [
        ("mx.example", ["HELO_MATCH"]),
        ("MX.Example.", ["HELO_MATCH"]),
        ("else.example", []),
        ("six.example", []),
        ("nothing.example", ["HELO_NOT_FOUND"]),
        ("silent.example", ["HELO_TEMPERROR"]),
        ("halfsilent.example", ["HELO_TEMPERROR"]),
        ("localhost", ["HELO_NOT_FQDN"]),
        ("USER-PC", ["HELO_NOT_FQDN"]),
        ("[192.0.2.1]", ["HELO_LITERAL"]),
        ("[203.0.113.1]", ["HELO_LITERAL_MISMATCH"]),
        ("[IPv6:2001:db8::1]", ["HELO_LITERAL_MISMATCH"]),
        ("[192.0.2.1", ["HELO_SYNTAX"]),
        ("[nonsense]", ["HELO_SYNTAX"]),
        ("192.0.2.1", ["HELO_BARE_IP"]),
        ("2001:db8::1", ["HELO_BARE_IP"]),
        ("mx example", ["HELO_SYNTAX"]),
        ("mx..example", ["HELO_SYNTAX"]),
        ("-mx.example", ["HELO_SYNTAX"]),
        ("mx.example\r\nX-Evil: 1", ["HELO_SYNTAX"]),
        ("x" * 5000, ["HELO_SYNTAX"]),
        ("mx.example.org", ["HELO_IS_US"]),
        ("OUR.example", ["HELO_IS_US"]),
        ("mail.our.example", ["HELO_NOT_FOUND"]),
        ("", []),
    ],
)
async def test_symbols(helo, symbols):
    assert await inspect(helo) == symbols


async def test_ipv6_clients():
    assert await inspect("[IPv6:2001:db8::1]", "2001:DB8::1") == ["HELO_LITERAL"]
    assert await inspect("six.example", "2001:db8::1") == ["HELO_MATCH"]


async def test_our_own_machines_may_use_our_name():
    networks = (ipaddress.ip_network("192.0.2.0/24"),)
    assert await inspect("mx.example.org", trusted_networks=networks) == ["HELO_NOT_FOUND"]
    assert await inspect("mx.example.org", local_networks=networks) == ["HELO_NOT_FOUND"]


async def test_without_a_client_or_offline():
    resolver = FakeResolver()
    assert await inspect("localhost", client="", resolver=resolver) == []
    assert await inspect("mx.example", resolver=resolver, offline=True) == []
    assert await inspect("localhost", resolver=resolver, offline=True) == ["HELO_NOT_FQDN"]
    assert resolver.asked == []


def test_the_contract():
    assert HeloCheck.stage is Stage.HELO
    assert_check_contract(HeloCheck(HeloConfig(), make_context()))
