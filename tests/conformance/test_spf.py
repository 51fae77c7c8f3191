"""All cases of the openspf suite for RFC 7208, with DNS from a table and from a real server on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from filterproxy.core.ports import DnsAnswer, DnsStatus
from filterproxy.services.resolver import DnsResolver
from filterproxy.services.spf_evaluator import evaluate
from filterproxy.testing import FakeClock
from filterproxy.testing.dns_server import TIMEOUT, TRUNCATED, Behaviour, DnsServer

SUITE = Path(__file__).parents[1] / "data" / "spf" / "rfc7208-tests.yml"


@dataclass(frozen=True)
class Section:
    """One document of the suite: its zone data as the loopback server takes it, and the names that never answer."""

    zones: dict[str, dict[str, list[Any]]]
    behaviours: dict[Any, Behaviour]


def load() -> list[Any]:
    cases = []
    for document in yaml.safe_load_all(SUITE.read_text(encoding="utf-8")):
        section = read_zones(document["zonedata"])
        for name, test in document["tests"].items():
            cases.append(pytest.param(section, test, id=name))
    return cases


def read_zones(zonedata: dict[str, list[Any]]) -> Section:
    zones: dict[str, dict[str, list[Any]]] = {}
    behaviours: dict[Any, Behaviour] = {}
    for owner, entries in zonedata.items():
        name = owner.lower().rstrip(".")
        records: dict[str, list[Any]] = {}
        for entry in entries:
            if entry == "TIMEOUT":
                behaviours[name] = TIMEOUT
                continue
            ((rtype, value),) = entry.items()
            records.setdefault(rtype, []).append(value)
        zones[name] = as_records(records)
        if name in behaviours:
            behaviours |= {(name, rtype): Behaviour() for rtype in zones[name]}
    return Section(zones, behaviours)


def as_records(records: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the records with SPF entries as TXT, unless TXT is given or said to be NONE (the suite's convention)."""
    if "SPF" in records:
        spf = records.pop("SPF")
        records.setdefault("TXT", spf)
    records["TXT"] = [value for value in records.get("TXT", []) if value != "NONE"]
    if "TXT" in records:
        records["TXT"] = [as_strings(value) for value in records["TXT"]]
    return {rtype: values for rtype, values in records.items() if values}


def as_strings(value: Any) -> list[bytes]:
    strings = value if isinstance(value, list) else [value]
    octets = [text.encode("latin-1") for text in strings]
    return [text[start : start + 255] for text in octets for start in range(0, max(len(text), 1), 255)]


class TableResolver:
    """A resolver on a section's zones, without any network."""

    def __init__(self, section: Section) -> None:
        self.section = section

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        key = name.lower().rstrip(".")
        seen: set[str] = set()
        while "CNAME" in self.section.zones.get(key, {}):
            if key in seen:
                return DnsAnswer(DnsStatus.TEMPERROR, reason="CNAME loop")
            seen.add(key)
            key = self.section.zones[key]["CNAME"][0].lower().rstrip(".")
        records = self.section.zones.get(key, {}).get(rtype, [])
        if records:
            return DnsAnswer(DnsStatus.FOUND, tuple(as_answer(rtype, record) for record in records))
        if key in self.section.behaviours:
            return DnsAnswer(DnsStatus.TEMPERROR, reason="time-out")
        return DnsAnswer(DnsStatus.NODATA if key in self.section.zones else DnsStatus.NXDOMAIN)


def as_answer(rtype: str, record: Any) -> Any:
    if rtype == "TXT":
        return b"".join(record)
    if rtype == "MX":
        return record[0], record[1].lower().rstrip(".")
    return record.lower().rstrip(".")


async def check(test: dict[str, Any], resolver: Any) -> None:
    sender = test["mailfrom"] or f"postmaster@{test['helo']}"
    found = await evaluate(
        resolver, client=test["host"], identity=sender, helo=test["helo"], receiver="receiver.example.org"
    )
    wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
    assert found.result in wanted
    if "explanation" in test and found.result == "fail":
        assert found.explanation == ("" if test["explanation"] == "DEFAULT" else test["explanation"])


CASES = load()


def test_the_suite_is_complete():
    assert len(CASES) == 200


@pytest.mark.parametrize(("section", "test"), CASES)
async def test_with_dns_from_a_table(section, test):
    await check(test, TableResolver(section))


@pytest.fixture(scope="module")
def server():
    with DnsServer({}) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("section", "test"), CASES)
async def test_with_a_real_server(section, test, transport, server):
    server.load(section.zones)
    cut = dict.fromkeys(section.zones, TRUNCATED) if transport == "tcp" else {}  # over UDP: come back over TCP
    server.behaviours = cut | section.behaviours
    server.queries.clear()
    # Only a name that gives no answer has to be waited for.
    resolver = DnsResolver([(server.host, server.port)], FakeClock(), timeout=2.0 if section.behaviours else 10.0)
    try:
        await check(test, resolver)
    finally:
        await resolver.close()
    if transport == "tcp" and not section.behaviours:
        answered = {(query.name, query.rtype) for query in server.queries if server.behaviour(query.name, "").truncated}
        assert answered == {(query.name, query.rtype) for query in server.queries if query.transport == "tcp"}
