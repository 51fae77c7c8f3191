"""The dnslists check: what is asked, what a code means, and lists that must not be believed."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from filterproxy.checks.dnslists import DnsListsCheck, DnsListsConfig
from filterproxy.config.loader import load
from filterproxy.config.show import render
from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Stage
from filterproxy.core.errors import ConfigError
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import SymbolResult
from filterproxy.services.dns_lists.codes import parse_code
from filterproxy.services.dns_lists.subjects import address_forms, address_hash
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


class RecordingMetrics:
    """CheckMetrics that keep what they are told."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, str]] = []

    def dns_list(self, name: str, off_because: str, owner: object) -> None:
        self.lists.append((name, off_because))

    def forget_dns_list(self, name: str, owner: object) -> None:
        self.lists.append((name, "forgotten"))


def required_entries(*zones: str) -> dict:
    """Return what RFC 5782 wants in every list."""
    return {(f"{label}.{zone}", "A"): ["127.0.0.2"] for zone in zones for label in ("2.0.0.127", "test")}


class Bench:
    """A check on lists, with its fakes within reach; the lists hold their test entries unless `bare`."""

    def __init__(self, *lists, table=None, offline: bool = False, bare: bool = False, base_dir=None, **config) -> None:
        entries = {} if bare else required_entries(*(entry.get("zone", "") for entry in lists))
        self.resolver, self.clock, self.log = FakeResolver(entries | (table or {})), FakeClock(), RecordingLog()
        self.metrics = RecordingMetrics()
        folder = {"base_dir": base_dir} if base_dir else {}
        site = make_site(
            offline=offline,
            local_domains=frozenset({"our.example"}),
            trusted_networks=(ip_network("198.51.100.0/24"),),
            **folder,
        )
        context = make_context(resolver=self.resolver, clock=self.clock, log=self.log, site=site, metrics=self.metrics)
        self.check = DnsListsCheck(DnsListsConfig(lists=list(lists), **config), context)

    async def inspect(self, raw: bytes = MESSAGE, client: str = "203.0.113.5", **envelope):
        return await self.judge(make_transaction(raw, client=client, **envelope))

    async def judge(self, transaction):
        """Return the names of the listings that fired."""
        results = await self.check.inspect(transaction)
        return [result.name for result in results if result.name not in ("DNSLISTS_UNAVAILABLE", "DNSLISTS_LIMITED")]

    async def retest(self) -> None:
        """Let the time pass until the next self-test, and have it done."""
        self.clock.advance(3601)
        await self.check.test_lists()

    def asked(self) -> set[str]:
        """Return what was looked up, without the self-test."""
        tests = (
            "1.0.0.127.",
            "2.0.0.127.",
            "invalid.",
            "test.",
            "1.0.0.0.0.0.f.7.f.f.f.f.",
            "2.0.0.0.0.0.f.7.f.f.f.f.",
        )
        return {name for name, rtype in self.resolver.asked if rtype == "A" and not name.startswith(tests)}


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
        ("127.0.*.2", ["127.0.0.2", "127.0.15.2"], ["127.0.0.3", "127.1.0.2"]),
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
    [
        "",
        "127.0.0",
        "128.0.0.1",
        "127.0.0.9-3",
        "127.0.0.1/33",
        "10.0.0.0/8",
        "bit:0",
        "bit:x",
        "x",
        "127.0.0.1-x",
        "*.0.0.1",
        "127.0.*",
        "127.0.*.300",
    ],
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
    assert bench.metrics.lists == [("t", "lists_everything")]
    await bench.retest()
    assert len(bench.log.lines) == 1
    del bench.resolver._table[f"{label}.bl.example", "A"]
    await bench.retest()
    assert bench.log.lines[1:] == ["info: list t is on again"]
    assert bench.metrics.lists[1:] == [("t", "")]
    await bench.check.close()


async def test_a_dead_list_is_off_after_some_failures():
    table = {(f"{number}.113.0.203.bl.example", "A"): None for number in range(10)}
    bench = Bench(a_list(["client"]), table=table)
    for number in range(10):
        assert await bench.inspect(client=f"203.0.113.{number}") == []
    assert bench.log.lines == ["warning: list t is switched off: it does not answer"]
    assert len(bench.asked()) == 5


