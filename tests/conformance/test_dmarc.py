"""Our vectors for DMARC, with DNS from a table and from a real server on loopback."""

from __future__ import annotations

from typing import Any

import pytest

from filterproxy.message.domains import ascii_domain
from filterproxy.services.dmarc import Discovery
from filterproxy.testing.dns_server import DnsServer
from tests.conformance.dmarc_result import result_of
from tests.conformance.dmarc_vectors import DmarcVector, load
from tests.conformance.zones import resolver_on, serve, table_of

VECTORS = [pytest.param(vector, id=vector.name) for vector in load()]


def test_there_are_enough_vectors():
    assert len(load("tree_walk")) >= 40
    assert len({vector.name for vector in load()}) == len(VECTORS) >= 100


async def judge(vector: DmarcVector, resolver: Any) -> None:
    found = await result_of(vector.message, vector.spf, vector.dkim, resolver)
    assert (found.result, found.property("policy.dmarc")) == (vector.result, vector.policy)
    if vector.organization:
        assert await Discovery(resolver).organization(ascii_domain(vector.author)) == vector.organization


@pytest.mark.parametrize("vector", VECTORS)
async def test_with_dns_from_a_table(vector):
    await judge(vector, table_of(vector.dns))


@pytest.fixture(scope="module")
def server():
    with DnsServer({}) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("vector", VECTORS)
async def test_with_a_real_server(vector, transport, server):
    serve(server, vector.dns, transport)
    async with resolver_on(server) as resolver:
        await judge(vector, resolver)
