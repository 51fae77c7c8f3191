"""The name servers: do they answer, do they tell the truth about what does not exist, and are they ours?

The rule: one random name asks all of that; nobody can have it in a cache, and nobody but a liar knows it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.core.ports import DnsAnswer, DnsStatus
from filterproxy.services.resolver import DnsResolver, SystemServers, wire
from filterproxy.services.resolver.upstream import Upstream

_AREA = "resolver"
_OWN = (
    "run a resolver of your own on this machine (unbound, BIND, Knot Resolver) and set dns: {nameservers: [127.0.0.1]}"
)
_SLOW = 0.05  # seconds for what the server has in its cache
_AT_ONCE = 0.1
_REPEATS = 3
_STUBS = ("127.0.0.53", "127.0.0.54")
# Resolvers for everybody, through which lists refuse to be asked: Google, Cloudflare, Quad9, OpenDNS, Level 3,
# DNS.WATCH, AdGuard, CleanBrowsing, Verisign, Yandex, AliDNS, DNSPod, Hurricane Electric, DNS.SB, Control D, Mullvad.
_PUBLIC = tuple(
    ip_network(text)
    for text in (
        *("8.8.8.8", "8.8.4.4", "2001:4860:4860::/48"),
        *("1.1.1.0/24", "1.0.0.0/24", "2606:4700:4700::/48"),
        *("9.9.9.0/24", "149.112.112.0/24", "2620:fe::/48"),
        *("208.67.220.0/24", "208.67.222.0/24", "2620:119:35::/48", "2620:119:53::/48"),
        *("4.2.2.0/29", "84.200.69.80", "84.200.70.40", "94.140.14.0/23", "185.228.168.0/23"),
        *("64.6.64.6", "64.6.65.6", "77.88.8.0/24", "223.5.5.5", "223.6.6.6", "119.29.29.29", "74.82.42.42"),
        *("185.222.222.222", "45.11.45.11", "76.76.2.0/24", "76.76.10.0/24", "194.242.2.0/24", "193.110.81.0/24"),
    )
)


async def examine_name_servers(patient: Patient) -> Sequence[Finding]:
    """Say for each server whether it can be relied on, and whether lists would take questions through it."""
    servers = patient.resolver.addresses
    found = await asyncio.gather(*(_examine(patient, host, port) for host, port in servers))
    public = [name for name, others in _asked_in_the_end(patient) if any(map(is_public_resolver, others))]
    findings = [finding for findings in found for finding in findings]
    if public:
        status = Status.PROBLEM if patient.asks_lists else Status.WARNING
        text = f"{', '.join(public)}: a public resolver, through which most DNS lists refuse questions"
        findings.append(Finding(_AREA, status, text, _OWN))
    return findings


def is_public_resolver(address: str) -> bool:
    """Tell whether an IP address is a resolver for everybody."""
    return any(ip_address(address.partition("%")[0]) in network for network in _PUBLIC)


def _asked_in_the_end(patient: Patient) -> list[tuple[str, list[str]]]:
    """Return each server's address with those that are really asked: systemd-resolved passes questions on."""
    ends: list[tuple[str, list[str]]] = []
    for host, _ in patient.resolver.addresses:
        ends.append((host, [host]))
        if host in _STUBS and patient.system.resolved.exists():
            others = [other for other, _ in SystemServers(patient.system.resolved).servers]
            ends.append((f"{host} (systemd-resolved) asks {', '.join(others)}", others))
    return ends


async def _examine(patient: Patient, host: str, port: int) -> list[Finding]:
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    timeout = patient.loaded.settings.dns.timeout
    resolver = DnsResolver([(host, port)], patient.clock, timeout=timeout, cache_entries=0)
    try:
        label = f"nx-{secrets.token_hex(8)}"
        # Some rewrite names under existing domains only, some those of web servers only.
        names = (f"{label}.com", f"www.{label}.com", f"{label}.invalid")
        started = time.monotonic()
        answers = await asyncio.gather(*(resolver.resolve(each, "A") for each in names))
        trouble = _trouble(name, answers, time.monotonic() - started)
        if trouble:
            return [trouble]
        speed = _speed(name, await _seconds(resolver, f"{label}.com"))
        known, over_tcp = await asyncio.gather(resolver.resolve("com", "NS"), _answers_over_tcp(host, port, timeout))
        findings = [speed] if known.status is DnsStatus.FOUND else [speed, _knows_nothing(name)]
        return findings if over_tcp else [*findings, _no_tcp(name)]
    finally:
        await resolver.close()


def _trouble(name: str, answers: Sequence[DnsAnswer], seconds: float) -> Finding | None:
    lies = [answer.records[0] for answer in answers if answer.status is DnsStatus.FOUND]
    reasons = [answer.reason for answer in answers if answer.status is DnsStatus.TEMPERROR]
    if lies:
        text = f"{name} rewrites 'does not exist': it answers {lies[0]} for a name that nobody has"
        return Finding(_AREA, Status.PROBLEM, text, f"DNS lists and checks of senders cannot work so: {_OWN}")
    if not reasons:
        return None
    if "REFUSED" in reasons[0]:
        advice = f"let this machine ask it (access-control, allow-recursion), or {_OWN}"
        return Finding(_AREA, Status.PROBLEM, f"{name} refuses our questions", advice)
    if reasons[0] in ("no answer in time", "no answer", "no name server answers"):
        # The kernel says at once that nobody listens on a port of this machine.
        text = f"nobody serves at {name}" if seconds < _AT_ONCE else f"{name} does not answer"
        return Finding(
            _AREA, Status.PROBLEM, text, "is it running, and does a firewall let UDP and TCP port 53 through?"
        )
    text = f"{name} cannot find out about names in .com: {reasons[0]}"
    return Finding(_AREA, Status.PROBLEM, text, "can it reach the Internet? its own log says more")


async def _answers_over_tcp(host: str, port: int, timeout: float) -> bool:
    upstream = Upstream(host, port)
    question = wire.build_question(wire.encode_name("com"), wire.TYPES["NS"])
    return await upstream.ask_tcp(question, timeout) is not None


def _no_tcp(name: str) -> Finding:
    text = f"{name} does not answer over TCP: long records (DKIM keys, SPF) cannot be read"
    return Finding(_AREA, Status.WARNING, text, "let TCP port 53 through as well as UDP (RFC 7766)")


def _knows_nothing(name: str) -> Finding:
    text = f"{name} does not know who serves .com: it seems to know no names of the Internet"
    return Finding(
        _AREA, Status.WARNING, text, "name a resolver that asks the Internet under `dns: {nameservers: […]}`"
    )


async def _seconds(resolver: DnsResolver, name: str) -> float:
    """Return how long the server needs for a name it has been asked before."""
    needed = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        await resolver.resolve(name, "A")
        needed.append(time.perf_counter() - started)
    return min(needed)


def _speed(name: str, seconds: float) -> Finding:
    shown = f"{seconds * 1000:.1f} ms"
    if seconds > _SLOW:
        text = f"{name} is slow: {shown} for a question it has answered before"
        return Finding(_AREA, Status.WARNING, text, f"a scan asks some 30 questions: {_OWN}")
    return Finding(_AREA, Status.OK, f"{name} answers in {shown}, and says what does not exist")