async def test_a_list_that_answers_nothing_at_all_is_off_and_soon_tried_again():
    labels = ("1.0.0.127", "2.0.0.127", "5.113.0.203")  # those of IPv6 do not exist
    bench = Bench(a_list(["client"]), table={(f"{label}.bl.example", "A"): None for label in labels})
    assert await bench.inspect() == []
    assert bench.log.lines == ["warning: list t is switched off: it does not answer"]
    assert bench.metrics.lists == [("t", "no_answer")]
    bench.resolver._table |= {
        (f"{labels[1]}.bl.example", "A"): ["127.0.0.2"],
        (f"{labels[2]}.bl.example", "A"): ["127.0.0.2"],
    }
    del bench.resolver._table[f"{labels[0]}.bl.example", "A"]
    bench.clock.advance(31)
    await bench.inspect()
    await bench.check._lists[0][1]._test
    assert await bench.inspect() == ["T_BL"]


async def test_a_list_whose_zone_is_gone_is_off():
    bench = Bench(a_list(["client", "mail_from"]), bare=True)
    assert await bench.inspect(mail_from="x@sender.example") == []
    assert bench.log.lines == ["warning: list t is switched off: its zone is gone"]
    assert bench.metrics.lists == [("t", "gone")]
    assert bench.asked() == set()


async def test_a_list_without_its_test_entry_is_doubted_but_asked():
    bench = Bench(a_list(["client"]), bare=True, table={("5.113.0.203.bl.example", "A"): ["127.0.0.2"]})
    assert await bench.inspect() == ["T_BL"]
    await bench.retest()
    assert bench.log.lines == ["warning: list t: it lacks the test entry that every list has (RFC 5782)"]


@pytest.mark.parametrize(
    ("query", "test", "labels"),
    [
        ("client", "127.0.0.9", "9.0.0.127"),
        ("urls", "dbltest.example", "dbltest.example"),
        ("mail_from_address", "Test@example.org", address_hash("test@example.org", "sha1")),
    ],
)
async def test_a_list_that_lost_the_test_entry_it_is_known_for_is_off(query, test, labels):
    table = {(f"{labels}.bl.example", "A"): ["127.0.0.2"], ("x.bl.example", "A"): ["127.0.0.2"]}
    bench = Bench(a_list([query]) | {"test": test}, bare=True, table=table)
    await bench.retest()
    assert bench.log.lines == []
    del bench.resolver._table[f"{labels}.bl.example", "A"]
    await bench.retest()
    assert bench.log.lines == ["warning: list t is switched off: its test entry is gone"]


async def test_a_code_by_which_this_list_refuses_is_no_listing():
    entry = a_list(["client"], {"bit:1": {"symbol": "T_BL", "score": 4}}) | {"refused": ["127.0.0.1"]}
    bench = Bench(entry, table={("5.113.0.203.bl.example", "A"): ["127.0.0.1"]})
    assert await bench.inspect() == []
    assert bench.log.lines == ["warning: list t is switched off: it refuses our queries (127.0.0.1)"]
    assert bench.metrics.lists == [("t", ""), ("t", "refused")]


async def test_an_off_list_stays_off_while_its_test_is_not_answered():
    table = {("1.0.0.127.bl.example", "A"): ["127.0.0.2"], ("5.113.0.203.bl.example", "A"): ["127.0.0.2"]}
    bench = Bench(a_list(["client"]), table=table)
    await bench.retest()
    bench.resolver._table["1.0.0.127.bl.example", "A"] = None
    await bench.retest()
    assert await bench.inspect() == []


async def test_every_list_is_tested_again_by_itself():
    bench = Bench(a_list(["client"]), test_interval="10ms")
    await bench.check.start()
    bench.clock.advance(1)
    async with asyncio.timeout(5):
        while sum(name.startswith("2.0.0.127.") for name, _ in bench.resolver.asked) < 3:
            await asyncio.sleep(0.001)
    await bench.check.close()


RECEIVED = (
    b"Received: from a.example (a.example [203.0.113.1])\r\n\tby mx.our.example (Postfix [203.0.113.99]) with ESMTP\r\n"
    b"Received: from b.example ([IPv6:2001:db8::2]) by a.example with ESMTP; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"Received: from ours (ours [198.51.100.7]) by b.example\r\n"
    b"Received: from inside (inside [10.0.0.1]) by ours\r\n"
    b"Received: from c.example ([203.0.113.3]) by inside\r\n"
    b"Received: from d.example ([203.0.113.4]) by c.example\r\n"
)


async def test_the_received_chain_is_looked_up_when_told():
    bench = Bench(a_list(["received"]), max_received=3)
    await bench.inspect(RECEIVED + MESSAGE)
    six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert bench.asked() == {f"{labels}.bl.example" for labels in ("1.113.0.203", six, "3.113.0.203")}


