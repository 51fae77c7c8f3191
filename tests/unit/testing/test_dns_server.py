"""The loopback DNS server answers as its zones and behaviours say."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from filterproxy.testing import dns_server
from filterproxy.testing.dns_server import DnsServer

ZONES = {
    "example.org": {"A": ["192.0.2.1"], "TXT": ["v=spf1 -all", ["two ", "strings"]], "MX": [(10, "mx.example.org")]},
    "a.b.deep.example.org": {"A": ["192.0.2.2"]},
    "alias.example.org": {"CNAME": ["example.org"]},
    "loop.example.org": {"CNAME": ["pool.example.org"]},
    "pool.example.org": {"CNAME": ["loop.example.org"]},
    "*.bl.example": {"A": ["127.0.0.2"]},
    "known.bl.example": {"TXT": ["x" * 600]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["example.org"]},
}


def ask(server: DnsServer, name: str, rtype: str, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, rtype)
    function = dns.query.tcp if tcp else dns.query.udp
    return function(query, server.host, port=server.port, timeout=2)


def texts(answer: dns.message.Message) -> list[str]:
    return [rdata.to_text().lower() for rrset in answer.answer for rdata in rrset]


@pytest.fixture(scope="module")
def server():
    with DnsServer(ZONES) as running:
        yield running


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("name", "rtype", "rcode", "wanted"),
    [
        ("example.org", "A", dns.rcode.NOERROR, ["192.0.2.1"]),
        ("EXAMPLE.org", "MX", dns.rcode.NOERROR, ["10 mx.example.org."]),
        ("example.org", "TXT", dns.rcode.NOERROR, ['"v=spf1 -all"', '"two " "strings"']),
        ("example.org", "AAAA", dns.rcode.NOERROR, []),
        ("b.deep.example.org", "A", dns.rcode.NOERROR, []),
        ("nothing.example.org", "A", dns.rcode.NXDOMAIN, []),
        ("alias.example.org", "A", dns.rcode.NOERROR, ["example.org.", "192.0.2.1"]),
        ("x.y.bl.example", "A", dns.rcode.NOERROR, ["127.0.0.2"]),
        ("known.bl.example", "A", dns.rcode.NOERROR, []),
        ("below.known.bl.example", "A", dns.rcode.NXDOMAIN, []),
        ("1.2.0.192.in-addr.arpa", "PTR", dns.rcode.NOERROR, ["example.org."]),
    ],
)
def test_answers(server, name, rtype, rcode, wanted, tcp):
    answer = ask(server, name, rtype, tcp)
    assert answer.rcode() == rcode
    assert sorted(texts(answer)) == sorted(wanted)
    assert bool(answer.authority) == (not wanted)


def test_a_cname_loop_ends(server):
    assert "pool.example.org." in texts(ask(server, "loop.example.org", "A"))


def test_an_answer_over_the_payload_size_is_truncated(server):
    assert ask(server, "known.bl.example", "TXT").flags & dns.flags.TC
    assert len(texts(ask(server, "known.bl.example", "TXT", tcp=True))) == 1


def test_behaviours():
    behaviours = {
        "fail.example": dns_server.SERVFAIL,
        ("example.org", "A"): dns_server.REFUSED,
        "*.bl.example": dns_server.TRUNCATED,
        "alias.example.org": dns_server.HUGE,
    }
    with DnsServer(ZONES, behaviours=behaviours) as server:
        assert ask(server, "fail.example", "A").rcode() == dns.rcode.SERVFAIL
        assert ask(server, "example.org", "A").rcode() == dns.rcode.REFUSED
        assert ask(server, "example.org", "MX").rcode() == dns.rcode.NOERROR
        assert ask(server, "1.bl.example", "A").flags & dns.flags.TC
        assert texts(ask(server, "1.bl.example", "A", tcp=True)) == ["127.0.0.2"]
        assert len(ask(server, "alias.example.org", "TXT", tcp=True).to_wire(max_size=65535)) > 40_000
        assert server.asked("1.bl.example") == 2


def test_silence_and_forged_answers():
    behaviours = {"silent.example": dns_server.TIMEOUT, "example.org": dns_server.WRONG_ID_FIRST}
    with DnsServer(ZONES, behaviours=behaviours) as server:
        with pytest.raises(dns.exception.Timeout):
            dns.query.udp(dns.message.make_query("silent.example", "A"), server.host, port=server.port, timeout=0.1)
        with pytest.raises(dns.query.BadResponse):
            ask(server, "example.org", "A")


async def test_it_serves_an_event_loop_and_ipv6():
    async with DnsServer(ZONES, host="::1") as server:
        assert texts(ask(server, "example.org", "A")) == ["192.0.2.1"]
        assert server.address == f"[::1]:{server.port}"
