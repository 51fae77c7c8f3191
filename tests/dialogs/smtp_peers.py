"""Peers for tests of the SMTP listener: a client that sends any octets, and a next hop that keeps what it accepts."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from filterproxy.listeners.smtp import SmtpListener
from tests.dialogs.scripted_pipeline import ScriptedPipeline
from tests.dialogs.smtp_dialog import start_smtp

DEADLINE = 10.0
# What servers have taken for the end of a message: the standard, and every variant seen in the wild.
STRICT_END = re.compile(rb"(?:\A|\r\n)\.\r\n")
SLOPPY_END = re.compile(rb"(?:\A|\r\n|\n|\r)\0?\.\0?(?:\r\n|\n|\r)")

_POSITIVE = re.compile(rb"(?:[23]\d\d-.*\r\n)*[23]\d\d(?: |\Z)")


@dataclass
class Accepted:
    """One message a next hop accepted."""

    mail: bytes
    rcpts: list[bytes]
    raw: bytes


@dataclass
class Sink:
    """A next hop. `sloppy` ends messages and lines as badly as any server ever did; `answers` overrides replies.

    An answer is the reply to a verb (or to `MESSAGE`), or a callable; None closes the connection without one.
    """

    sloppy: bool = False
    keywords: tuple[bytes, ...] = (b"SIZE 100000000", b"8BITMIME", b"SMTPUTF8", b"DSN")
    answers: dict[str, bytes | Callable[[], Any] | None] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    readers: list[asyncio.StreamReader] = field(default_factory=list)
    tasks: list[asyncio.Task[None] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quiet.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.quiet.clear()
        self.readers.append(reader)
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._talk(_Octets(reader, sloppy=self.sloppy), writer)
        writer.close()
        self.open -= 1
        if not self.open:
            self.quiet.set()

    async def _talk(self, octets: _Octets, writer: asyncio.StreamWriter) -> None:
        if not await self._reply("GREETING", b"220 sink", writer):
            return
        mail, rcpts = b"", []
        while line := await octets.line():
            self.commands.append(line)
            verb = line.split(b" ")[0].split(b":")[0].upper().decode("latin-1")
            if verb == "QUIT":
                await self._reply(verb, b"221 bye", writer)
                return
            good = await self._reply(verb, self._default(verb), writer)
            if good is None:
                return
            if verb == "MAIL":
                mail, rcpts = line, []
            elif verb == "RCPT" and good:
                rcpts.append(line)
            elif verb == "DATA" and good:
                raw = await octets.message()
                if (good := await self._reply("MESSAGE", b"250 2.0.0 queued", writer)) is None:
                    return
                if good:
                    self.accepted.append(Accepted(mail, rcpts, raw))

    def _default(self, verb: str) -> bytes:
        match verb:
            case "EHLO":
                texts = [b"sink", *self.keywords]
                return b"\r\n".join([*(b"250-" + text for text in texts[:-1]), b"250 " + texts[-1]])
            case "DATA":
                return b"354 go"
            case "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" | "XFORWARD":
                return b"250 2.0.0 ok"
        return b"500 what?"

    async def _reply(self, verb: str, default: bytes, writer: asyncio.StreamWriter) -> bool | None:
        """Send the reply; tell whether it is positive, None when the connection is to be closed."""
        answer: Any = self.answers.get(verb, default)
        if callable(answer):
            answer = answer()
            if asyncio.iscoroutine(answer):
                answer = await answer
        if answer is None:
            return None
        writer.write(answer + b"\r\n")
        await writer.drain()
        return _POSITIVE.match(answer) is not None


class _Octets:
    """Lines and messages from a stream, read strictly or as badly as possible."""

    def __init__(self, reader: asyncio.StreamReader, *, sloppy: bool) -> None:
        self._reader = reader
        self._buffer = b""
        self._end = SLOPPY_END if sloppy else STRICT_END
        self._line_end = re.compile(rb"\r\n|\n|\r(?!\n|\Z)") if sloppy else re.compile(rb"\r\n")

    async def line(self) -> bytes:
        """Return the next line, empty at the end of the stream."""
        while (match := self._line_end.search(self._buffer)) is None:
            if not await self._more():
                return b""
        line, self._buffer = self._buffer[: match.start()], self._buffer[match.end() :]
        return line or b"(empty)"

    async def message(self) -> bytes:
        """Return the message before its end, dots as sent; raise IncompleteReadError when it does not come."""
        searched = 0
        while (match := self._end.search(self._buffer, searched)) is None:
            searched = max(0, len(self._buffer) - 5)
            if not await self._more():
                raise asyncio.IncompleteReadError(self._buffer, None)
        raw, self._buffer = self._buffer[: match.start()], self._buffer[match.end() :]
        return raw

    async def _more(self) -> bool:
        data = await self._reader.read(262_144)
        self._buffer += data
        return bool(data)


class Client:
    """An SMTP client of raw octets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> Client:
        return cls(*await asyncio.open_connection(host, port))

    async def reply(self) -> str:
        """Return the next reply, its lines joined by line feeds; empty when the connection is closed."""
        lines = []
        async with asyncio.timeout(DEADLINE):
            while line := (await self.reader.readline()).decode("utf-8", "surrogateescape"):
                assert line.endswith("\r\n"), line
                lines.append(line.removesuffix("\r\n"))
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def say(self, command: str | bytes) -> str:
        """Send a command and return its reply."""
        await self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return await self.reply()

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        async with asyncio.timeout(DEADLINE):
            await self.writer.drain()

    async def hello(self) -> None:
        assert (await self.reply()).startswith("220 ")
        assert (await self.say("EHLO client.example")).startswith("250")

    async def envelope(self) -> None:
        assert (await self.say("MAIL FROM:<a@example.org>")).startswith("250")
        assert (await self.say("RCPT TO:<b@example.net>")).startswith("250")

    async def message(self, octets: bytes) -> str:
        """Go from MAIL to the message, whose octets come with their own end; return the reply to it."""
        await self.envelope()
        assert (await self.say("DATA")).startswith("354")
        await self.send(octets)
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def sink(**options: Any) -> AsyncIterator[Sink]:
    """Run a next hop on loopback."""
    hop = Sink(**options)
    server = await asyncio.start_server(hop.serve, "127.0.0.1", 0, limit=1 << 20)
    hop.port = server.sockets[0].getsockname()[1]
    try:
        yield hop
    finally:
        server.close()
        for task in hop.tasks:
            assert task is not None
            task.cancel()
        async with asyncio.timeout(DEADLINE):
            await hop.quiet.wait()


@dataclass
class Proxy:
    """A running listener between a pipeline and a sink."""

    listener: SmtpListener
    port: int
    pipeline: ScriptedPipeline
    hop: Sink

    async def client(self) -> Client:
        """Return a client that was greeted and has said EHLO."""
        client = await Client.connect(self.port)
        await client.hello()
        return client

    @property
    def sessions(self) -> int:
        return len(self.listener._shared.sessions)


@contextlib.asynccontextmanager
async def proxy(
    pipeline: ScriptedPipeline | None = None, hop: Sink | None = None, **options: Any
) -> AsyncIterator[Proxy]:
    """Run a listener in front of a sink; options are the listener's settings, or `context` and `sockets`."""
    pipeline = pipeline or ScriptedPipeline()
    next_hop = options.pop("next_hop", {})
    async with contextlib.AsyncExitStack() as stack:
        hop = hop or await stack.enter_async_context(sink())
        listener, port = await start_smtp(pipeline, {"address": f"127.0.0.1:{hop.port}", **next_hop}, **options)
        try:
            yield Proxy(listener, port, pipeline, hop)
        finally:
            await listener.drain(0.0)
