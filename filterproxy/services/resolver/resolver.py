"""The resolver that checks use: cache, questions in flight asked once, retries and failover inside one time-out.

The one rule: a failure (SERVFAIL, REFUSED, time-out, nonsense) is TEMPERROR and never 'does not exist', and a dead
network costs no time: servers known to be dead are not waited for.

Nearly every question is answered by the first packet from the first server, so that way has neither a task nor a timer
of its own: callbacks carry it, and one timer looks after all questions. Whatever else happens goes on in a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from filterproxy.core.ports import Clock, DnsAnswer, DnsStatus
from filterproxy.services.resolver import wire
from filterproxy.services.resolver.cache import AnswerCache, Key, TtlBounds
from filterproxy.services.resolver.system import Servers, SystemServers
from filterproxy.services.resolver.upstream import Pending, Upstream

OnQuery = Callable[[str, float], None]

# How the time-out is shared out: a lost packet is asked again soon, the last try waits longest.
_SHARES = (0.2, 0.3, 0.5)
_WATCHES = 40  # how often in one time-out the questions are looked at
_CACHEABLE_PACKET = 16_384
_SYSTEM_INTERVAL = 5.0  # seconds between looks at resolv.conf

_FOUND, _NODATA, _NXDOMAIN, _TEMPERROR = DnsStatus.FOUND, DnsStatus.NODATA, DnsStatus.NXDOMAIN, DnsStatus.TEMPERROR
_CLOSED = DnsAnswer(_TEMPERROR, reason="the resolver was closed")


class _Inquiry(Pending):
    """A question and those who asked it; `asked` is the server of the first attempt, which ends at `due`."""

    __slots__ = ("asked", "askers", "deadline", "due", "failed", "key", "started", "task")

    def __init__(self, key: Key, started: float, *, randomize_case: bool) -> None:
        super().__init__(wire.build_question(wire.randomize_case(key[0]) if randomize_case else key[0], key[1]))
        self.key, self.started = key, started
        self.askers: list[asyncio.Future[DnsAnswer]] = []
        self.failed: dict[Upstream, str] = {}
        self.asked: Upstream | None = None
        self.due = self.deadline = 0.0
        self.task: asyncio.Task[None] | None = None


class DnsResolver:
    """Ask name servers in the order given; belongs to the event loop that first asks; `await close()` when done.

    `timeout` is seconds for one question, retries included. `on_query(status, seconds)` is called for each question
    that went to the network. `system` is where the servers came from, when it is to be followed. `randomize_case` makes
    forged answers harder by the case of letters (draft-vixie-dnsext-dns0x20); for servers that are not on this machine.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        clock: Clock,
        *,
        timeout: float = 2.0,
        cache_entries: int = 20_000,
        cache_size: int = 1 << 25,
        bounds: TtlBounds | None = None,
        on_query: OnQuery | None = None,
        system: SystemServers | None = None,
        randomize_case: bool = False,
    ) -> None:
        self._clock, self._timeout, self._on_query = clock, timeout, on_query
        self._randomize_case = randomize_case
        self._upstreams = [self._upstream(host, port) for host, port in servers]
        self._cache = AnswerCache(cache_entries, clock, bounds, size=cache_size)
        self._system, self._next_look = system, 0.0
        self._closing: set[asyncio.Task[None]] = set()
        self._in_flight: dict[Key, _Inquiry] = {}
        self._watch: asyncio.TimerHandle | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the servers' addresses, for messages to the operator."""
        return tuple(str(upstream) for upstream in self._upstreams)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Return the servers' hosts and ports."""
        return tuple((upstream.host, upstream.port) for upstream in self._upstreams)

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
        loop = asyncio.get_running_loop()
        inquiry = self._in_flight.get(key) or self._ask(key, loop)
        answer: asyncio.Future[DnsAnswer] = loop.create_future()
        inquiry.askers.append(answer)
        return await answer  # of this asker alone: one that gives up does not spoil it for the others

    def _upstream(self, host: str, port: int) -> Upstream:
        return Upstream(host, port, probe_timeout=self._timeout / 2, exact_case=self._randomize_case)

    def _follow(self, servers: Servers) -> None:
        """Use these servers from now on; questions that wait at one that is gone go on to the others."""
        known = {(upstream.host, upstream.port): upstream for upstream in self._upstreams}
        self._upstreams = [known.pop(server) if server in known else self._upstream(*server) for server in servers]
        for upstream in known.values():
            task = asyncio.get_running_loop().create_task(upstream.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _ask(self, key: Key, loop: asyncio.AbstractEventLoop) -> _Inquiry:
        """Send a new question to the first living server."""
        now = loop.time()
        if self._system is not None and now >= self._next_look:
            self._next_look = now + _SYSTEM_INTERVAL
            servers = self._system.changed()
            if servers is not None:
                self._follow(servers)
        inquiry = _Inquiry(key, self._clock.monotonic(), randomize_case=self._randomize_case)
        self._in_flight[key] = inquiry
        inquiry.deadline, inquiry.due = now + self._timeout, now + self._timeout * _SHARES[0]
        upstream = next((upstream for upstream in self._upstreams if not upstream.dead), None)
        if upstream is None or not self._send(upstream, inquiry):
            self._pursue(inquiry)
            return inquiry
        inquiry.asked, inquiry.receiver = upstream, self._received
        if self._watch is None:
            self._watch = loop.call_later(self._timeout / _WATCHES, self._look_after, loop)
        return inquiry

    def _send(self, upstream: Upstream, inquiry: _Inquiry) -> bool:
        try:
            upstream.send(inquiry)
        except OSError as error:
            inquiry.failed[upstream] = error.strerror or "unreachable"
            return False
        return True

    def _received(self, pending: Pending, upstream: Upstream, packet: bytes | None) -> None:
        """Take the first packet for a question; what is no answer yet is pursued."""
        assert isinstance(pending, _Inquiry)
        if packet is None:
            pending.failed[upstream] = "no answer"
        elif not _is_truncated(packet):
            found = self._read(upstream, packet, pending)
            if found is not None:
                self._finish(pending, *found)
                return
        self._pursue(pending, (upstream, packet) if packet is not None and _is_truncated(packet) else None)

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pursue the questions whose first attempt has been left without an answer."""
        now = loop.time()
        late = [inquiry for inquiry in self._in_flight.values() if inquiry.receiver is not None and inquiry.due <= now]
        for inquiry in late:
            if inquiry.asked is not None:
                inquiry.asked.unanswered()
            self._pursue(inquiry)
        waiting = any(inquiry.receiver is not None for inquiry in self._in_flight.values())
        self._watch = loop.call_later(self._timeout / _WATCHES, self._look_after, loop) if waiting else None

    def _pursue(self, inquiry: _Inquiry, truncated: tuple[Upstream, bytes] | None = None) -> None:
        """Go on with a question in a task."""
        inquiry.receiver = None
        inquiry.task = asyncio.get_running_loop().create_task(self._to_the_end(inquiry, truncated))

    async def _to_the_end(self, inquiry: _Inquiry, truncated: tuple[Upstream, bytes] | None) -> None:
        answer: DnsAnswer = _CLOSED
        ttl: float | None = None
        try:
            answer, ttl = await self._exchange(inquiry, truncated)
        finally:
            self._finish(inquiry, answer, ttl)

    def _finish(self, inquiry: _Inquiry, answer: DnsAnswer, ttl: float | None) -> None:
        """Give everybody the answer; `ttl` is how many seconds it holds, None for what must not be cached."""
        inquiry.receiver = None
        inquiry.forget()
        del self._in_flight[inquiry.key]
        if ttl is not None:
            self._cache.put(inquiry.key, answer, ttl)
        for asker in inquiry.askers:
            if not asker.done():
                asker.set_result(answer)
        if self._on_query:
            self._on_query(answer.status.value, self._clock.monotonic() - inquiry.started)

    async def _exchange(
        self, inquiry: _Inquiry, truncated: tuple[Upstream, bytes] | None
    ) -> tuple[DnsAnswer, float | None]:
        """Return an answer and the seconds it holds, None for what must not be cached."""
        if all(upstream.dead for upstream in self._upstreams):
            return DnsAnswer(_TEMPERROR, reason=self._why_nobody()), None
        if truncated is not None:
            answer = await self._complete(*truncated, inquiry)
            if answer is not None:
                return answer
        failed = inquiry.failed
        for number, share in enumerate(_SHARES[1:] if inquiry.asked else _SHARES, 1 if inquiry.asked else 0):
            candidates = [server for server in self._upstreams if server not in failed and not server.dead]
            if not candidates:
                break
            wait = min(self._timeout * share, inquiry.deadline - asyncio.get_running_loop().time())
            answer = await self._attempt(candidates[number % len(candidates)], inquiry, wait)
            if answer is not None:
                return answer
        # Without the servers' addresses: a reason may end up in a header that strangers read.
        reason = ", ".join(dict.fromkeys(failed.values()))
        return DnsAnswer(_TEMPERROR, reason=reason or "no answer in time"), 0.0

    async def _attempt(self, upstream: Upstream, inquiry: _Inquiry, wait: float) -> tuple[DnsAnswer, float] | None:
        """Send the question once and wait; None when another attempt is due (`failed` says who cannot help)."""
        if not self._send(upstream, inquiry):
            return None
        answered_by, packet = await inquiry.wait(wait)
        if answered_by is None:
            upstream.unanswered()
            return None
        return await self._complete(answered_by, packet, inquiry)

    async def _complete(
        self, upstream: Upstream, packet: bytes | None, inquiry: _Inquiry
    ) -> tuple[DnsAnswer, float] | None:
        """Return what a packet says, asking again over TCP when it was cut; None when it says nothing of use."""
        if packet is not None and _is_truncated(packet):
            remaining = inquiry.deadline - asyncio.get_running_loop().time()
            packet = await upstream.ask_tcp(inquiry.question, remaining)
        if packet is None:
            inquiry.failed[upstream] = "no answer"
            return None
        return self._read(upstream, packet, inquiry)

    def _read(self, upstream: Upstream, packet: bytes, inquiry: _Inquiry) -> tuple[DnsAnswer, float] | None:
        try:
            response = wire.parse_response(packet, inquiry.question)
        except wire.MalformedResponse as error:
            inquiry.failed[upstream] = str(error)
            return None
        if response.rcode not in (wire.NOERROR, wire.NXDOMAIN) or response.truncated:
            if response.rcode in (wire.FORMERR, wire.NOTIMP) and upstream.edns:
                upstream.edns = False  # a server from before EDNS: the next attempt goes without
            else:
                inquiry.failed[upstream] = wire.RCODES.get(response.rcode, f"RCODE {response.rcode}")
            return None
        ttl = 0.0 if len(packet) > _CACHEABLE_PACKET else float(response.ttl)
        if response.records:
            return DnsAnswer(_FOUND, response.records), ttl
        return DnsAnswer(_NXDOMAIN if response.rcode == wire.NXDOMAIN else _NODATA), ttl

    def _why_nobody(self) -> str:
        return "no name server answers" if self._upstreams else "no name server is configured"

    async def close(self) -> None:
        """Stop: questions in flight end as TEMPERROR, sockets close."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        tasks = [inquiry.task for inquiry in self._in_flight.values() if inquiry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for inquiry in list(self._in_flight.values()):  # those without a task, and whose task had not begun
            self._finish(inquiry, _CLOSED, None)
        await asyncio.gather(*self._closing)
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
