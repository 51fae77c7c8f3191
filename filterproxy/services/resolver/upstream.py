"""One name server: questions over UDP and TCP, and whether it is alive.

The one rule: only a packet from the asked address, with the right id and question, is an answer. Ids and ports are
random: a server has several sockets, each connected (so the kernel drops what comes from elsewhere) and soon replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import struct
from typing import cast

from filterproxy.services.resolver import wire

CHANNELS = 8  # sockets, and so ports, in use at once
CHANNEL_QUERIES = 1000  # after which a socket is replaced by one on another port
UNANSWERED_BEFORE_PROBE = 2
DEAD_INTERVAL = 5.0  # seconds between probes of a dead server
_PROBE = wire.build_question(b"\0", wire.TYPES["NS"])


class Pending:
    """A question in flight, maybe sent several times: the first packet that answers it is delivered."""

    __slots__ = ("_places", "_timer", "future", "question")

    def __init__(self, question: bytes) -> None:
        self.question = question
        self.future: asyncio.Future[tuple[Upstream, bytes | None]] | None = None
        self._places: list[tuple[_Channel, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def place(self, channel: _Channel, query_id: int) -> None:
        """Remember where the question waits."""
        self._places.append((channel, query_id))

    def deliver(self, upstream: Upstream, packet: bytes | None) -> None:
        """Hand over a packet, or None when the server can no longer answer."""
        if self.future and not self.future.done():
            self.future.set_result((upstream, packet))

    async def wait(self, timeout: float) -> tuple[Upstream | None, bytes | None]:
        """Return who answered and what; (server, None) when it cannot answer, (None, None) after the time-out."""
        loop = asyncio.get_running_loop()
        future = self.future = loop.create_future()
        timer = loop.call_later(timeout, _expire, future)
        try:
            return cast("tuple[Upstream | None, bytes | None]", await future)
        finally:
            timer.cancel()

    def forget(self) -> None:
        """Take the question out of every socket it waits at."""
        for channel, query_id in self._places:
            channel.waiting.pop(query_id, None)
        self._places.clear()


def _expire(future: asyncio.Future[tuple[Upstream | None, bytes | None]]) -> None:
    if not future.done():
        future.set_result((None, None))


class _Channel(asyncio.DatagramProtocol):
    """One connected UDP socket and the questions that wait at it, by id."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.waiting: dict[int, Pending] = {}
        self.uses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) < 12:
            return
        pending = self.waiting.get(data[0] << 8 | data[1])
        if pending is not None and wire.answers(data, pending.question):
            self.upstream.heard()
            pending.deliver(self.upstream, data)

    def error_received(self, exc: Exception) -> None:
        # "connection refused" from the server's host: nobody listens there.
        for pending in list(self.waiting.values()):
            pending.deliver(self.upstream, None)

    def send(self, pending: Pending, edns: bool) -> None:
        query_id = secrets.randbits(16)
        while query_id in self.waiting:
            query_id = secrets.randbits(16)
        self.uses += 1
        self.waiting[query_id] = pending
        pending.place(self, query_id)
        self.transport.sendto(wire.build_query(query_id, pending.question, edns=edns))


class Upstream:
    """A name server at an IP address and port. Belongs to one event loop; `close()` when done."""

    def __init__(self, host: str, port: int, *, probe_timeout: float = 1.0) -> None:
        self.host, self.port = host, port
        self.dead = False
        self.edns = True
        self._probe_timeout = probe_timeout
        self._channels: list[_Channel] = []
        self._retired: list[_Channel] = []
        self._unanswered = 0
        self._prober: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        """Return the address for a message to the operator."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def send(self, pending: Pending) -> None:
        """Send the question once over UDP; raises OSError when there is no way to the server."""
        channel = await self._channel()
        channel.send(pending, self.edns)

    async def ask_tcp(self, question: bytes, timeout: float) -> bytes | None:
        """Return the answer over TCP, None when none came in time (RFC 7766)."""
        try:
            async with asyncio.timeout(timeout):
                packet = await self._tcp(question)
        except (OSError, EOFError, TimeoutError):
            return None
        return packet

    async def _tcp(self, question: bytes) -> bytes | None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            query = wire.build_query(secrets.randbits(16), question, edns=self.edns)
            writer.write(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            packet = await reader.readexactly(length)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return packet if packet[:2] == query[:2] and wire.answers(packet, question) else None

    async def _channel(self) -> _Channel:
        if self._channels and (len(self._channels) >= CHANNELS or random.random() < 0.5):
            channel = random.choice(self._channels)
            if channel.uses < CHANNEL_QUERIES and not channel.transport.is_closing():
                return channel
            self._retire(channel)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_datagram_endpoint(lambda: _Channel(self), remote_addr=(self.host, self.port))
        self._channels.append(channel)
        return channel

    def _retire(self, channel: _Channel) -> None:
        """Use the socket no more; it closes when nothing waits at it."""
        self._channels.remove(channel)
        self._retired.append(channel)
        for idle in [retired for retired in self._retired if not retired.waiting]:
            self._retired.remove(idle)
            idle.transport.close()

    def heard(self) -> None:
        """Note that the server answered something: it is alive."""
        self._unanswered = 0
        self.dead = False

    def unanswered(self) -> None:
        """Note a question without an answer; several in a row make us probe the server.

        One sender's broken zone looks the same as a dead server, so only a probe that any living server answers at
        once (the root's name servers) tells the two apart.
        """
        self._unanswered += 1
        if self._unanswered >= UNANSWERED_BEFORE_PROBE and self._prober is None:
            self._prober = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        """Ask until the server answers; it counts as dead from the first probe without an answer."""
        try:
            while not await self._probe_once():
                self.dead = True
                self._fail_all()
                await asyncio.sleep(DEAD_INTERVAL)
        finally:
            self._prober = None

    async def _probe_once(self) -> bool:
        pending = Pending(_PROBE)
        try:
            await self.send(pending)
            _, packet = await pending.wait(self._probe_timeout)
        except OSError:
            return False
        finally:
            pending.forget()
        return packet is not None

    def _fail_all(self) -> None:
        for channel in (*self._channels, *self._retired):
            for pending in list(channel.waiting.values()):
                pending.deliver(self, None)

    async def close(self) -> None:
        """Close all sockets; questions in flight fail."""
        self._fail_all()
        if self._prober:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)
        for channel in (*self._channels, *self._retired):
            channel.transport.close()
        self._channels.clear()
        self._retired.clear()
