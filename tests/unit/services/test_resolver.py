"""The resolver: answers, cache, one question for many askers, failover, dead servers."""

from __future__ import annotations

import asyncio
import time

import pytest

from filterproxy.config.models import Dns
from filterproxy.core.ports import DnsAnswer, DnsStatus
from filterproxy.services import resolver as resolver_module
from filterproxy.services.resolver import DnsResolver, OfflineResolver, SystemServers, create_resolver, wire
from filterproxy.services.resolver import resolver as resolver_package
from filterproxy.services.resolver import upstream as upstream_module
from filterproxy.services.resolver.cache import AnswerCache
from filterproxy.testing import FakeClock, dns_server
from filterproxy.testing.dns_server import DnsServer

ZONES = {
    "example.org": {
        "A": ["192.0.2.1", "192.0.2.2"],
        "AAAA": ["2001:db8::1"],
        "TXT": ["v=spf1 -all", ["two ", "strings"]],
        "MX": [(10, "MX.Example.ORG")],
        "NS": ["ns.example.org"],
    },
    "xn--bcher-kva.example": {"A": ["192.0.2.3"]},
    "alias.example.org": {"CNAME": ["second.example.org"]},
    "second.example.org": {"CNAME": ["example.org"]},
    "dangling.example.org": {"CNAME": ["nothing.example.org"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["Host.Example.org"]},
    "odd.example.org": {"PTR": ["a\\013\\010b.example.org"]},
    "below.name.example.org": {"A": ["192.0.2.9"]},
}


@pytest.fixture(scope="module")
def server():
    with DnsServer(ZONES) as running:
        yield running


def resolver_for(*servers: DnsServer, clock=None, **options) -> DnsResolver:
    return DnsResolver([(server.host, server.port) for server in servers], clock or FakeClock(), **options)


@pytest.mark.parametrize(
    ("name", "rtype", "status", "records"),
    [
        ("example.org", "A", DnsStatus.FOUND, {"192.0.2.1", "192.0.2.2"}),
        ("EXAMPLE.org.", "AAAA", DnsStatus.FOUND, {"2001:db8::1"}),
        ("example.org", "TXT", DnsStatus.FOUND, {b"v=spf1 -all", b"two strings"}),
        ("example.org", "MX", DnsStatus.FOUND, {(10, "mx.example.org")}),
        ("example.org", "NS", DnsStatus.FOUND, {"ns.example.org"}),
        ("bücher.example", "A", DnsStatus.FOUND, {"192.0.2.3"}),
        ("alias.example.org", "A", DnsStatus.FOUND, {"192.0.2.1", "192.0.2.2"}),
        ("alias.example.org", "CNAME", DnsStatus.FOUND, {"second.example.org"}),
        ("alias.example.org", "PTR", DnsStatus.NODATA, set()),
        ("dangling.example.org", "A", DnsStatus.NXDOMAIN, set()),
        ("1.2.0.192.in-addr.arpa", "PTR", DnsStatus.FOUND, {"host.example.org"}),
        ("odd.example.org", "PTR", DnsStatus.FOUND, {"a\\013\\010b.example.org"}),
        ("name.example.org", "A", DnsStatus.NODATA, set()),
        ("nothing.example.org", "A", DnsStatus.NXDOMAIN, set()),
        ("a..example.org", "A", DnsStatus.NXDOMAIN, set()),
        ("x" * 64 + ".example.org", "A", DnsStatus.NXDOMAIN, set()),
        ("a." * 130 + "org", "A", DnsStatus.NXDOMAIN, set()),
        ("", "A", DnsStatus.NXDOMAIN, set()),
        ("\udcff.example.org", "A", DnsStatus.NXDOMAIN, set()),
        ("ü" * 300, "A", DnsStatus.NXDOMAIN, set()),
    ],
)
async def test_answers(server, name, rtype, status, records):
    resolver = resolver_for(server)
    answer = await resolver.resolve(name, rtype)
    assert (answer.status, set(answer.records)) == (status, records)
    await resolver.close()


async def test_no_packet_is_sent_for_text_that_is_no_name(server):
    resolver = resolver_for(server)
    before = len(server.queries)
    await resolver.resolve("a..b", "A")
    assert len(server.queries) == before


async def test_equal_questions_in_flight_are_asked_once():
    with DnsServer(ZONES, behaviours={"example.org": dns_server.slow(0.05)}) as server:
        resolver = resolver_for(server)
        answers = await asyncio.gather(*(resolver.resolve("Example.org", "A") for _ in range(20)))
        assert {answer.status for answer in answers} == {DnsStatus.FOUND}
        assert server.asked("example.org") == 1
        await resolver.close()


async def test_an_asker_who_gives_up_does_not_spoil_it_for_others():
    with DnsServer(ZONES, behaviours={"example.org": dns_server.slow(0.1)}) as server:
        resolver = resolver_for(server)
        first = asyncio.ensure_future(resolver.resolve("example.org", "A"))
        second = asyncio.ensure_future(resolver.resolve("example.org", "A"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).status is DnsStatus.FOUND
        assert first.cancelled()
        await resolver.close()


async def test_answers_are_kept_for_their_ttl_within_bounds():
    clock = FakeClock()
    with DnsServer(ZONES, ttl=60) as server:
        resolver = resolver_for(server, clock=clock)
        for _ in range(3):
            await resolver.resolve("example.org", "A")
            await resolver.resolve("nothing.example.org", "A")
        assert (server.asked("example.org"), server.asked("nothing.example.org")) == (1, 1)
        clock.advance(61)
        await resolver.resolve("example.org", "A")
        await resolver.resolve("nothing.example.org", "A")
        assert (server.asked("example.org"), server.asked("nothing.example.org")) == (2, 2)
        await resolver.close()


async def test_the_cache_has_a_bound():
    with DnsServer({"*.example.org": {"A": ["192.0.2.1"]}}) as server:
        resolver = resolver_for(server, cache_entries=2)
        for name in ("a.example.org", "b.example.org", "c.example.org", "c.example.org", "b.example.org"):
            await resolver.resolve(name, "A")
        assert len(server.queries) == 3
        await resolver.resolve("a.example.org", "A")
        assert len(server.queries) == 4
        await resolver.close()


async def test_the_next_server_is_asked_when_one_refuses_or_fails():
    refusing = DnsServer(
        ZONES, behaviours={"example.org": dns_server.REFUSED, "alias.example.org": dns_server.SERVFAIL}
    )
    with refusing, DnsServer(ZONES) as good:
        resolver = resolver_for(refusing, good)
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        assert (await resolver.resolve("alias.example.org", "A")).status is DnsStatus.FOUND
        await resolver.close()


async def test_the_next_server_is_asked_when_one_is_silent():
    silent = DnsServer(ZONES, behaviours={"example.org": dns_server.TIMEOUT})
    with silent, DnsServer(ZONES) as good:
        resolver = resolver_for(silent, good, timeout=0.5)
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        await resolver.close()


async def test_a_lost_packet_is_asked_again(monkeypatch):
    with DnsServer(ZONES, behaviours={"example.org": dns_server.TIMEOUT}) as server:
        resolver = resolver_for(server, timeout=1.0)
        asking = asyncio.ensure_future(resolver.resolve("example.org", "A"))
        deadline = time.monotonic() + 5
        while not server.asked("example.org") and time.monotonic() < deadline:
            await asyncio.sleep(0)
        server.behaviours.clear()
        assert (await asking).status is DnsStatus.FOUND
        await resolver.close()


async def test_a_server_from_before_edns_is_asked_without_it():
    with DnsServer(ZONES, behaviours={"example.org": dns_server.NO_EDNS}) as server:
        resolver = resolver_for(server)
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        assert server.asked("example.org") == 2
        await resolver.close()


async def test_without_servers_every_question_fails_at_once():
    resolver = DnsResolver([], FakeClock())
    answer = await resolver.resolve("example.org", "A")
    assert (answer.status, answer.reason) == (DnsStatus.TEMPERROR, "no name server is configured")
    await resolver.close()


async def test_nobody_listening_costs_no_time():
    with DnsServer({}) as gone:
        pass
    resolver = resolver_for(gone, timeout=5.0)
    started = time.monotonic()
    answer = await resolver.resolve("example.org", "A")
    assert answer.status is DnsStatus.TEMPERROR
    assert time.monotonic() - started < 1.0
    await resolver.close()


async def test_a_dead_server_is_not_waited_for_and_comes_back(monkeypatch):
    monkeypatch.setattr(upstream_module, "DEAD_INTERVAL", 0.05)
    everything_silent = {"": dns_server.TIMEOUT, "*": dns_server.TIMEOUT, "example.org": dns_server.TIMEOUT}
    with DnsServer({**ZONES, "*": {"A": ["192.0.2.1"]}}, behaviours=everything_silent) as server:
        resolver = resolver_for(server, timeout=0.2)
        await asyncio.gather(*(resolver.resolve(f"{number}.test", "A") for number in range(3)))
        await _until(lambda: resolver.resolve("again.test", "A"), "no name server answers")
        server.behaviours.clear()
        await _until(lambda: resolver.resolve("example.org", "A"), "")
        await resolver.close()


async def _until(ask, reason: str) -> None:
    """Ask until the answer has that reason, for two seconds at most."""
    async with asyncio.timeout(2):
        while (await ask()).reason != reason:
            await asyncio.sleep(0.01)


async def test_a_senders_broken_zone_does_not_make_the_server_dead():
    with DnsServer(ZONES, behaviours={"*.broken.example": dns_server.TIMEOUT}) as server:
        server.load({**ZONES, "*.broken.example": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server, timeout=0.2)
        answers = await asyncio.gather(*(resolver.resolve(f"{number}.broken.example", "A") for number in range(30)))
        assert {answer.status for answer in answers} == {DnsStatus.TEMPERROR}
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        await resolver.close()


async def test_close_ends_questions_in_flight():
    with DnsServer(ZONES, behaviours={"example.org": dns_server.TIMEOUT}) as server:
        resolver = resolver_for(server, timeout=10)
        asking = asyncio.ensure_future(resolver.resolve("example.org", "A"))
        await asyncio.sleep(0)
        await resolver.close()
        assert (await asking).status is DnsStatus.TEMPERROR


async def test_close_ends_questions_whose_server_could_not_be_reached():
    resolver = DnsResolver([("255.255.255.255", 53)], FakeClock())
    asking = asyncio.ensure_future(resolver.resolve("example.org", "A"))
    await asyncio.sleep(0)
    await resolver.close()
    assert (await asking).status is DnsStatus.TEMPERROR


async def test_a_server_that_cannot_be_reached_is_passed_over(server):
    resolver = DnsResolver([("255.255.255.255", 53), (server.host, server.port)], FakeClock())
    assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
    await resolver.close()


async def test_a_server_that_comes_up_again_is_used_at_once():
    with DnsServer({}) as gone:
        pass
    resolver = resolver_for(gone, timeout=5.0)
    assert (await resolver.resolve("example.org", "A")).status is DnsStatus.TEMPERROR
    with DnsServer(ZONES, port=gone.port):
        assert (await resolver.resolve("example.org", "AAAA")).status is DnsStatus.FOUND
    await resolver.close()


async def test_ids_and_ports_differ(monkeypatch):
    with DnsServer({"*.example.org": {"A": ["192.0.2.1"]}}) as server:
        resolver = resolver_for(server)
        sent: list[int] = []
        real = upstream_module.wire.build_query
        monkeypatch.setattr(
            upstream_module.wire,
            "build_query",
            lambda query_id, *a, **k: sent.append(query_id) or real(query_id, *a, **k),
        )
        await asyncio.gather(*(resolver.resolve(f"{number}.example.org", "A") for number in range(200)))
        assert len(set(sent)) > 190
        assert len(resolver._upstreams[0]._channels) > 1
        await resolver.close()


async def test_every_network_question_is_reported():
    seen: list[tuple[str, float]] = []
    with DnsServer(ZONES) as server:
        resolver = resolver_for(server, on_query=lambda status, seconds: seen.append((status, seconds)))
        for name in ("example.org", "example.org", "nothing.example.org"):
            await resolver.resolve(name, "A")
        await resolver.close()
    assert [status for status, _ in seen] == ["found", "nxdomain"]


async def test_ipv6_server():
    with DnsServer(ZONES, host="::1") as server:
        resolver = resolver_for(server)
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        assert resolver.servers == (f"[::1]:{server.port}",)
        await resolver.close()


async def test_sockets_are_replaced(monkeypatch):
    monkeypatch.setattr(upstream_module, "CHANNEL_QUERIES", 3)
    with DnsServer({"*.example.org": {"A": ["192.0.2.1"]}}) as server:
        resolver = resolver_for(server, cache_entries=0)
        answers = [await resolver.resolve(f"{number}.example.org", "A") for number in range(60)]
        assert {answer.status for answer in answers} == {DnsStatus.FOUND}
        await resolver.close()


def test_create_resolver_takes_configured_servers_or_the_systems(monkeypatch, tmp_path):
    configured = create_resolver(Dns(nameservers=["192.0.2.53", "[2001:db8::53]:5353"]), FakeClock())
    assert configured.servers == ("192.0.2.53:53", "[2001:db8::53]:5353")
    file = tmp_path / "resolv.conf"
    file.write_text("search example.org\nnameserver 192.0.2.54\nnameserver fe80::1%eth0\noptions ndots:5\n")
    monkeypatch.setattr(resolver_module, "SystemServers", lambda: SystemServers(file))
    assert create_resolver(Dns(), FakeClock()).servers == ("192.0.2.54:53", "[fe80::1%eth0]:53")


@pytest.mark.parametrize("text", [None, "", "search example.org\n", "nameserver nonsense\n", "\0\xff\n"])
def test_a_resolv_conf_without_servers_means_this_machine(text, tmp_path):
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    assert SystemServers(file).servers == [("127.0.0.1", 53)]


def test_a_changed_resolv_conf_is_noticed_once(tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    system = SystemServers(file)
    assert system.changed() is None
    file.write_text("nameserver 192.0.2.2\nnameserver 192.0.2.3\n")
    assert system.changed() == [("192.0.2.2", 53), ("192.0.2.3", 53)]
    assert system.changed() is None
    file.write_text("# being written\n")
    assert system.changed() is None
    file.unlink()
    assert system.changed() is None
    assert system.servers == [("192.0.2.2", 53), ("192.0.2.3", 53)]


class OtherServers(SystemServers):
    """A system whose servers change when told."""

    def __init__(self) -> None:
        self.next: list[tuple[str, int]] | None = None

    def changed(self):
        servers, self.next = self.next, None
        return servers


async def test_other_servers_are_used_and_waiting_questions_go_on_to_them(monkeypatch):
    monkeypatch.setattr(resolver_package, "_SYSTEM_INTERVAL", 0.0)
    silent = DnsServer(ZONES, behaviours={"example.org": dns_server.TIMEOUT})
    with silent, DnsServer(ZONES) as good:
        system = OtherServers()
        resolver = resolver_for(silent, system=system, timeout=20.0)
        waiting = asyncio.ensure_future(resolver.resolve("example.org", "A"))
        await asyncio.sleep(0)
        system.next = [(good.host, good.port)]
        assert (await resolver.resolve("example.org", "AAAA")).status is DnsStatus.FOUND
        assert (await waiting).status is DnsStatus.FOUND
        assert resolver.servers == (good.address,)
        assert silent.asked("example.org", "AAAA") == 0
        await resolver.close()


async def test_search_domains_are_not_used(server):
    resolver = resolver_for(server)
    before = len(server.queries)
    assert (await resolver.resolve("localhost", "A")).status is DnsStatus.NXDOMAIN
    assert [query.name for query in server.queries[before:]] == ["localhost"]
    await resolver.close()


async def test_the_cache_has_a_bound_in_octets():
    with DnsServer({"*.example.org": {"TXT": ["x" * 1000]}}) as server:
        resolver = resolver_for(server, cache_size=4000)
        for name in ("a", "b", "c", "c", "b"):
            await resolver.resolve(f"{name}.example.org", "TXT")
        assert len(server.queries) == 3
        await resolver.resolve("a.example.org", "TXT")
        assert len(server.queries) == 4
        await resolver.close()


def test_the_octets_of_what_is_gone_are_free_again():
    clock = FakeClock()
    cache = AnswerCache(100, clock, size=5000)
    answer = DnsAnswer(DnsStatus.FOUND, (b"x" * 3000,))
    for number in range(20):
        cache.put((b"%d" % (number % 3), 16), answer, 10.0)
        assert len(cache) == 1
    clock.advance(11)
    assert cache.get((b"1", 16)) is None
    cache.put((b"9", 16), DnsAnswer(DnsStatus.FOUND, (b"x" * 4300,)), 10.0)
    assert cache.get((b"9", 16)) is not None
    cache.put((b"8", 16), DnsAnswer(DnsStatus.FOUND, (b"x" * 5000,)), 10.0)
    assert cache.get((b"8", 16)) is None and cache.get((b"9", 16)) is not None


async def test_letters_in_a_random_case():
    names = {}
    with DnsServer({**ZONES, "long.name.example.org": {"A": ["192.0.2.7"]}}) as server:
        resolver = resolver_for(server, randomize_case=True)
        for name in ("example.org", "EXAMPLE.org", "long.name.example.org", "alias.example.org"):
            names[name] = await resolver.resolve(name, "A")
        await resolver.close()
        assert {answer.status for answer in names.values()} == {DnsStatus.FOUND}
        assert {query.transport for query in server.queries} == {"udp"}
        assert server.asked("example.org") == 1  # one entry of the cache, however it was spelt


async def test_an_answer_in_another_case_is_confirmed_over_tcp():
    with DnsServer(ZONES, behaviours={"example.org": dns_server.LOWER_CASE}) as server:
        resolver = resolver_for(server, randomize_case=True)
        assert (await resolver.resolve("example.org", "A")).status is DnsStatus.FOUND
        assert [query.transport for query in server.queries] == ["udp", "tcp"]
        await resolver.close()
    assert wire.randomize_case(b"\x07example\0").lower() == b"\x07example\0"
    assert len({wire.randomize_case(b"\x07example\0") for _ in range(50)}) > 5


async def test_offline_knows_nothing():
    answer = await OfflineResolver().resolve("example.org", "A")
    assert (answer.status, answer.reason) == (DnsStatus.TEMPERROR, "offline")
