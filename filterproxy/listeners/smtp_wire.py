"""The octets of one SMTP session: aiosmtpd's protocol with our own reading, writing and deadlines.

The rule: it knows lines, messages, TLS and time, never what a command means. aiosmtpd brings the connection and its
handler task; its reading is replaced because it refuses long body lines, costs a wake-up a line, and cannot tell what
was sent too early.
"""

from __future__ import annotations

import asyncio
import ssl

from aiosmtpd.proxy_protocol import ProxyData, get_proxy
from aiosmtpd.smtp import SMTP

from filterproxy.config.listeners import SmtpLimits
from filterproxy.core.reply import Reply
from filterproxy.core.session import Tls
from filterproxy.protocols.smtp.lines import Line, LineBuffer, encode_reply
from filterproxy.protocols.smtp.reading import Body, ChunkReader, DataReader
from filterproxy.services.alarm import Alarm

# Unread commands beyond this many octets wait in the kernel, and so in the client.
_INPUT_LIMIT = 64 * 1024
# A message must make this much progress within data_timeout, or be complete.
_PROGRESS = 64 * 1024
# How long a client may take to read our last words before the connection is cut.
_LINGER = 1.0


class TimedOut(Exception):
    """The client took too long."""


class _NoHandler:
    """What aiosmtpd is given for a handler: for each session it looks for methods by name, here there are none."""

    def __dir__(self) -> list[str]:
        return []


