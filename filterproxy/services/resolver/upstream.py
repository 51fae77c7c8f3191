"""One name server: questions over UDP and TCP, and whether it is alive.

The one rule: only a packet from the asked address, with the right id and question, is an answer. Ids and ports are
random: a server has several sockets, each connected (so the kernel drops what comes from elsewhere) and soon replaced.
The sockets are read here and not by asyncio's datagram transport, which costs twice as much for each packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from collections.abc import Callable

from filterproxy.services.resolver import wire

CHANNELS = 8  # sockets, and so ports, in use at once
CHANNEL_QUERIES = 1000  # after which a socket is replaced by one on another port
UNANSWERED_BEFORE_PROBE = 2
DEAD_INTERVAL = 5.0  # seconds between probes of a dead server
_PROBE = wire.build_question(b"\0", wire.TYPES["NS"])
_PACKET = 4096  # octets; UDP answers are no longer than wire.UDP_PAYLOAD
_BURST = 64  # packets read before the event loop has its turn again
_RANDOM_OCTETS = 3 * 1024

Receiver = Callable[["Pending", "Upstream", bytes | None], None]


class Pending:
    """A question in flight, maybe sent several times: the first packet that answers it is delivered.

    It goes to `receiver` when there is one, else to who waits in `wait`.
    """

    __slots__ = ("_future", "_places", "question", "receiver")

    def __init__(self, question: bytes, receiver: Receiver | None = None) -> None:
        self.question = question
        self.receiver = receiver
        self._future: asyncio.Future[tuple[Upstream | None, bytes | None]] | None = None
        self._places: list[tuple[_Channel, int]] = []

    def place(self, channel: _Channel, query_id: int) -> None:
        """Remember where the question waits."""
        self._places.append((channel, query_id))

    def deliver(self, upstream: Upstream, packet: bytes | None) -> None:
        """Hand over a packet, or None when the server can no longer answer."""
        if self.receiver is not None:
            self.receiver(self, upstream, packet)
        elif self._future and not self._future.done():
            self._future.set_result((upstream, packet))

    async def wait(self, timeout: float) -> tuple[Upstream | None, bytes | None]:
        """Return who answered and what; (server, None) when it cannot answer, (None, None) after the time-out."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Upstream | None, bytes | None]] = loop.create_future()
        self._future = future
        timer = loop.call_later(timeout, _expire, future)
        try:
            return await future
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


class _Channel:
    """One connected UDP socket and the questions that wait at it, by id."""

    __slots__ = ("_loop", "_receive", "_send", "_socket", "upstream", "uses", "waiting")

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        self.upstream = upstream
        self.waiting: dict[int, Pending] = {}
        self.uses = 0
        family = socket.AF_INET6 if ":" in upstream.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((upstream.host, upstream.port))
        except OSError:
            self._socket.close()
            raise
        self._loop = loop
        self._send, self._receive = self._socket.send, self._socket.recv
        loop.add_reader(self._socket, self._readable)

    def send(self, pending: Pending, query_id: int, edns: bool) -> None:
        """Send a question under that id; raises OSError."""
        self.uses += 1
        query = wire.build_query(query_id, pending.question, edns=edns)
        try:
            self._send(query)
        except BlockingIOError:
            pass  # as good as a lost packet: it is asked again
        except ConnectionError:
            self._send(query)  # the error belonged to an earlier packet
        self.waiting[query_id] = pending
        pending.place(self, query_id)

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                packet = self._receive(_PACKET)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.fail_all()
                return
            self._received(packet)
            if not self.waiting:
                return

    def _received(self, packet: bytes) -> None:
        if len(packet) < 12:
            return
        pending = self.waiting.get(packet[0] << 8 | packet[1])
        if pending is not None and wire.answers(packet, pending.question):
            self.upstream.heard()
            if self.upstream.exact_case and not wire.repeats_exactly(packet, pending.question):
                # Forged, or a server that changes the case: TCP tells, which nobody can forge from elsewhere.
                packet = wire.as_truncated(packet)
            pending.deliver(self.upstream, packet)

    def fail_all(self) -> None:
        """Fail what waits: "connection refused" from the server's host says that nobody listens there."""
        for pending in list(self.waiting.values()):
            pending.deliver(self.upstream, None)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()


class Upstream:
    """A name server at an IP address and port. Belongs to one event loop; `close()` when done.

    `exact_case`: over UDP only an answer that repeats the question with the same case of letters is taken.
    """

    def __init__(self, host: str, port: int, *, probe_timeout: float = 1.0, exact_case: bool = False) -> None:
        self.host, self.port, self.exact_case = host, port, exact_case
        self.dead = False
        self.edns = True
        self._probe_timeout = probe_timeout
        self._channels: list[_Channel] = []
        self._retired: list[_Channel] = []
        self._unanswered = 0
        self._prober: asyncio.Task[None] | None = None
        self._random = b""
        self._random_used = 0

    def __str__(self) -> str:
        """Return the address for a message to the operator."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def send(self, pending: Pending) -> None:
        """Send the question once over UDP; raises OSError when there is no way to the server."""
        choice, query_id = self._draw()
        channel = self._channel(choice)
        while query_id in channel.waiting:
            _, query_id = self._draw()
        channel.send(pending, query_id, self.edns)

    def _draw(self) -> tuple[int, int]:
        """Return an octet and an id, from the system's random numbers, which are fetched in bulk."""
        start = self._random_used
        if start >= len(self._random):
            self._random, start = os.urandom(_RANDOM_OCTETS), 0
        self._random_used = start + 3
        return self._random[start], self._random[start + 1] << 8 | self._random[start + 2]

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

    def _channel(self, choice: int) -> _Channel:
        """Return a socket to use: one of those there are, or a new one; `choice` is an octet."""
        channels = self._channels
        if channels and (len(channels) >= CHANNELS or choice & 0x80):
            channel = channels[choice % len(channels)]
            if channel.uses < CHANNEL_QUERIES:
                return channel
            self._retire(channel)
        channel = _Channel(self, asyncio.get_running_loop())
        self._channels.append(channel)
        return channel

    def _retire(self, channel: _Channel) -> None:
        """Use the socket no more; it closes when nothing waits at it."""
        self._channels.remove(channel)
        self._retired.append(channel)
        for idle in [retired for retired in self._retired if not retired.waiting]:
            self._retired.remove(idle)
            idle.close()

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
            self.send(pending)
            _, packet = await pending.wait(self._probe_timeout)
        except OSError:
            return False
        finally:
            pending.forget()
        return packet is not None

    def _fail_all(self) -> None:
        for channel in (*self._channels, *self._retired):
            channel.fail_all()

    async def close(self) -> None:
        """Close all sockets; questions in flight fail."""
        self._fail_all()
        if self._prober:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)
        for channel in (*self._channels, *self._retired):
            channel.close()
        self._channels.clear()
        self._retired.clear()
