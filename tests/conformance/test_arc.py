"""All cases of ValiMail's ARC validation suite, with keys from a table and from a real server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from filterproxy.message import Message
from filterproxy.services.signatures import verify_arc
from filterproxy.testing import FakeResolver, FakeScanPool
from filterproxy.testing.dns_server import DnsServer
from tests.conformance.zones import resolver_on, serve

SUITE = Path(__file__).parents[1] / "data" / "arc" / "arc-draft-validation-tests.yml"


def load() -> list[Any]:
    cases = []
    for document in yaml.safe_load_all(SUITE.read_text(encoding="utf-8")):
        keys = {name: "".join(text.split("\n")) for name, text in document["txt-records"].items()}
        cases += [pytest.param(keys, test, id=name) for name, test in document["tests"].items()]
    return cases


CASES = load()


def expected(test: dict[str, Any]) -> str:
    """Return the word; a chain that says of itself that it failed is left open by the suite: RFC 8617 5.2 says fail."""
    return test["cv"].lower() or "fail"


def test_the_suite_is_complete():
    assert len(CASES) == 171


async def verify(test: dict[str, Any], resolver: Any) -> str:
    raw = test["message"].encode().replace(b"\n", b"\r\n")
    return (await verify_arc(Message(raw), resolver, FakeScanPool())).result


@pytest.mark.parametrize(("keys", "test"), CASES)
async def test_with_keys_from_a_table(keys, test):
    resolver = FakeResolver({(name, "TXT"): [text.encode()] for name, text in keys.items()})
    assert await verify(test, resolver) == expected(test)


@pytest.fixture(scope="module")
def server():
    with DnsServer({}) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("keys", "test"), CASES)
async def test_with_a_real_server(keys, test, transport, server):
    serve(server, {(name, "TXT"): [text] for name, text in keys.items()}, transport)
    async with resolver_on(server) as resolver:
        assert await verify(test, resolver) == expected(test)


async def test_a_signature_without_from_says_nothing_of_the_author():
    (case,) = (case for case in CASES if case.id == "ams_fields_h_empty")
    keys, test = case.values
    resolver = FakeResolver({(name, "TXT"): [text.encode()] for name, text in keys.items()})
    found = await verify_arc(Message(test["message"].encode().replace(b"\n", b"\r\n")), resolver, FakeScanPool())
    assert (found.result, found.covers_author) == ("pass", False)
