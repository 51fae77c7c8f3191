"""The resolver that checks use: cache, questions in flight asked once, retries and failover inside one time-out.

The one rule: a failure (SERVFAIL, REFUSED, time-out, nonsense) is TEMPERROR and never 'does not exist', and a dead
network costs no time: servers known to be dead are not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from filterproxy.core.ports import Clock, DnsAnswer, DnsStatus
from filterproxy.services.resolver import wire
from filterproxy.services.resolver.cache import AnswerCache, Key, TtlBounds
from filterproxy.services.resolver.upstream import Pending, Upstream

OnQuery = Callable[[str, float], None]

# How the time-out is shared out: a lost packet is asked again soon, the last try waits longest.
_SHARES = (0.2, 0.3, 0.5)
_CACHEABLE_PACKET = 16_384

_FOUND, _NODATA, _NXDOMAIN, _TEMPERROR = DnsStatus.FOUND, DnsStatus.NODATA, DnsStatus.NXDOMAIN, DnsStatus.TEMPERROR


class DnsResolver:
    """Ask name servers in the order given; belongs to the event loop that first asks; `await close()` when done.

    `timeout` is seconds for one question, retries included. `on_query(status, seconds)` is called for each question
    that went to the network.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        clock: Clock,
        *,
        timeout: float = 2.0,
        cache_entries: int = 20_000,
        bounds: TtlBounds | None = None,
        on_query: OnQuery | None = None,
    ) -> None:
        self._upstreams = [Upstream(host, port, probe_timeout=timeout / 2) for host, port in servers]
        self._clock, self._timeout, self._on_query = clock, timeout, on_query
        self._cache = AnswerCache(cache_entries, clock, bounds)
        self._in_flight: dict[Key, asyncio.Task[DnsAnswer]] = {}

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the servers' addresses, for messages to the operator."""
        return tuple(str(upstream) for upstream in self._upstreams)

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        """Return the answer for a name and a type; text that cannot be a domain name does not exist (NXDOMAIN).

        Raises KeyError for a type this resolver does not know.
        """
        kind = wire.TYPES[rtype]
        try:
            key = (wire.encode_name(name), kind)
        except wire.InvalidName:
            return DnsAnswer(_NXDOMAIN, reason="not a domain name")
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(key))
            self._in_flight[key] = task
        try:
            return await asyncio.shield(task)  # an asker that gives up does not spoil it for the others
        except asyncio.CancelledError:
            if task.cancelled():
                return DnsAnswer(_TEMPERROR, reason="the resolver was closed")
            raise

    async def _ask(self, key: Key) -> DnsAnswer:
        started = self._clock.monotonic()
        question = wire.build_question(*key)
        pending = Pending(question)
        try:
            answer, ttl = await self._exchange(pending, question)
        finally:
            pending.forget()
            del self._in_flight[key]
        if ttl is not None:
            self._cache.put(key, answer, ttl)
        if self._on_query:
            self._on_query(answer.status.value, self._clock.monotonic() - started)
        return answer

    async def _exchange(self, pending: Pending, question: bytes) -> tuple[DnsAnswer, float | None]:
        """Return an answer and the seconds it holds, None for what must not be cached."""
        alive = [upstream for upstream in self._upstreams if not upstream.dead]
        if not alive:
            return DnsAnswer(_TEMPERROR, reason=self._why_nobody()), None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        failed: dict[Upstream, str] = {}
        for number, share in enumerate(_SHARES):
            candidates = [upstream for upstream in alive if upstream not in failed and not upstream.dead]
            if not candidates:
                break
            upstream = candidates[number % len(candidates)]
            wait = min(self._timeout * share, deadline - loop.time())
            answer = await self._attempt(upstream, pending, question, wait, deadline, failed)
            if answer is not None:
                return answer
        # Without the servers' addresses: a reason may end up in a header that strangers read.
        reason = ", ".join(dict.fromkeys(failed.values()))
        return DnsAnswer(_TEMPERROR, reason=reason or "no answer in time"), 0.0

    async def _attempt(
        self,
        upstream: Upstream,
        pending: Pending,
        question: bytes,
        wait: float,
        deadline: float,
        failed: dict[Upstream, str],
    ) -> tuple[DnsAnswer, float] | None:
        """Send the question once and wait; None when another attempt is due (`failed` says who cannot help)."""
        try:
            await upstream.send(pending)
        except OSError as error:
            failed[upstream] = error.strerror or "unreachable"
            return None
        answered_by, packet = await pending.wait(wait)
        if answered_by is None:
            upstream.unanswered()
            return None
        remaining = deadline - asyncio.get_running_loop().time()
        if packet is not None and _is_truncated(packet):
            packet = await answered_by.ask_tcp(question, remaining)
        if packet is None:
            failed[answered_by] = "no answer"
            return None
        return self._read(answered_by, packet, question, failed)

    def _read(
        self, upstream: Upstream, packet: bytes, question: bytes, failed: dict[Upstream, str]
    ) -> tuple[DnsAnswer, float] | None:
        try:
            response = wire.parse_response(packet, question)
        except wire.MalformedResponse as error:
            failed[upstream] = str(error)
            return None
        if response.rcode not in (wire.NOERROR, wire.NXDOMAIN) or response.truncated:
            if response.rcode in (wire.FORMERR, wire.NOTIMP) and upstream.edns:
                upstream.edns = False  # a server from before EDNS: the next attempt goes without
            else:
                failed[upstream] = wire.RCODES.get(response.rcode, f"RCODE {response.rcode}")
            return None
        ttl = 0.0 if len(packet) > _CACHEABLE_PACKET else float(response.ttl)
        if response.records:
            return DnsAnswer(_FOUND, response.records), ttl
        return DnsAnswer(_NXDOMAIN if response.rcode == wire.NXDOMAIN else _NODATA), ttl

    def _why_nobody(self) -> str:
        return "no name server answers" if self._upstreams else "no name server is configured"

    async def close(self) -> None:
        """Stop: questions in flight end as TEMPERROR, sockets close."""
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self._upstreams:
            await upstream.close()


def _is_truncated(packet: bytes) -> bool:
    return bool(packet[2] & 0x02)


class OfflineResolver:
    """The resolver of `--offline`: knows nothing, asks nobody."""

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        """Return TEMPERROR."""
        return DnsAnswer(_TEMPERROR, reason="offline")

    async def close(self) -> None:
        """Do nothing."""
