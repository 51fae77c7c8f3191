"""Our vectors for DKIM, with keys from a table and from a real server on loopback (UDP and TCP)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from filterproxy.message import Message
from filterproxy.services.signatures import verify_dkim
from filterproxy.testing import FakeScanPool
from filterproxy.testing.dns_server import DnsServer
from tests.conformance.dkim_case import NOW, DkimVector
from tests.conformance.dkim_vectors import load
from tests.conformance.zones import resolver_on, serve, table_of

VECTORS = [pytest.param(vector, id=vector.name) for vector in load()]


def test_there_are_enough_vectors():
    assert len({vector.name for vector in load()}) == len(VECTORS) >= 150


async def judge(vector: DkimVector, resolver: Any) -> None:
    found = await verify_dkim(Message(vector.message), resolver, FakeScanPool(), datetime.fromtimestamp(NOW, UTC))
    assert tuple(result.result for result in found) == vector.results, [result.reason for result in found]


@pytest.mark.parametrize("vector", VECTORS)
async def test_with_keys_from_a_table(vector):
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
