"""The doctor on name servers, DNS lists and our own names: good ones, and every kind of bad ones."""

from __future__ import annotations

import time

import pytest

from filterproxy.app.doctor import examination
from filterproxy.app.doctor.finding import System
from filterproxy.app.doctor.name_servers import is_public_resolver
from filterproxy.testing import dns_server
from filterproxy.testing.dns_server import DnsServer
from tests.unit.app.doctor.patients import COM, findings, lines

ANYTHING = {"A": ["198.51.100.9"]}
EVERYTHING = {"*": ANYTHING}
EVERY_COM = {**COM, "*.com": ANYTHING}


@pytest.fixture(autouse=True)
def only(monkeypatch, request):
    """Examine what the test is about."""
    areas = ("resolver", "DNS lists", "hostname", "own domains")
    wanted = {area: call for area, call in examination._EXAMINATIONS.items() if area in areas}
    monkeypatch.setattr(examination, "_EXAMINATIONS", wanted)


async def test_a_good_name_server(tmp_path):
    with DnsServer(COM) as server:
        (finding,) = (await findings(tmp_path, server))["resolver"]
    assert finding.status == "ok"
    assert server.address in finding.text and " ms" in finding.text


async def test_a_name_server_that_rewrites_what_does_not_exist(tmp_path):
    with DnsServer(EVERY_COM) as server:
        (told,) = lines((await findings(tmp_path, server))["resolver"])
    assert told == (
        f"problem: {server.address} rewrites 'does not exist': it answers 198.51.100.9 for a name that nobody has"
    )


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (dns_server.REFUSED, "refuses our questions"),
        (dns_server.SERVFAIL, "cannot find out about names in .com: SERVFAIL"),
        (dns_server.TIMEOUT, "does not answer"),
    ],
)
async def test_a_name_server_that_does_not_serve_us(behaviour, words, tmp_path):
    with DnsServer(EVERYTHING, behaviours={"*": behaviour}) as server:
        (told,) = lines((await findings(tmp_path, server))["resolver"])
    assert told.startswith("problem: ") and words in told


async def test_a_dead_name_server(tmp_path):
    with DnsServer({}) as gone:
        pass
    (told,) = lines((await findings(tmp_path, gone))["resolver"])
    assert told in (f"problem: nobody serves at {gone.address}", f"problem: {gone.address} does not answer")


async def test_a_slow_name_server(tmp_path):
    with DnsServer(EVERY_COM, behaviours={"*.com": dns_server.Behaviour(delay=0.06, rcode=3)}) as server:
        (told,) = lines((await findings(tmp_path, server))["resolver"])
    assert told.startswith(f"warning: {server.address} is slow: ")


async def test_a_name_server_that_knows_no_internet(tmp_path):
    with DnsServer({}) as server:
        told = lines((await findings(tmp_path, server))["resolver"])
    assert [line.partition(":")[0] for line in told] == ["ok", "warning"]
    assert "no names of the Internet" in told[1]


async def test_a_name_server_without_tcp(tmp_path):
    with DnsServer(COM, behaviours={"com": dns_server.Behaviour(no_tcp=True)}) as server:
        told = lines((await findings(tmp_path, server))["resolver"])
    assert told[1:] == [
        f"warning: {server.address} does not answer over TCP: long records (DKIM keys, SPF) cannot be read"
    ]


async def test_each_of_several_name_servers_is_examined(tmp_path):
    with DnsServer(COM) as good, DnsServer(EVERY_COM) as bad:
        dns = {"nameservers": [good.address, bad.address], "timeout": "1s"}
        told = (await findings(tmp_path, good, dns=dns))["resolver"]
    assert [finding.status for finding in told] == ["ok", "problem"]


@pytest.mark.parametrize("enabled", [True, False])
async def test_systemd_resolved_that_asks_a_public_resolver(enabled, tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 1.1.1.1\n")
    checks = {"gtube": {}} | ({"dnslists": {}} if enabled else {})
    with DnsServer(COM, host="127.0.0.53") as server:
        told = await findings(tmp_path, server, system=System(resolved=tmp_path / "resolv.conf"), checks=checks)
    finding = told["resolver"][1]
    assert finding.status == ("problem" if enabled else "warning")
    assert "127.0.0.53 (systemd-resolved) asks 1.1.1.1: a public resolver" in finding.text


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *[(address, True) for address in ("8.8.8.8", "1.0.0.1", "9.9.9.9", "208.67.222.222", "2001:4860:4860::8888")],
        *[(address, False) for address in ("127.0.0.1", "192.168.1.1", "8.8.8.9", "::1", "fe80::1%eth0")],
    ],
)
def test_public_resolvers_are_known(address, public):
    assert is_public_resolver(address) is public


