"""A next hop that fails as told, and senders that try again as a mail server does: for test_no_loss.py."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

STAGES = ("connect", "EHLO", "MAIL", "RCPT", "DATA", "mid-body", "final dot")
# What a next hop does at a stage. The last two are for the final dot: the message is kept, and nobody hears of it.
KINDS = ("closes", "hangs", "4xx", "5xx")
AFTER_KEEPING = ("keeps it and closes", "keeps it and hangs")
_REPLIES = {"4xx": b"451 4.3.0 not now", "5xx": b"554 5.7.1 never"}
_MARKER = re.compile(rb"<(m[\w-]+)@")
_DEADLINE = 30.0
_MID_BODY = 1000
_RETRY = 0.1


def message(marker: str, size: int) -> bytes:
    """Return a numbered message that tells where it ends; lines end in CRLF, some begin with a dot."""
    head = f"From: <{marker}@example.org>\r\nSubject: {marker}\r\n\r\n"
    line = f".a line of message {marker:<40}\r\n"
    return f"{head}{line * (size // len(line))}END {marker}\r\n".encode()


class Gone(Exception):
    """The connection is to be closed."""


@dataclass
class ScriptedHop:
    """Fails at `stage` in the way of `kind`, once for each message (or connection, before there is one).

    With `kind` "waits" it stops there until `go` is set; `all_wait` tells that as many as were armed have come so far.
    """

    stage: str = ""
    kind: str = ""
    faults: int = 0
    waiting: int = 0
    count: int = 0
    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    all_wait: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    lmtp: bool = False
    _failed: set[str] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int = 0) -> None:
        # Small buffers: what the next hop has not read is still with the sender.
        listening = socket.create_server(("127.0.0.1", port), backlog=500)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=32_768)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, stage: str, kind: str, count: int) -> None:
        """Fail from now on; before MAIL that many times."""
        self.stage, self.kind, self.faults, self.count, self.waiting = stage, kind, count, count, 0
        self.go.clear()
        self.all_wait.clear()
        self._failed.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _Dialogue(self, reader, writer).run()
        writer.close()

    def due(self, stage: str, marker: str) -> str:
        """Return the kind of failure that is due now, empty for none."""
        if stage != self.stage:
            return ""
        if marker:
            if marker in self._failed:
                return ""
            self._failed.add(marker)
            return self.kind
        self.faults -= 1
        return self.kind if self.faults >= 0 else ""


class _Dialogue:
    def __init__(self, hop: ScriptedHop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hop, self.reader, self.writer = hop, reader, writer
        self.marker = ""

    async def run(self) -> None:
        await self.answer("connect", b"220 hop")
        while line := await self.reader.readline():
            verb = line[:4].upper()
            if verb == b"QUIT":
                await self.say(b"221 bye")
                return
            if verb == b"MAIL":
                found = _MARKER.search(line)
                self.marker = found[1].decode() if found else ""
            if verb in (b"EHLO", b"LHLO"):
                self.marker = ""
                await self.answer("EHLO", b"250-hop\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"HELO":
                await self.say(_REPLIES["5xx"])
            elif verb == b"DATA":
                if await self.answer("DATA", b"354 go"):
                    await self.message()
            else:
                await self.answer(verb.decode(), b"250 2.0.0 ok")

    async def message(self) -> None:
        begin = await self.reader.readexactly(_MID_BODY)
        if not await self.answer("mid-body", b""):
            # A server that closed now would reset the connection, and its reply would be lost on the way.
            await self.drain()
        raw = bytearray(begin)
        while not raw.endswith(b"\r\n.\r\n"):
            piece = await self.reader.read(65_536)
            if not piece:
                raise Gone
            raw += piece
        kind = self.hop.due("final dot", self.marker)
        kept = kind not in KINDS
        if kept:
            # A message is kept before it is acknowledged, as any mail server does.
            self.hop.delivered.append((self.marker, bytes(raw[:-3]).replace(b"\r\n.", b"\r\n")))
        if not await self.fail(kind.removeprefix("keeps it and ")):
            await self.say(b"250 2.0.0 kept")

    async def answer(self, stage: str, reply: bytes) -> bool:
        """Say the reply unless a failure is due; tell whether it was said."""
        if await self.fail(self.hop.due(stage, self.marker if stage not in ("connect", "EHLO") else "")):
            return False
        if reply:
            await self.say(reply)
        return True

    async def fail(self, kind: str) -> bool:
        """Fail in a way; tell whether a reply was given instead of the good one."""
        if kind in _REPLIES:
            await self.say(_REPLIES[kind])
            return True
        if kind == "closes":
            self.writer.transport.abort()
            raise Gone
        if kind == "hangs":
            await self.drain()
        if kind == "waits":
            self.hop.waiting += 1
            if self.hop.waiting == self.hop.count:
                self.hop.all_wait.set()
            await self.hop.go.wait()
        return False

    async def drain(self) -> None:
        """Read without an answer until the other side closes."""
        while await self.reader.read(65_536):
            pass
        raise Gone

    async def say(self, reply: bytes) -> None:
        self.writer.write(reply + b"\r\n")
        await self.writer.drain()


@dataclass
class Cell:
    """What became of one cell's messages."""

    name: str
    sent: int
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    attempts: int = 0
    delivered: Counter[str] = field(default_factory=Counter)
    split: int = 0

    @property
    def lost(self) -> int:
        return len([marker for marker in self.accepted if not self.delivered[marker]])

    @property
    def doubled(self) -> int:
        return sum(count - 1 for count in self.delivered.values() if count > 1)

    def take(self, delivered: list[tuple[str, bytes]], size: int) -> None:
        """Count what the next hop kept of this cell."""
        for marker, raw in delivered:
            self.delivered[marker] += 1
            body = message(marker, size).partition(b"\r\n\r\n")[2]
            self.split += not (raw.endswith(body) and raw.count(b"\r\n\r\n") == 1)

    def line(self) -> str:
        numbers = (self.sent, self.attempts, len(self.accepted), len(self.refused), sum(self.delivered.values()))
        return f"{self.name:<44}" + "".join(
            f"{number:>10}" for number in (*numbers, self.lost, self.split, self.doubled)
        )

    def check(self, *, may_double: bool) -> None:
        """Raise AssertionError unless accepted is delivered, once, in one piece, and nothing else was delivered."""
        assert len(self.accepted) + len(self.refused) == self.sent, f"not all have an answer\n{self.line()}"
        assert not self.lost and not self.split, self.line()
        assert may_double or not self.doubled, self.line()
        assert not set(self.delivered) - self.accepted - (self.refused if may_double else set()), self.line()