def with_results(check: str, *methods: MethodResult):
    transaction = make_transaction(MESSAGE, client="203.0.113.5")
    results = tuple(SymbolResult("X", method=method) for method in methods)
    transaction.outcomes[check] = CheckOutcome(check, Status.OK, results)
    return transaction


async def test_domains_whose_signatures_verify_are_looked_up():
    bench = Bench(a_list(["dkim"]))
    signers = [("pass", "mail.signer.example"), ("fail", "forged.example"), ("pass", "our.example")]
    results = (MethodResult("dkim", word, (("header.d", domain),)) for word, domain in signers)
    await bench.judge(with_results("dkim", *results))
    assert bench.asked() == {"mail.signer.example.bl.example", "signer.example.bl.example"}
    assert bench.check.after == {"dkim"}


async def test_a_confirmed_name_stands_in_for_one_the_listener_was_not_told():
    bench = Bench(a_list(["reverse_name"]))
    confirmed = MethodResult("iprev", "pass", (("policy.iprev", "203.0.113.5"),), "mx.host.example")
    await bench.judge(with_results("iprev", confirmed))
    assert bench.asked() == {"mx.host.example.bl.example", "host.example.bl.example"}
    assert bench.check.after == {"iprev"}


@pytest.mark.parametrize(
    ("query", "addresses"),
    [
        ("mail_from_address", {"bounce+tag@gmail.com", "bounce@gmail.com"}),
        ("header_from_address", {"eve@evil.example"}),
        ("reply_to_address", {"drop.box@googlemail.com", "dropbox@gmail.com"}),
        ("body_addresses", {"scam@free.example"}),
    ],
)
@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "md5"])
async def test_addresses_are_looked_up_as_hashes(query, addresses, hash_name):
    raw = (
        b"From: Eve <Eve@evil.example>\r\nReply-To: Drop.Box@GoogleMail.com\r\n\r\n"
        b"write to Scam@free.example, not to boss@our.example\r\n"
    )
    bench = Bench(a_list([query]) | {"hash": hash_name})
    await bench.inspect(raw, mail_from="Bounce+tag@gmail.com")
    assert bench.asked() == {f"{address_hash(address, hash_name)}.bl.example" for address in addresses}


def test_address_hashes_are_what_others_make():
    assert address_hash("test@example.org", "sha1") == "36272788ea81ece14c86b6eda45adbe192be8be0"
    assert address_forms("A.b+c@Example.org") == ["a.b+c@example.org", "a.b@example.org"]


async def test_an_allow_list_lowers_the_score():
    codes = {"127.0.*.3": {"symbol": "T_WL_HIGH", "score": -3}, "127.0.*.0": {"symbol": "T_WL_NONE", "score": -0.1}}
    bench = Bench(a_list(["client"], codes), table={("5.113.0.203.bl.example", "A"): ["127.0.10.3"]})
    assert await bench.inspect() == ["T_WL_HIGH"]
    assert {symbol.name: symbol.score for symbol in bench.check.declared_symbols()}["T_WL_HIGH"] == -3


KEYED = {
    "name": "k",
    "zone": "public.example",
    "keyed_zone": "{key}.keyed.example",
    "key": "house",
    "query": ["client"],
    "codes": T_BL,
}


@pytest.mark.parametrize("spelling", [{"house": "S3cretKey"}, {"house": {"file": "key"}}])
async def test_a_key_given_once_changes_the_zone_and_is_never_seen(spelling, tmp_path):
    (tmp_path / "key").write_text("S3cretKey\n")
    only = {
        **KEYED,
        "name": "only",
        "zone": "",
        "keyed_zone": "_email.{key}.h.example",
        "query": ["header_from_address"],
    }
    table = {
        ("5.113.0.203.s3cretkey.keyed.example", "A"): ["127.255.255.252"],
        **required_entries("s3cretkey.keyed.example"),
    }
    bench = Bench(KEYED, only, bare=True, table=table, keys=spelling, base_dir=tmp_path)
    results = await bench.check.inspect(make_transaction(MESSAGE, client="203.0.113.5"))
    assert any(name.endswith(".s3cretkey.h.example") for name in bench.asked())
    assert "5.113.0.203.s3cretkey.keyed.example" in bench.asked()
    everything = f"{results} {bench.log.lines} {bench.metrics.lists} {bench.check.config!r}".lower()
    assert "switched off" in everything
    assert "s3cret" not in everything