class SmtpWire(SMTP):  # type: ignore[misc]
    """Lines and messages in, replies out. A subclass brings `converse`, the session's life.

    While `committed` is set, a client that goes away does not stop the session.
    """

    transport: asyncio.Transport | None
    loop: asyncio.AbstractEventLoop
    _handler_coroutine: asyncio.Task[None]

    def __init__(
        self, limits: SmtpLimits, hostname: str, loop: asyncio.AbstractEventLoop, *, line_length: int | None = None
    ) -> None:
        super().__init__(_NoHandler(), hostname=hostname, loop=loop)
        self.committed = False
        self.encrypted: ssl.SSLObject | None = None
        self._limits = limits
        self._line_length = line_length or limits.command_length
        self._lines = LineBuffer(self._line_length)
        self._incoming: DataReader | ChunkReader | None = None
        self._header: asyncio.StreamReader | None = None
        self._began = loop.time()
        self._received = 0
        self._message_began = 0.0
        self._unkept: OSError | None = None
        self._progress = 0
        self._output: list[bytes] = []
        self._input: asyncio.Future[None] | None = None
        self._alarm = Alarm(self._time_is_up)
        self._expired = False
        self._leaving = False
        self._half_closed = False
        self._reading_paused = False

    def __dir__(self) -> list[str]:
        """Return nothing: aiosmtpd looks for its commands by name in here, for each session; ours are a table."""
        return []

    async def converse(self) -> None:
        """Lead the session from greeting to end."""
        raise NotImplementedError

    @property
    def pending(self) -> bool:
        """Tell whether the client has sent octets that nobody has read yet."""
        return bool(self._lines)

    @property
    def leaving(self) -> bool:
        """Tell whether the dialogue is over."""
        return self._leaving or self._half_closed or self.transport is None

    async def next_line(self) -> Line:
        """Return the next command line; raise TimedOut."""
        left = self._began + self._limits.session_timeout - self.loop.time()
        if left <= 0:
            raise TimedOut
        if (line := self._lines.next_line()) is not None:
            return line
        await self.flush()
        self._alarm.set(min(self._limits.command_timeout, left))
        while (line := self._lines.next_line()) is None:
            await self._more()
        self._alarm.clear()
        return line

    def line_of(self, verb: bytes) -> Line | None:
        """Return the next command line if it is here already and begins with the verb."""
        return self._lines.next_line() if self._lines.begins_with(verb) else None

    async def read_message(self, body: Body) -> DataReader:
        """Have the message that follows our 354 kept in `body`; return its reader. Raises TimedOut and OSError."""
        reader = self._incoming = DataReader(self._limits.message_size, body)
        await self.flush()
        self._message_begins()
        while not reader.complete:
            await self._more()
        self._alarm.clear()
        if self._unkept is not None:
            raise self._unkept
        return reader

    async def read_chunk(self, reader: ChunkReader, size: int, *, first: bool) -> None:
        """Let the reader take the next `size` octets (BDAT); raise TimedOut and OSError."""
        reader.begin(size)
        if first:
            self._message_begins()
        else:
            self._alarm.set(self._message_time())
        self._incoming = reader
        if not self._message_ended(reader, self._lines.take()):
            await self.flush()
            while not reader.complete:
                await self._more()
        self._alarm.clear()
        if self._unkept is not None:
            raise self._unkept

    async def read_proxy_header(self) -> ProxyData:
        """Return what the PROXY header says that the connection begins with; raise TimedOut.

        An invalid one gives a false ProxyData with an `error`.
        """
        reader = self._header = asyncio.StreamReader(loop=self.loop)
        reader.feed_data(self._lines.take())
        try:
            async with asyncio.timeout(self._limits.command_timeout):
                header = await get_proxy(reader)
        except TimeoutError:
            raise TimedOut from None
        self._header = None
        reader.feed_eof()
        self._lines.feed(await reader.read())
        return header

    def take_pending(self) -> bytes:
        """Return what the client has sent and nobody has read, and forget it."""
        return self._lines.take()

    async def start_tls(self, context: ssl.SSLContext, timeout: float, first: bytes = b"") -> None:
        """Go on in TLS; what the client sent before is forgotten (RFC 3207 section 4.2). Raises ConnectionError.

        `first` are octets of the handshake that are here already.
        """
        self._write_out()
        self._lines = LineBuffer(self._line_length)
        plain = self.transport
        if plain is None:
            raise ConnectionResetError("gone before the TLS handshake")
        if first:
            # Two turns of the loop from now the TLS layer is in place and has read nothing from the socket yet.
            self.loop.call_soon(self.loop.call_soon, _hand_over, plain, first)
        try:
            transport = await self.loop.start_tls(plain, self, context, server_side=True, ssl_handshake_timeout=timeout)
        except BaseException as error:
            # In the handshake asyncio tells the end of the connection to nobody but its own TLS layer.
            plain.abort()
            self._lost(error if isinstance(error, Exception) else None)
            if isinstance(error, OSError):
                raise ConnectionAbortedError(f"TLS handshake: {_tls_reason(error)}") from error
            raise
        if transport is None:
            raise ConnectionResetError("gone in the TLS handshake")
        self.transport = transport
        self._reader._transport = self._writer._transport = transport
        self.encrypted = transport.get_extra_info("ssl_object")

    def tls_facts(self) -> Tls | None:
        """Return version and cipher of the connection, None in plain text."""
        if self.encrypted is None:
            return None
        cipher = self.encrypted.cipher()
        return Tls(self.encrypted.version() or "", cipher[0] if cipher else "")

    async def greeting_pause(self) -> None:
        """Let the event loop read what the client may have sent before our greeting."""
        await asyncio.sleep(0)

    def answer(self, reply: Reply) -> None:
        """Queue a reply; it leaves before we wait for the client again."""
        self._output.append(encode_reply(reply))

    async def flush(self) -> None:
        """Write the queued replies; a client that does not read them is waited for, within command_timeout."""
        self._write_out()
        if self.transport is not None and self.transport.get_write_buffer_size() > _INPUT_LIMIT:
            self._alarm.set(self._limits.command_timeout)
            await self._writer.drain()
            self._alarm.clear()

    def hang_up(self, reply: Reply) -> None:
        """Say a last word and close, in a way that lets the client read it although it is still sending."""
        self.answer(reply)
        self._write_out()
        self._leaving = True
        if self.transport is None or self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            # TLS has no half-closed connections.
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:
            # The client is gone already.
            self.abort()
        else:
            self._resume_reading()
            self._alarm.set(_LINGER)

    def give_up(self) -> None:
        """Close at once, whatever is under way."""
        self.committed = False
        self.abort()
        self._handler_coroutine.cancel()

    def close(self) -> None:
        """Close after what is written has left."""
        self._leaving = True
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._leaving = True
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take octets (asyncio)."""
        if self._leaving:
            return
        if self._header is not None:
            self._header.feed_data(data)
            return
        if self._incoming is None:
            self._lines.feed(data)
            self._pause_reading()
        elif not self._message_ended(self._incoming, data):
            return
        self._wake()

    def eof_received(self) -> bool:
        """Stop, unless the message is on its way: then the client may still hear what became of it (asyncio)."""
        if self._header is not None:
            self._header.feed_eof()
        if self.committed:
            self._half_closed = True
            return self.encrypted is None
        self._handler_coroutine.cancel()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Stop, unless the message is on its way: then its outcome is waited for and recorded (asyncio).

        This replaces aiosmtpd's own, which would cancel in both cases.
        """
        self._lost(error)
        if not self.committed:
            self._handler_coroutine.cancel()

    async def _handle_client(self) -> None:
        """Run the session (aiosmtpd's task calls this)."""
        await self.converse()

    def _lost(self, error: Exception | None) -> None:
        self._alarm.close()
        super(SMTP, self).connection_lost(error)
        self.transport = None

    def _write_out(self) -> None:
        if self._output and self.transport is not None:
            self.transport.write(b"".join(self._output))
        self._output.clear()

    def _message_begins(self) -> None:
        self._received = self._progress = 0
        self._unkept = None
        self._message_began = self.loop.time()
        self._alarm.set(self._limits.data_timeout)

    def _message_time(self) -> float:
        """Return how long the client may take from now, by its progress and by the least rate."""
        limits = self._limits
        if not limits.data_rate:
            return limits.data_timeout
        allowed = limits.data_timeout + self._received / limits.data_rate
        return max(0.0, min(limits.data_timeout, self._message_began + allowed - self.loop.time()))

    def _message_ended(self, reader: DataReader | ChunkReader, data: bytes) -> bool:
        rest = self._feed(reader, data)
        self._received += len(data)
        if rest is None:
            self._progress += len(data)
            if self._progress >= _PROGRESS:
                self._progress = 0
                self._alarm.set(self._message_time())
            return False
        self._incoming = None
        self._lines.feed(rest)
        return True

    def _feed(self, reader: DataReader | ChunkReader, data: bytes) -> bytes | None:
        """Give octets to the reader; what cannot be kept (a full disk) is told when the message has been read away."""
        try:
            return reader.feed(data)
        except OSError as error:
            self._unkept = error
            reader.discard()
            return reader.feed(b"")

    async def _more(self) -> None:
        """Wait for octets; raise TimedOut."""
        self._resume_reading()
        self._input = self.loop.create_future()
        try:
            await self._input
        finally:
            self._input = None
        if self._expired:
            raise TimedOut

    def _wake(self) -> None:
        if self._input is not None and not self._input.done():
            self._input.set_result(None)

    def _pause_reading(self) -> None:
        if len(self._lines) > _INPUT_LIMIT and not self._reading_paused and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self.transport.resume_reading()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Set no timer: aiosmtpd would, for each command."""

    def _time_is_up(self) -> None:
        if self._input is not None:
            self._expired = True
            self._wake()
        else:
            self.abort()


def _hand_over(plain: asyncio.Transport, octets: bytes) -> None:
    """Give octets to the protocol of a transport as if they had just been read."""
    protocol = plain.get_protocol()
    while octets and isinstance(protocol, asyncio.BufferedProtocol) and not plain.is_closing():
        room = memoryview(protocol.get_buffer(len(octets)))
        count = min(len(room), len(octets))
        room[:count] = octets[:count]
        protocol.buffer_updated(count)
        octets = octets[count:]


def _tls_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "failed"
    return str(error) or type(error).__name__