def a_list(name: str, **more) -> dict:
    entry = {"name": name, "zone": f"{name}.example", "query": ["client"]}
    return {**entry, "codes": {"127.0.0.2": {"symbol": f"T_{name.upper()}"}}, **more}


TEST_ENTRY = {"A": ["127.0.0.2"]}
LIST_ZONES = {
    "2.0.0.127.good.example": TEST_ENTRY,
    "1.0.0.127.closed.example": TEST_ENTRY,
    "2.0.0.127.closed.example": TEST_ENTRY,
    "2.0.0.127.s3cretkey.refusing.example": {"A": ["127.255.255.254"]},
    "*.parked.example": {"A": ["198.51.100.1"]},
    "other.empty.example": {"A": ["127.0.0.2"]},
    "*.silent.example": TEST_ENTRY,
}


async def test_the_state_of_each_list(tmp_path):
    keyed = {"zone": "", "key": "house"}
    names = ("good", "closed", "parked", "gone", "empty", "silent")
    entries = [
        *(a_list(name) for name in names),
        a_list("refusing", **keyed, keyed_zone="{key}.refusing.example"),
        a_list("locked", **keyed | {"key": "none"}, keyed_zone="{key}.locked.example"),
    ]
    checks = {"dnslists": {"lists": entries, "keys": {"house": "s3cretkey"}}}
    with DnsServer(COM | LIST_ZONES, behaviours={"*.silent.example": dns_server.TIMEOUT}) as server:
        told = await findings(tmp_path, server, checks=checks)
    assert lines(told["DNS lists"]) == [
        "ok: good is on",
        "problem: closed is switched off: it lists everything",
        "problem: parked is switched off: it answers 198.51.100.1, which is no listing",
        "problem: gone is switched off: its zone is gone",
        "warning: empty: it lacks the test entry that every list has (RFC 5782)",
        "problem: silent is switched off: it does not answer",
        "problem: refusing is switched off: it refuses our queries (127.255.255.254)",
        "note: left out without a key: locked",
    ]
    assert "s3cret" not in str(told)
    assert set(told) == {"configuration", "resolver", "DNS lists", "hostname", "own domains"}


@pytest.mark.parametrize(("checks", "words"), [({"gtube": {}}, "no DNS list is"), ({"dnslists": {}}, "names no list")])
async def test_no_lists_are_no_problem(checks, words, tmp_path):
    with DnsServer(COM) as server:
        (told,) = lines((await findings(tmp_path, server, checks=checks))["DNS lists"])
    assert told.startswith("note: ") and words in told


async def test_lists_are_tested_also_when_another_check_is_wrong(tmp_path):
    checks = {"dnslists": {"lists": [a_list("good")]}, "rules": {"files": ["absent.yml"]}}
    with DnsServer(COM | LIST_ZONES) as server:
        told = await findings(tmp_path, server, checks=checks)
    assert lines(told["DNS lists"]) == ["ok: good is on"]
    (finding,) = told["checks"]
    assert finding.status == "problem" and "absent.yml" in finding.text


HOST = "198.51.100.7"
REVERSE = "7.100.51.198.in-addr.arpa"


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        (
            {"mx.example.org": {"A": [HOST]}, REVERSE: {"PTR": ["MX.example.org"]}},
            f"ok: mx.example.org is {HOST}, and {HOST} is mx.example.org",
        ),
        (
            {"mx.example.org": {"A": [HOST]}, REVERSE: {"PTR": ["vm7.provider.example"]}},
            f"warning: mx.example.org is {HOST}, but its reverse name is vm7.provider.example",
        ),
        ({"mx.example.org": {"A": [HOST]}}, f"warning: mx.example.org is {HOST}, but it has no reverse name"),
        (
            {"mx.example.org": {"A": ["10.0.0.7"]}},
            "note: mx.example.org is 10.0.0.7 here, which only this network knows",
        ),
        ({}, "warning: mx.example.org has no address in DNS"),
    ],
)
async def test_our_own_name(zones, expected, tmp_path):
    with DnsServer(COM | zones) as server:
        assert lines((await findings(tmp_path, server))["hostname"]) == [expected]