async def test_without_a_key_the_public_zone_is_asked_and_lists_for_customers_are_left_out():
    only = {**KEYED, "name": "only", "zone": "", "codes": {"127.0.0.2": {"symbol": "T_ONLY", "score": 1}}}
    bench = Bench(KEYED, only, bare=True, table=required_entries("public.example"))
    await bench.inspect()
    assert bench.asked() == {"5.113.0.203.public.example"}
    assert [symbol.name for symbol in bench.check.declared_symbols()][2:] == ["T_BL"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"house": "two words secret"}, "not a key"),
        ({"house": "dotted.secret"}, "not a key"),
        ({"house": ""}, "not a key"),
        ({"house": {"file": "absent"}}, "cannot read"),
        ({"hause": "secret"}, "no list uses this key"),
    ],
)
def test_keys_that_cannot_be(keys, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        Bench(KEYED, keys=keys, base_dir=tmp_path)
    assert "secret" not in str(caught.value)


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
    assert [(symbol.name, symbol.score, symbol.description) for symbol in symbols][2:] == [
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
        [a_list(["client"]) | {"zone": ""}],
        [a_list(["client"]) | {"keyed_zone": "{key}.x.example"}],
        [a_list(["client"]) | {"key": "house"}],
        [a_list(["client"]) | {"keyed_zone": "x.example", "key": "house"}],
        [a_list(["client"]) | {"refused": ["nonsense"]}],
        [a_list(["client", "mail_from_address"])],
    ],
)
def test_configurations_that_cannot_be(lists):
    with pytest.raises(ValidationError):
        DnsListsConfig(lists=lists)


async def test_with_a_real_server():
    zones = {"5.113.0.203.bl.example": {"A": ["127.0.0.2"]}, "shop.example.dbl.example": {"A": ["127.0.1.2"]}}
    zones |= {name: {"A": records} for (name, _), records in required_entries("bl.example", "dbl.example").items()}
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


async def test_a_list_that_could_not_be_asked_is_named():
    lists = [
        a_list(["client"]),
        a_list(["client"], name="u", zone="u.example"),
        a_list(["client"], name="v", zone="v.example"),
    ]
    table = {
        ("5.113.0.203.bl.example", "A"): None,
        ("5.113.0.203.u.example", "A"): ["127.0.0.2"],
        ("1.0.0.127.v.example", "A"): ["127.0.0.2"],
    }
    bench = Bench(*lists, table=table)
    results = await bench.check.inspect(make_transaction(MESSAGE, client="203.0.113.5"))
    assert [(result.name, result.options) for result in results] == [
        ("T_BL", ("203.0.113.5", "u")),
        ("DNSLISTS_UNAVAILABLE", ("t", "v")),
    ]


async def test_the_lookups_of_a_message_are_bounded_and_shared_fairly():
    lists = [a_list(["urls"]), a_list(["client"], name="u", zone="u.example")]
    bench = Bench(*lists, max_lookups=3)
    results = await bench.check.inspect(make_transaction(MESSAGE, client="203.0.113.5"))
    assert bench.asked() == {"shop.example.bl.example", "5.113.0.203.u.example", "deep.example.bl.example"}
    assert [(result.name, result.options) for result in results] == [("DNSLISTS_LIMITED", ("2 left out",))]


IPV6_TEST = "0.0.0.0.0.f.7.f.f.f.f" + 20 * ".0"


async def test_ipv6_lists_are_tested_with_the_entries_of_ipv6():
    bench = Bench(a_list(["client"]), bare=True, table={(f"2.{IPV6_TEST}.bl.example", "A"): ["127.0.0.2"]})
    await bench.retest()
    assert bench.log.lines == []  # one of the two test entries is enough
    bench.resolver._table[f"1.{IPV6_TEST}.bl.example", "A"] = ["127.0.0.2"]
    await bench.retest()
    assert bench.log.lines == ["warning: list t is switched off: it lists everything"]


async def test_a_list_without_ipv6_is_not_asked_for_it():
    bench = Bench(a_list(["client"]) | {"ipv6": False})
    await bench.inspect(client="2001:db8::1")
    await bench.retest()
    assert not [name for name, _ in bench.resolver.asked if name.count(".") > 20]


async def test_a_test_that_was_half_answered_is_soon_repeated():
    bench = Bench(a_list(["client"]), table={("1.0.0.127.bl.example", "A"): None})
    await bench.retest()
    asked = len(bench.resolver.asked)
    bench.clock.advance(301)
    await bench.inspect()
    await bench.check._lists[0][1]._test
    assert len(bench.resolver.asked) > asked + 1


