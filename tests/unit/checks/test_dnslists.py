"""The dnslists check: what is asked, what a code means, and lists that must not be believed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from filterproxy.checks.dnslists import DnsListsCheck, DnsListsConfig
from filterproxy.core.check import Stage
from filterproxy.services.dns_list import parse_code
from filterproxy.services.resolver import DnsResolver
from filterproxy.testing import (
    FakeClock,
    FakeResolver,
    RecordingLog,
    assert_check_contract,
    make_context,
    make_site,
    make_transaction,
)
from filterproxy.testing.dns_server import DnsServer

T_BL = {"127.0.0.2": {"symbol": "T_BL", "score": 4}}
MESSAGE = (
    b"From: Eve <eve@evil.example>\r\n\r\n"
    b"see http://www.shop.example/x https://a.b.deep.example/ http://203.0.113.7/ http://10.0.0.1/ http://our.example/\r\n"
)


def a_list(query: list[str], codes=None, name: str = "t", zone: str = "bl.example"):
    return {"name": name, "zone": zone, "query": query, "codes": codes or T_BL}


class Bench:
    """A check on lists, with its fakes within reach."""

    def __init__(self, *lists, table=None, offline: bool = False, **config) -> None:
        self.resolver, self.clock, self.log = FakeResolver(table), FakeClock(), RecordingLog()
        site = make_site(offline=offline, local_domains=frozenset({"our.example"}))
        context = make_context(resolver=self.resolver, clock=self.clock, log=self.log, site=site)
        self.check = DnsListsCheck(DnsListsConfig(lists=list(lists), **config), context)

    async def inspect(self, raw: bytes = MESSAGE, client: str = "203.0.113.5", **envelope):
        results = await self.check.inspect(make_transaction(raw, client=client, **envelope))
        return [result.name for result in results]

    def asked(self) -> set[str]:
        """Return what was looked up, without the self-test."""
        tests = ("1.0.0.127.", "invalid.")
        return {name for name, _ in self.resolver.asked if not name.startswith(tests)}


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (["client"], {"5.113.0.203"}),
        (["reverse_name"], {"mail.client.example", "client.example"}),
        (["helo"], {"mx.helo.example", "helo.example"}),
        (["mail_from"], {"bounce.sender.example", "sender.example"}),
        (["header_from"], {"evil.example"}),
        (["urls"], {"shop.example", "deep.example", "a.b.deep.example", "7.113.0.203"}),
        (["client", "mail_from"], {"5.113.0.203", "bounce.sender.example", "sender.example"}),
    ],
)
async def test_what_is_asked(query, asked):
    bench = Bench(a_list(query))
    envelope = {
        "client_name": "Mail.Client.example.",
        "helo": "mx.helo.example",
        "mail_from": "x@Bounce.Sender.example",
    }
    assert await bench.inspect(**envelope) == []
    assert bench.asked() == {f"{labels}.bl.example" for labels in asked}


@pytest.mark.parametrize(
    ("client", "labels"),
    [
        ("::ffff:203.0.113.5", {"5.113.0.203.bl.example"}),
        ("2001:db8::1", {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example"}),
        ("10.0.0.1", set()),
        ("127.0.0.1", set()),
        ("192.168.1.1", set()),
        ("fe80::1", set()),
        ("", set()),
    ],
)
async def test_client_addresses(client, labels):
    bench = Bench(a_list(["client"]))
    await bench.inspect(client=client)
    assert bench.asked() == labels


async def test_the_number_of_names_from_urls_is_bounded():
    bench = Bench(a_list(["urls"]), max_urls=7)
    await bench.inspect(b"\r\n" + b" ".join(b"http://h%d.example/" % number for number in range(500)))
    assert len(bench.asked()) == 7


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2"]),
        ("127.0.0.4-7", ["127.0.0.4", "127.0.0.7"], ["127.0.0.3", "127.0.0.8"]),
        ("127.0.0.4-127.0.1.7", ["127.0.0.4", "127.0.1.0"], ["127.0.1.8"]),
        ("127.0.0.8/29", ["127.0.0.8", "127.0.0.15"], ["127.0.0.16"]),
        ("bit:4", ["127.0.0.4", "127.0.0.6", "127.0.0.12"], ["127.0.0.2", "127.0.0.8"]),
        ("bit:0x100", ["127.0.1.0"], ["127.0.0.255"]),
    ],
)
async def test_codes(pattern, hits, misses):
    for code in (*hits, *misses):
        table = {("5.113.0.203.bl.example", "A"): [code]}
        bench = Bench(a_list(["client"], {pattern: {"symbol": "T_BL", "score": 4}}), table=table)
        assert await bench.inspect() == (["T_BL"] if code in hits else [])


@pytest.mark.parametrize(
    "pattern",
    ["", "127.0.0", "128.0.0.1", "127.0.0.9-3", "127.0.0.1/33", "10.0.0.0/8", "bit:0", "bit:x", "x", "127.0.0.1-x"],
)
def test_codes_that_cannot_be(pattern):
    with pytest.raises(ValueError, match="is no return code"):
        parse_code(pattern)


async def test_several_codes_and_their_options():
    codes = {"127.0.0.2": {"symbol": "T_BL", "score": 4}, "127.0.0.10-11": {"symbol": "T_PBL", "score": 2}}
    table = {("5.113.0.203.bl.example", "A"): ["127.0.0.2", "127.0.0.11", "127.0.0.77"]}
    bench = Bench(a_list(["client"], codes), table=table)
    results = await bench.check.inspect(make_transaction(client="203.0.113.5"))
    assert [(result.name, result.options) for result in results] == [
        ("T_BL", ("203.0.113.5", "t")),
        ("T_PBL", ("203.0.113.5", "t")),
    ]


@pytest.mark.parametrize("code", ["127.255.255.252", "127.255.255.254", "127.255.255.255", "192.0.2.1", "0.0.0.0"])
async def test_a_list_that_refuses_or_lies_is_off_and_tested_again(code):
    name = ("5.113.0.203.secretkey.bl.example", "A")
    bench = Bench(
        a_list(["client"], {"127.0.0.0/8": {"symbol": "T_BL", "score": 4}}, zone="secretkey.bl.example"),
        table={name: [code, "127.0.0.2"]},
    )
    assert await bench.inspect() == []
    assert len(bench.log.lines) == 1 and "list t is switched off" in bench.log.lines[0]
    assert "secretkey" not in bench.log.lines[0]
    bench.resolver._table[name] = ["127.0.0.2"]
    asked = len(bench.resolver.asked)
    assert await bench.inspect() == []
    assert len(bench.resolver.asked) == asked  # an off list is not asked
    bench.clock.advance(301)
    await bench.inspect()
    await bench.check._lists[0][1]._test
    assert await bench.inspect() == ["T_BL"]
    assert bench.log.lines[-1] == "info: list t is on again"


@pytest.mark.parametrize(("query", "label"), [("client", "1.0.0.127"), ("mail_from", "invalid"), ("urls", "1.0.0.127")])
async def test_a_list_that_lists_everything_never_scores(query, label):
    table = {
        (f"{label}.bl.example", "A"): ["127.0.0.2"],
        ("5.113.0.203.bl.example", "A"): ["127.0.0.2"],
        ("shop.example.bl.example", "A"): ["127.0.0.2"],
    }
    bench = Bench(a_list([query]), table=table)
    await bench.check.start()
    for _ in range(3):
        assert await bench.inspect(mail_from="x@shop.example") == []
    assert bench.log.lines == ["warning: list t is switched off: it lists everything"]
    bench.clock.advance(301)
    await bench.inspect()
    await bench.check._lists[0][1]._test
    assert len(bench.log.lines) == 1
    await bench.check.close()


async def test_a_dead_list_is_off_after_some_failures():
    table = {(f"{number}.113.0.203.bl.example", "A"): None for number in range(10)}
    bench = Bench(a_list(["client"]), table=table)
    for number in range(10):
        assert await bench.inspect(client=f"203.0.113.{number}") == []
    assert bench.log.lines == ["warning: list t is switched off: it does not answer"]
    assert len(bench.asked()) == 5


async def test_start_does_not_wait_for_the_self_test():
    class Never(FakeResolver):
        async def resolve(self, name, rtype):
            raise AssertionError("asked before the event loop ran")

    bench = Bench(a_list(["client"]))
    context = make_context(resolver=Never())
    check = DnsListsCheck(bench.check.config, context)
    await check.start()
    await check.close()


async def test_offline_asks_nothing():
    bench = Bench(a_list(["client", "urls"]), offline=True)
    await bench.check.start()
    assert await bench.inspect() == []
    assert bench.resolver.asked == []


@pytest.mark.parametrize(
    ("queries", "stage"),
    [
        (["client"], Stage.CONNECT),
        (["client", "helo"], Stage.HELO),
        (["mail_from"], Stage.MAIL),
        (["client", "urls"], Stage.MESSAGE),
    ],
)
def test_it_runs_as_early_as_its_lists_allow(queries, stage):
    assert Bench(a_list(queries)).check.stage is stage


def test_symbols_come_from_the_configuration():
    codes = {
        "127.0.0.2": {"symbol": "T_BL", "score": 4, "description": "bad"},
        "127.0.0.3": {"symbol": "T_GOOD", "score": -1},
    }
    symbols = Bench(a_list(["client"], codes), a_list(["helo"], name="u")).check.declared_symbols()
    assert [(symbol.name, symbol.score, symbol.description) for symbol in symbols] == [
        ("T_BL", 4.0, "bad"),
        ("T_GOOD", -1.0, "Listed by t"),
    ]


@pytest.mark.parametrize(
    "lists",
    [
        [a_list(["client"]), a_list(["client"])],
        [a_list(["client"]), a_list(["client"], {"127.0.0.3": {"symbol": "T_BL", "score": 1}}, name="u")],
        [a_list(["nonsense"])],
        [a_list([])],
        [a_list(["client"], {"127.0.0": {"symbol": "T_BL"}})],
        [a_list(["client"], {"127.0.0.2": {"symbol": "lower"}})],
        [a_list(["client"]) | {"unknown": 1}],
    ],
)
def test_configurations_that_cannot_be(lists):
    with pytest.raises(ValidationError):
        DnsListsConfig(lists=lists)


async def test_with_a_real_server():
    zones = {"5.113.0.203.bl.example": {"A": ["127.0.0.2"]}, "shop.example.dbl.example": {"A": ["127.0.1.2"]}}
    with DnsServer(zones) as server:
        resolver = DnsResolver([(server.host, server.port)], FakeClock())
        config = DnsListsConfig(
            lists=[
                a_list(["client"]),
                a_list(["urls"], {"127.0.1.2": {"symbol": "T_DBL", "score": 3}}, "d", "dbl.example"),
            ]
        )
        check = DnsListsCheck(config, make_context(resolver=resolver))
        await check.start()
        results = await check.inspect(make_transaction(MESSAGE, client="203.0.113.5"))
        assert {result.name for result in results} == {"T_BL", "T_DBL"}
        await check.close()
        await resolver.close()


def test_the_contract():
    assert_check_contract(Bench(a_list(["client", "helo", "mail_from", "header_from", "urls", "reverse_name"])).check)
    assert_check_contract(Bench().check)