async def test_a_name_that_is_not_full(tmp_path):
    with DnsServer(COM) as server:
        (told,) = lines((await findings(tmp_path, server, hostname="mail"))["hostname"])
    assert "'mail' is no full name" in told


async def test_dns_that_fails_says_nothing_about_our_names(tmp_path):
    zones = {
        "mx.example.org": {"A": [HOST]},
        "example.org": {"TXT": ["v=spf1 -all"]},
        "_dmarc.example.org": {"A": [HOST]},
    }
    behaviours = dict.fromkeys(zones, dns_server.SERVFAIL)
    with DnsServer(COM | zones, behaviours=behaviours) as server:
        told = await findings(tmp_path, server, local_domains=["example.org"])
    assert lines(told["hostname"]) == ["warning: mx.example.org: SERVFAIL"]
    assert lines(told["own domains"]) == [
        "warning: SPF of example.org: SERVFAIL",
        "warning: DMARC of example.org: _dmarc.example.org: SERVFAIL",
    ]


NO_DMARC = "warning: example.org has no valid DMARC record"


@pytest.mark.parametrize(
    ("spf", "dmarc", "expected"),
    [
        (
            ["v=spf1 mx -all"],
            ["v=DMARC1; p=reject"],
            ["ok: SPF of example.org: v=spf1 mx -all", "ok: DMARC of example.org: p=reject"],
        ),
        (
            ["V=SPF1 a ?ALL", "other"],
            ["v=DMARC1; p=none"],
            [
                "ok: SPF of example.org: V=SPF1 a ?ALL",
                "note: DMARC of example.org asks for nothing yet (p=none)",
            ],
        ),
        (["v=spf10 -all"], [], ["warning: example.org has no SPF record: anybody may send in its name", NO_DMARC]),
        (
            ["v=spf1 a", "v=spf1 mx"],
            ["v=DMARC1; p=reject", "v=DMARC1; p=none"],
            [
                "problem: example.org has 2 SPF records, which counts as an error everywhere (RFC 7208 section 4.5)",
                NO_DMARC,
            ],
        ),
        (
            ["v=spf1 +all"],
            ["v=DMARC1; p=rejct"],
            [
                "problem: SPF of example.org lets everybody send in its name (+all)",
                "problem: the DMARC record of example.org asks for nothing valid, so that it says nothing",
            ],
        ),
    ],
)
async def test_what_our_domains_say(spf, dmarc, expected, tmp_path):
    zones = {"example.org": {"TXT": spf}, "_dmarc.example.org": {"TXT": dmarc} if dmarc else {"A": [HOST]}}
    with DnsServer(COM | zones) as server:
        told = await findings(tmp_path, server, relay_domains=["example.org"])
    assert lines(told["own domains"]) == expected


async def test_many_domains_are_cut_and_none_is_a_note(tmp_path):
    with DnsServer(COM) as server:
        many = await findings(tmp_path, server, local_domains=[f"d{number}.example" for number in range(23)])
        none = await findings(tmp_path, server)
    assert len(many["own domains"]) == 41
    assert many["own domains"][-1].text == "3 more were not looked at"
    assert lines(none["own domains"]) == ["note: none is configured"]


async def test_it_ends_in_time_whatever_dns_does(tmp_path):
    dns = {"nameservers": [], "timeout": "30s"}
    with DnsServer(EVERYTHING, behaviours={"*": dns_server.TIMEOUT}) as server:
        dns["nameservers"] = [server.address]
        started = time.monotonic()
        told = await findings(tmp_path, server, seconds=0.3, dns=dns, checks={"dnslists": {"lists": [a_list("good")]}})
        assert time.monotonic() - started < 10
    for area in ("resolver", "DNS lists", "hostname"):
        assert lines(told[area]) == ["problem: took too long to look at"]
