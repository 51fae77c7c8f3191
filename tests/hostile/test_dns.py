"""DNS that is slow, broken, forged or endless: an answer inside the time-out, never a wrong one."""

from __future__ import annotations

import asyncio
import time

import pytest

from filterproxy.core.ports import DnsStatus
from filterproxy.services.resolver import DnsResolver
from filterproxy.testing import FakeClock, dns_server
from filterproxy.testing.dns_server import Behaviour, DnsServer

ZONES = {
    "example.org": {"A": ["192.0.2.1"], "TXT": ["v=spf1 -all"]},
    "loop.example.org": {"CNAME": ["pool.example.org"]},
    "pool.example.org": {"CNAME": ["loop.example.org"]},
}
TIMEOUT = 0.4


async def ask(behaviour: Behaviour, name: str = "example.org", rtype: str = "A"):
    """Return the answer, the seconds it took, and the transports of the questions."""
    with DnsServer(ZONES, behaviours={"example.org": behaviour}) as server:
        resolver = DnsResolver([(server.host, server.port)], FakeClock(), timeout=TIMEOUT)
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
    assert seconds < TIMEOUT + 0.5


async def test_a_slow_answer_inside_the_timeout_is_taken():
    answer, _, transports = await ask(dns_server.slow(TIMEOUT * 0.6))
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
    assert seconds < TIMEOUT + 0.5


async def test_a_cname_loop_is_a_temperror():
    answer, _, _ = await ask(Behaviour(), name="loop.example.org")
    assert answer.status is DnsStatus.TEMPERROR
    assert "CNAME loop" in answer.reason


async def test_many_questions_to_a_silent_zone_cost_one_timeout():
    zones = {"*.slow.example": {"A": ["192.0.2.1"]}}
    with DnsServer(zones, behaviours={"*.slow.example": dns_server.TIMEOUT}) as server:
        resolver = DnsResolver([(server.host, server.port)], FakeClock(), timeout=TIMEOUT)
        started = time.monotonic()
        answers = await asyncio.gather(*(resolver.resolve(f"{number}.slow.example", "A") for number in range(64)))
        assert time.monotonic() - started < TIMEOUT + 1.0
        assert {answer.status for answer in answers} == {DnsStatus.TEMPERROR}
        await resolver.close()
