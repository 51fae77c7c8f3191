"""The connection to the next hop: an asyncio shell around `protocols.smtp.client`.

The rule: whatever goes wrong on the way becomes a NextHopError; what the next hop answers is a Reply, nobody's error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import ParamSpec

from filterproxy.config.models import NextHop as NextHopConfig
from filterproxy.core.errors import NextHopError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.client import SmtpClient, State
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.parameters import Parameter
from filterproxy.protocols.smtp.xforward import xforward_commands
from filterproxy.services.alarm import Alarm

P = ParamSpec("P")

_CHUNK = 256 * 1024
_QUIT_TIMEOUT = 5.0
# The next hop's processes are not ours to keep busy with nothing, nor to keep from a reload for ever.
_IDLE_TIME = 5.0
_MAX_AGE = 300.0


class NextHop:
    """One next hop as configured: opens connections, and keeps up to `pool_size` idle ones for a moment.

    `hostname` gives our EHLO name; a reload may change it.
    """

    def __init__(self, config: NextHopConfig, hostname: Callable[[], str]) -> None:
        self.address = str(config.address)
        self._config = config
        self._hostname = hostname
        self._idle: list[NextHopConnection] = []

    async def connect(self) -> NextHopConnection:
        """Return a connection that is ready for a transaction; raise NextHopError."""
        while self._idle:
            connection = self._idle.pop()
            if connection.ready:
                connection.resume()
                return connection
        return await self.open()

    async def open(self) -> NextHopConnection:
        """Return a new connection that is ready for a transaction; raise NextHopError."""
        connection = NextHopConnection(self._config)
        try:
            await self._reach(connection)
            await connection.hello(self._hostname())
        except BaseException:
            connection.abort()
            raise
        return connection

    def release(self, connection: NextHopConnection) -> None:
        """Take back a connection: kept when all went well on it and there is room, else closed as its state allows."""
        self._idle = [idle for idle in self._idle if idle.ready]
        if connection.reusable and len(self._idle) < self._config.pool_size:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.quit()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().quit()

    async def _reach(self, connection: NextHopConnection) -> None:
        loop, address = asyncio.get_running_loop(), self._config.address
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                if address.path:
                    await loop.create_unix_connection(lambda: connection, address.path)
                else:
                    await loop.create_connection(lambda: connection, address.host, address.port)
        except TimeoutError:
            raise NextHopError("no connection in time", stage="connect") from None
        except OSError as error:
            raise NextHopError(f"cannot connect: {error.strerror or error}", stage="connect") from error


class NextHopConnection(asyncio.Protocol):
    """One connection. Its coroutines return the next hop's Reply and raise NextHopError; after that it is closed.

    `reused` tells that a transaction has ended on it: it may have been closed by the next hop while it waited.
    `clean` tells that nothing was refused on it: an MTA slows down and cuts sessions with many errors.

    Replies are queued as they come, so nothing is lost when the greeting is here before the connection's maker is.
    """

    def __init__(self, config: NextHopConfig) -> None:
        self.reused = False
        self.clean = True
        self._config = config
        self._client = SmtpClient()
        self._transport: asyncio.Transport | None = None
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._broken = ""
        self._opened = 0.0
        self._writable = asyncio.Event()
        self._writable.set()
        self._alarm = Alarm(self._time_is_up)

    @property
    def extensions(self) -> Extensions:
        """Return what the next hop's EHLO offered."""
        return self._client.extensions

    @property
    def alive(self) -> bool:
        """Tell whether the connection can still be used, as far as we know."""
        return not self._broken and self._client.state is not State.CLOSED

    @property
    def ready(self) -> bool:
        """Tell whether a new transaction may begin."""
        return self.alive and self._client.idle and not self._replies

    @property
    def reusable(self) -> bool:
        """Tell whether another session may use the connection."""
        return self.ready and self.clean and asyncio.get_running_loop().time() - self._opened < _MAX_AGE

    @property
    def in_transaction(self) -> bool:
        """Tell whether the next hop holds a transaction that RSET would drop."""
        return self.alive and self._client.state is State.TRANSACTION

    async def hello(self, hostname: str) -> None:
        """Wait for the greeting and say EHLO, or HELO to a server without it; raise NextHopError when refused."""
        greeting = await self._reply("connect", self._config.command_timeout)
        if not greeting.positive:
            raise self._fail(f"refuses us: {greeting}", "connect")
        reply = await self._ask("ehlo", self._client.ehlo, hostname)
        if reply.code // 100 == 5:
            reply = await self._ask("ehlo", self._client.helo, hostname)
        if not reply.positive:
            raise self._fail(f"refuses us: {reply}", "ehlo")

    async def xforward(self, attributes: Mapping[str, str]) -> Reply | None:
        """Tell the real client as far as the next hop takes it; return its refusal, None when there is none."""
        for command in xforward_commands(attributes, self.extensions.xforward):
            reply = await self._ask("mail", self._client.xforward, command)
            if not reply.positive:
                return reply
        return None

    async def mail(self, path: Path, parameters: tuple[Parameter, ...] = ()) -> Reply:
        """Begin a transaction."""
        return await self._ask("mail", self._client.mail, path, parameters)

    async def rcpt(self, path: Path, parameters: tuple[Parameter, ...] = ()) -> Reply:
        """Name a recipient."""
        return await self._ask("rcpt", self._client.rcpt, path, parameters)

    async def data(self) -> Reply:
        """Ask to send the message; 354 allows it."""
        return await self._ask("data", self._client.data)

    async def send(self, raw: bytes) -> Reply | None:
        """Send the message after 354; return the refusal that came before its end, None when all is on its way."""
        if not self.alive:
            raise self._fail("closed the session", "data")
        octets = self._client.message(raw)
        for start in range(0, len(octets), _CHUNK):
            if self._replies:
                return self._early_reply()
            self._write(octets[start : start + _CHUNK] if len(octets) > _CHUNK else octets)
            if not self._writable.is_set():
                await self._drain()
        return None

    async def sent(self) -> Reply:
        """Return the reply to the message."""
        reply = await self._reply("reply", self._config.data_timeout)
        self.reused = True
        return reply

    async def reset(self) -> None:
        """Drop the transaction; raise NextHopError when the next hop does not agree."""
        reply = await self._ask("rset", self._client.rset)
        if not reply.positive:
            raise self._fail(f"refuses RSET: {reply}", "rset")
        self.reused = True

    def quit(self) -> None:
        """End the session without waiting: QUIT when the dialogue allows it, else the connection is just closed."""
        if not (self.alive and self._client.may_quit):
            self.abort()
            return
        self._write(self._client.quit())
        self._alarm.set(_QUIT_TIMEOUT)

    def rest(self) -> None:
        """Wait for the next session, not for long."""
        self._alarm.set(_IDLE_TIME)

    def resume(self) -> None:
        """Serve again."""
        self._alarm.clear()

    def abort(self) -> None:
        """Close at once: an unfinished message stays unfinished."""
        self._broken = self._broken or "closed by us"
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = transport  # type: ignore[assignment]
        self._opened = asyncio.get_running_loop().time()
        if self._broken:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Queue the replies in the octets (asyncio)."""
        try:
            self._replies.extend(self._client.receive(data))
        except RemoteProtocolError as error:
            self._break(error.reason)
            self.abort()
        if self._client.state is State.CLOSED and self._transport is not None:
            self._transport.close()
        if self._replies:
            self._wake()

    def eof_received(self) -> None:
        """Note that the next hop says no more (asyncio closes the connection)."""
        self._break("closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone (asyncio)."""
        self._break(f"connection lost: {exc}" if exc else "closed the connection")
        self._writable.set()
        self._alarm.close()

    def pause_writing(self) -> None:
        """Hold back: the next hop reads slower than we write (asyncio)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on writing (asyncio)."""
        self._writable.set()

    async def _ask(self, stage: str, command: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> Reply:
        """Send a command and return its reply, or the 421 that came before it."""
        if self.alive:
            self._write(command(*args, **kwargs))
        elif not self._replies:
            raise self._fail(self._broken or "closed the session", stage)
        return await self._reply(stage, self._config.command_timeout)

    def _early_reply(self) -> Reply:
        """Return a refusal that came before the whole message was sent; a 2xx then is no promise."""
        reply = self._replies.popleft()
        error = self._fail(f"answered before the end of the message: {reply}", "data")
        if reply.positive:
            raise error
        return reply

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._broken:
            self._transport.write(octets)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._config.command_timeout):
                await self._writable.wait()
        except TimeoutError:
            raise self._fail("does not read the message", "data") from None

    async def _reply(self, stage: str, timeout: float) -> Reply:
        """Return the oldest reply; one that came before the connection broke still counts."""
        if not self._replies and not self._broken:
            await self._wait(timeout)
        if not self._replies:
            raise self._fail(self._broken or f"no reply within {timeout:g} s", stage)
        reply = self._replies.popleft()
        self.clean = self.clean and reply.positive
        return reply

    async def _wait(self, timeout: float) -> None:
        """Wait for a reply, the end of the connection, or the time."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._alarm.set(timeout)
        try:
            await self._waiter
        finally:
            self._alarm.clear()
            self._waiter = None

    def _time_is_up(self) -> None:
        if self._waiter is not None:
            self._wake()
        elif self.ready:
            self.quit()
        else:
            self.abort()

    def _fail(self, reason: str, stage: str) -> NextHopError:
        self._break(reason)
        self.abort()
        return NextHopError(reason, stage=stage)

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
