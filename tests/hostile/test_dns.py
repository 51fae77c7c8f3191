"""DNS that is slow, broken, forged or endless: an answer inside the time-out, never a wrong one."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

from filterproxy.checks.dnslists import DnsListsCheck, DnsListsConfig
from filterproxy.checks.helo import HeloCheck
from filterproxy.checks.iprev import IprevCheck
from filterproxy.checks.spf import SpfCheck
from filterproxy.core.ports import DnsStatus
from filterproxy.services.resolver import DnsResolver, wire
from filterproxy.testing import FakeClock, dns_server, make_context, make_transaction
from filterproxy.testing.dns_server import Behaviour, DnsServer

ZONES = {
    "example.org": {"A": ["192.0.2.1"], "TXT": ["v=spf1 -all"]},
    "loop.example.org": {"CNAME": ["pool.example.org"]},
    "pool.example.org": {"CNAME": ["loop.example.org"]},
}
# Of an answer that never comes the time-out is waited for; any other has as long as a busy machine needs.
TIMEOUT = 0.4
PATIENCE = 10.0
SILENT = (dns_server.TIMEOUT, dns_server.slow(30.0), Behaviour(truncated=True, no_tcp=True))


def resolver_for(server: DnsServer, behaviour: Behaviour) -> DnsResolver:
    timeout = TIMEOUT if behaviour in SILENT else PATIENCE
    return DnsResolver([(server.host, server.port)], FakeClock(), timeout=timeout)


async def ask(behaviour: Behaviour, name: str = "example.org", rtype: str = "A"):
    """Return the answer, the seconds it took, and the transports of the questions."""
    with DnsServer(ZONES, behaviours={"example.org": behaviour}) as server:
        resolver = resolver_for(server, behaviour)
        started = time.monotonic()
        answer = await resolver.resolve(name, rtype)
        seconds = time.monotonic() - started
        await resolver.close()
        return answer, seconds, [query.transport for query in server.queries if query.name == name]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (dns_server.SERVFAIL, "SERVFAIL"),
        (dns_server.REFUSED, "REFUSED"),
        (dns_server.TIMEOUT, "no answer in time"),
        (dns_server.slow(30.0), "no answer in time"),
    ],
)
async def test_a_failing_server_is_a_temperror_within_the_timeout(behaviour, reason):
    answer, seconds, _ = await ask(behaviour)
    assert answer.status is DnsStatus.TEMPERROR
    assert reason in answer.reason
    assert seconds < PATIENCE / 2


async def test_a_slow_answer_inside_the_timeout_is_taken():
    answer, _, transports = await ask(dns_server.slow(0.2))
    assert answer.records == ("192.0.2.1",)
    assert "udp" in transports


@pytest.mark.parametrize("behaviour", [dns_server.WRONG_ID_FIRST, dns_server.ELSEWHERE_FIRST])
async def test_forged_answers_are_ignored(behaviour):
    answer, _, transports = await ask(behaviour)
    assert answer.records == ("192.0.2.1",)
    assert transports == ["udp"]


async def test_a_truncated_answer_is_asked_again_over_tcp():
    answer, _, transports = await ask(dns_server.TRUNCATED)
    assert answer.records == ("192.0.2.1",)
    assert transports == ["udp", "tcp"]


async def test_a_huge_answer_comes_over_tcp():
    answer, _, transports = await ask(dns_server.HUGE, rtype="TXT")
    assert b"v=spf1 -all" in answer.records
    assert len(answer.records) > 150
    assert transports == ["udp", "tcp"]


async def test_a_truncated_answer_without_tcp_is_a_temperror():
    answer, seconds, _ = await ask(Behaviour(truncated=True, no_tcp=True))
    assert answer.status is DnsStatus.TEMPERROR
    assert seconds < PATIENCE / 2


async def test_a_cname_loop_is_a_temperror():
    answer, _, _ = await ask(Behaviour(), name="loop.example.org")
    assert answer.status is DnsStatus.TEMPERROR
    assert "CNAME loop" in answer.reason


def record(owner: bytes, rtype: int, data: bytes, length: int | None = None) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, 60, len(data) if length is None else length) + data


# The question is at offset 12, so records begin at 29 for example.org: 12 + 13 + 4.
SELF = b"\xc0\x1d"
JUNK = {
    "a name that points to itself": (record(SELF, 1, b"\xc0\x00\x02\x01"), 1),
    "a pointer to a later place": (record(b"\xc0\xff", 1, b"\xc0\x00\x02\x01"), 1),
    "a pointer to the header": (record(b"\xc0\x00", 1, b"\xc0\x00\x02\x01"), 1),
    "a label that never ends": (b"\x3f" + b"a" * 10, 1),
    "an unknown label type": (record(b"\x80a\0", 1, b"\xc0\x00\x02\x01"), 1),
    "a record longer than the packet": (record(b"\xc0\x0c", 1, b"\xc0\x00\x02\x01", 4000), 1),
    "an address of three octets": (record(b"\xc0\x0c", 1, b"abc"), 1),
    "more records than there are": (record(b"\xc0\x0c", 1, b"\xc0\x00\x02\x01"), 400),
    "65,535 records": (record(b"\xc0\x0c", 1, b"\xc0\x00\x02\x01"), 65_535),
    "a CNAME to itself": (record(b"\xc0\x0c", 5, b"\xc0\x0c"), 1),
    "a chain of labels behind pointers": (record(b"\xc0\x0c", 5, b"\x01a\xc0\x29" * 60), 1),
    "nothing at all": (b"\0", 1),
}


@pytest.mark.parametrize("what", JUNK)
async def test_octets_that_are_no_answer_are_a_temperror_at_once(what):
    junk, count = JUNK[what]
    answer, seconds, _ = await ask(Behaviour(junk=junk, junk_records=count))
    assert answer.status is DnsStatus.TEMPERROR
    assert seconds < PATIENCE / 2


async def test_records_of_another_name_are_not_taken():
    other = record(b"\x04evil\x07example\0", 1, b"\xc0\x00\x02\x63")
    answer, _, _ = await ask(Behaviour(junk=other))
    assert (answer.status, answer.records) == (DnsStatus.NODATA, ())


async def test_the_cost_of_the_longest_answer_is_bounded():
    """Every one of many records has a name of 92 labels, most of which are behind a pointer."""
    chain = b"".join(
        b"\x01a" + struct.pack("!H", 0xC000 | (12 if place == 0 else 37 + 4 * place)) for place in range(90)
    )
    question = wire.build_question(wire.encode_name("example.org"), 1)
    owner = struct.pack("!H", 0xC000 | 41 + 4 * 89)
    records = record(b"\xc0\x0c", 16, chain) + record(owner, 5, b"\xc0\x0c") * 499
    packet = struct.pack("!HHHHHH", 1, 0x8180, 1, 500, 0, 0) + question + records
    assert wire._read_name(packet, 41 + 4 * 89)[0].count(".") == 91  # the chain is one
    started = time.process_time()
    wire.parse_response(packet, question)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (dns_server.SERVFAIL, "temperror"),
        (dns_server.REFUSED, "temperror"),
        (dns_server.TIMEOUT, "temperror"),
        (Behaviour(truncated=True, no_tcp=True), "temperror"),
        (Behaviour(junk=JUNK["a name that points to itself"][0]), "temperror"),
        (dns_server.NXDOMAIN, "none"),
        (Behaviour(), "pass"),
    ],
)
async def test_what_dns_does_arrives_in_the_symbols(behaviour, word):
    """'We do not know' is temperror and never a fail, and never the same as 'does not exist'."""
    zones = {"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}
    with DnsServer(zones, behaviours={"example.org": behaviour}) as server:
        resolver = resolver_for(server, behaviour)
        transaction = make_transaction(client="192.0.2.1", helo="example.org", mail_from="a@example.org")
        results = await SpfCheck(SpfCheck.config_type(), make_context(resolver=resolver)).inspect(transaction)
        await resolver.close()
    words = {result.method.result for result in results if result.method and result.method.method == "spf"}
    assert words == {word}


LISTED = {
    "name": "t",
    "zone": "bl.example",
    "query": ["client"],
    "codes": {"127.0.0.2": {"symbol": "T_BL", "score": 4}},
}
CLIENT_ZONES = {
    "1.2.0.192.in-addr.arpa": {"PTR": ["example.org"]},
    "example.org": {"A": ["192.0.2.1"]},
    "2.0.0.127.bl.example": {"A": ["127.0.0.2"]},
    "1.2.0.192.bl.example": {"A": ["127.0.0.2"]},
}


@pytest.mark.parametrize(
    ("behaviour", "symbols"),
    [
        (dns_server.SERVFAIL, {"HELO_TEMPERROR", "IPREV_TEMPERROR", "DNSLISTS_UNAVAILABLE"}),
        (dns_server.TIMEOUT, {"HELO_TEMPERROR", "IPREV_TEMPERROR", "DNSLISTS_UNAVAILABLE"}),
        (Behaviour(truncated=True, no_tcp=True), {"HELO_TEMPERROR", "IPREV_TEMPERROR", "DNSLISTS_UNAVAILABLE"}),
        (dns_server.NXDOMAIN, {"HELO_NOT_FOUND", "IPREV_NONE"}),
        (dns_server.WRONG_ID_FIRST, {"HELO_MATCH", "IPREV_PASS", "T_BL"}),
        (dns_server.TRUNCATED, {"HELO_MATCH", "IPREV_PASS", "T_BL"}),
        (dns_server.slow(0.05), {"HELO_MATCH", "IPREV_PASS", "T_BL"}),
    ],
)
async def test_the_checks_of_a_client_keep_do_not_know_and_does_not_exist_apart(behaviour, symbols):
    names = ("1.2.0.192.in-addr.arpa", "example.org", "1.2.0.192.bl.example")
    with DnsServer(CLIENT_ZONES, behaviours=dict.fromkeys(names, behaviour)) as server:
        resolver = resolver_for(server, behaviour)
        context = make_context(resolver=resolver)
        lists = DnsListsCheck(DnsListsConfig(lists=[LISTED]), context)
        checks = [HeloCheck(HeloCheck.config_type(), context), IprevCheck(IprevCheck.config_type(), context), lists]
        transaction = make_transaction(client="192.0.2.1", helo="example.org")
        found = await asyncio.gather(*(check.inspect(transaction) for check in checks))
        await lists.close()
        await resolver.close()
    assert {result.name for results in found for result in results} == symbols


async def test_many_questions_to_a_silent_zone_cost_one_timeout():
    zones = {"*.slow.example": {"A": ["192.0.2.1"]}}
    with DnsServer(zones, behaviours={"*.slow.example": dns_server.TIMEOUT}) as server:
        resolver = DnsResolver([(server.host, server.port)], FakeClock(), timeout=TIMEOUT)
        started = time.monotonic()
        answers = await asyncio.gather(*(resolver.resolve(f"{number}.slow.example", "A") for number in range(64)))
        assert time.monotonic() - started < PATIENCE / 2
        assert {answer.status for answer in answers} == {DnsStatus.TEMPERROR}
        await resolver.close()