HEADER = f"{'what happens':<44}" + "".join(
    f"{word:>10}" for word in ("sent", "attempts", "accepted", "refused", "delivered", "lost", "split", "doubled")
)


Gate = Callable[[str], Awaitable[None]]


async def send_until_answered(cell: Cell, marker: str, raw: bytes, port: int) -> None:
    """Send a message as a mail server does: again after 4xx or a broken connection, never after 2xx or 5xx."""
    async with asyncio.timeout(_DEADLINE):
        while not await send_once(cell, marker, raw, port):
            # A mail server's queue waits before the next attempt, and so do we.
            await asyncio.sleep(_RETRY)


async def send_once(
    cell: Cell, marker: str, raw: bytes, port: int, domain: str = "example.org", gate: Gate | None = None
) -> bool:
    """Try once; tell whether the answer is final. `gate` is awaited before each command, with its verb."""
    cell.attempts += 1
    code = 0
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        code = await _attempt(port, marker, raw, domain, gate)
    if code // 100 in (2, 5):
        (cell.accepted if code // 100 == 2 else cell.refused).add(marker)
    return code // 100 in (2, 5)


async def _attempt(port: int, marker: str, raw: bytes, domain: str, gate: Gate | None) -> int:
    """Return the code that decided."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        code = await _reply(reader)
        for verb, line in (
            ("EHLO", b"EHLO client.example"),
            ("MAIL", f"MAIL FROM:<{marker}@{domain}>".encode()),
            ("RCPT", b"RCPT TO:<alice@example.net>"),
            ("DATA", b"DATA"),
            ("message", raw.replace(b"\r\n.", b"\r\n..") + b"."),
        ):
            if code // 100 not in (2, 3):
                return code
            if gate is not None:
                await gate(verb)
            writer.write(line + b"\r\n")
            await writer.drain()
            code = await _reply(reader)
        return code
    finally:
        writer.transport.abort()


async def _reply(reader: asyncio.StreamReader) -> int:
    while True:
        line = await reader.readuntil(b"\n")
        if line[3:4] != b"-":
            return int(line[:3])