@pytest.mark.parametrize("value", [12345678901234, ["S3cretKey"], {"key": "S3cretKey"}, True])
def test_a_key_of_the_wrong_kind_is_not_quoted(value, tmp_path):
    path = tmp_path / "filterproxy.yml"
    path.write_text(json.dumps({"checks": {"dnslists": {"keys": {"house": value}}}}))
    with pytest.raises(ConfigError) as caught:
        load(path, {"dnslists": DnsListsConfig})
    assert "checks.dnslists.keys.house" in str(caught.value)
    assert "S3cret" not in str(caught.value) and "12345" not in str(caught.value)


def test_a_customers_zone_belongs_elsewhere_and_is_not_quoted(tmp_path):
    path = tmp_path / "filterproxy.yml"
    entry = a_list(["client"], zone="s3cretkey.zen.dq.spamhaus.net")
    path.write_text(json.dumps({"checks": {"dnslists": {"lists": [entry]}}}))
    with pytest.raises(ConfigError, match="write keyed_zone") as caught:
        load(path, {"dnslists": DnsListsConfig})
    assert "s3cret" not in str(caught.value)


def test_config_show_hides_a_key(tmp_path):
    path = tmp_path / "filterproxy.yml"
    path.write_text(json.dumps({"checks": {"dnslists": {"lists": [KEYED], "keys": {"house": "S3cretKey"}}}}))
    text = render(load(path, {"dnslists": DnsListsConfig}), origin=True)
    assert "house" in text and "S3cret" not in text


@pytest.mark.parametrize(
    "zone", ["a b.example", "bl..example", ".example", "-x.example", "x" * 64, "a." * 80, "*.example"]
)
def test_a_zone_must_be_a_domain_name(zone):
    with pytest.raises(ValidationError, match="not a domain name"):
        DnsListsConfig(lists=[a_list(["client"], zone=zone)])
    with pytest.raises(ValidationError, match="not a domain name"):
        DnsListsConfig(lists=[KEYED | {"keyed_zone": "{key}." + zone}])


def test_a_zone_may_end_with_a_dot_and_have_underscores():
    DnsListsConfig(lists=[a_list(["client"], zone="_bl.Example.org.")])


async def test_addresses_that_a_click_writes_to_are_looked_up():
    html = (
        b"<p>Answer <a href=' MAILTO:Drop%2BBox@free.example?subject=x'>here</a>, <a href='mailto:'>or</a> "
        b"<a href='mailto:%00@x'>there</a></p>"
    )
    bench = Bench(a_list(["body_addresses"]))
    await bench.inspect(b"Content-Type: text/html\r\n\r\n" + html)
    wanted = {address_hash(address, "sha1") for address in ("drop+box@free.example", "drop@free.example")}
    assert bench.asked() == {f"{digest}.bl.example" for digest in wanted}


async def test_a_list_that_begins_to_list_everything_does_not_score_until_the_next_test():
    client = ("5.113.0.203.bl.example", "A")
    bench = Bench(a_list(["client"]), table={client: ["127.0.0.2"]})
    assert await bench.inspect() == ["T_BL"]
    bench.clock.advance(61)
    assert await bench.inspect() == ["T_BL"]  # confirmed
    bench.clock.advance(61)
    bench.resolver._table["1.0.0.127.bl.example", "A"] = ["127.0.0.2"]
    assert await bench.inspect() == []
    assert bench.log.lines == ["warning: list t is switched off: it lists everything"]


async def test_a_listing_is_confirmed_once_a_minute_and_only_a_listing():
    client = ("5.113.0.203.bl.example", "A")
    bench = Bench(a_list(["client"]), table={client: ["127.0.0.2"]})
    await bench.inspect()
    bench.clock.advance(61)
    never = ("1.0.0.127.bl.example", "A")
    assert await bench.inspect(client="203.0.113.9") == []
    assert bench.resolver.asked.count(never) == 1  # by the test at the start
    for _ in range(3):
        assert await bench.inspect() == ["T_BL"]
    assert bench.resolver.asked.count(never) == 2


async def test_what_is_known_before_the_message_is_looked_up_at_rcpt_already():
    mixed, late = a_list(["client", "mail_from", "urls"]), a_list(["urls"], name="u", zone="urls.example")
    bench = Bench(mixed, late, table={("5.113.0.203.bl.example", "A"): ["127.0.0.2"]})
    transaction = make_transaction(MESSAGE, client="203.0.113.5", mail_from="x@sender.example")
    transaction.message = None
    results = await bench.check.inspect_envelope(transaction)
    assert [result.name for result in results] == ["T_BL"]
    assert bench.asked() == {"5.113.0.203.bl.example", "sender.example.bl.example"}
    bench = Bench(late)
    assert not await bench.check.inspect_envelope(transaction)
    assert bench.asked() == set()
