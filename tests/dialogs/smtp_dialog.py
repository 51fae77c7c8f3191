"""Plays an SMTP dialog: the client's and the next hop's sides of a session with a real listener (see README.md)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from filterproxy.config.listeners import LmtpListener as LmtpConfig
from filterproxy.config.listeners import SmtpListener as SmtpConfig
from filterproxy.core.ports import Site
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.smtp import SmtpListener
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.services.clock import SystemClock
from filterproxy.testing.context import make_site
from tests.dialogs.dialog_text import Line, check_transaction, octets, read_dialog, script_of
from tests.dialogs.scripted_pipeline import ScriptedPipeline

DEADLINE = 5.0
_LISTENER: TypeAdapter[SmtpConfig | LmtpConfig] = TypeAdapter(SmtpConfig | LmtpConfig)
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


def smtp_context(
    *, trusted: bool = True, log_to: str = "stderr", site: Site | None = None, relay_domains: str = ""
) -> ListenerContext:
    """Return what a listener needs; the loopback network is trusted unless told otherwise."""
    site = site or make_site(
        trusted_networks=LOOPBACK if trusted else (), relay_domains=frozenset(relay_domains.split(",")) - {""}
    )
    return ListenerContext(site, open_maillog(log_to), Metrics(), SystemClock())


async def start_smtp(
    pipeline: Any,
    next_hop: Any,
    *,
    context: ListenerContext | None = None,
    sockets: list[socket.socket] | None = None,
    **config: Any,
) -> tuple[SmtpListener, int]:
    """Return a running listener and its port; `next_hop` is an address or a map as in the configuration."""
    listening = sockets or [socket.create_server(("127.0.0.1", 0))]
    for sock in listening:
        sock.setblocking(False)
    settings = _LISTENER.validate_python({"type": "smtp", "address": "127.0.0.1:1", "next_hop": next_hop, **config})
    listener = SmtpListener(settings, lambda: pipeline, context or smtp_context())
    await listener.start(listening)
    name = listening[0].getsockname()
    return listener, name[1] if isinstance(name, tuple) else 0


async def play(path: Path) -> None:
    """Run one dialog; raises AssertionError with the line that went wrong."""
    lines = list(read_dialog(path))
    pipeline = ScriptedPipeline(*(script_of(line.text) for line in lines if line.letter == "V"))
    config = _settings(lines)
    context = smtp_context(trusted=config.pop("trusted", "yes") == "yes", relay_domains=config.pop("relay_domains", ""))
    async with scripted_next_hop() as hop:
        config["next_hop"] = {"address": f"127.0.0.1:{hop.port}", "pool_size": 0} | config.get("next_hop", {})
        listener, port = await start_smtp(pipeline, context=context, **config)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = _Client(reader, writer)
        try:
            for line in lines:
                if line.letter == "T":
                    check_transaction(line, pipeline.scans)
                elif line.letter in "CS":
                    await client.play(line)
                elif line.letter in "RN":
                    await hop.play(line)
            await client.expect_nothing(lines[-1])
        finally:
            writer.close()
            await listener.drain(DEADLINE)
        hop.expect_nothing(lines[-1])


def _settings(lines: list[Line]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for line in lines:
        if line.letter == "O":
            key, _, value = line.text.partition("=")
            *folders, name = key.split(".")
            place = config
            for folder in folders:
                place = place.setdefault(folder, {})
            place[name] = value
    return config


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def play(self, line: Line) -> None:
        if line.letter == "S":
            await self._expect(line)
        elif line.text == "EOF":
            self._writer.write_eof()
        elif line.text == "ABORT":
            self._writer.transport.abort()
        else:
            self._writer.write(_sent(line.text))

    async def expect_nothing(self, line: Line) -> None:
        """Close our side and see that nothing unexpected had been sent."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
            left = await asyncio.wait_for(self._reader.read(), DEADLINE)
            assert not left, f"after {line.where}: {left!r}"

    async def _expect(self, line: Line) -> None:
        async with asyncio.timeout(DEADLINE):
            received = await self._reader.readline()
        if line.text == "CLOSED":
            assert received == b"", line.where
        else:
            _compare(received, line)


class ScriptedNextHop:
    """A server that says what it is told, when it is told."""

    def __init__(self) -> None:
        self.port = 0
        self._arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._arrived.put_nowait((reader, writer))

    async def play(self, line: Line) -> None:
        if line.text == "CONNECT":
            async with asyncio.timeout(DEADLINE):
                self._reader, self._writer = await self._arrived.get()
        elif line.letter == "R":
            await self._expect(line)
        elif line.text.startswith("HELLO"):
            await self._hello(line)
        elif line.text == "CLOSE":
            assert self._writer is not None
            self._writer.close()
        else:
            assert self._writer is not None, f"{line.where}: nobody has connected"
            self._writer.write(_sent(line.text))

    def expect_nothing(self, line: Line) -> None:
        """See that nothing came that the dialog does not know."""
        assert self._arrived.empty(), f"after {line.where}: another connection to the next hop"
        if self._reader is not None:
            left = bytes(self._reader._buffer)
            assert left in (b"", b"QUIT\r\n"), f"after {line.where}: the next hop got {left!r}"

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _hello(self, line: Line) -> None:
        """Play what begins every session: `HELLO keyword, keyword parameters` are the EHLO keywords."""
        keywords = [word.strip() for word in line.text.removeprefix("HELLO").split(",") if word.strip()]
        texts = ["hop.example", *keywords]
        answer = [f"250{'-' if number < len(texts) else ' '}{text}" for number, text in enumerate(texts, 1)]
        await self.play(Line("R", 0, "CONNECT", line.where))
        await self.play(Line("N", 0, "220 hop.example ESMTP", line.where))
        await self.play(Line("R", 0, "EHLO mx.example.org", line.where))
        await self.play(Line("N", 0, "RAW " + "".join(f"{text}\\r\\n" for text in answer), line.where))

    async def _expect(self, line: Line) -> None:
        assert self._reader is not None, f"{line.where}: nobody has connected"
        async with asyncio.timeout(DEADLINE):
            received = await self._reader.readline()
        if line.text == "CLOSED":
            assert received == b"", line.where
        else:
            _compare(received, line)


@contextlib.asynccontextmanager
async def scripted_next_hop() -> AsyncIterator[ScriptedNextHop]:
    """Run a scripted next hop on loopback."""
    hop = ScriptedNextHop()
    server = await asyncio.start_server(hop.arrived, "127.0.0.1", 0)
    hop.port = server.sockets[0].getsockname()[1]
    try:
        yield hop
    finally:
        hop.close()
        server.close()


def _sent(text: str) -> bytes:
    return octets(text[4:]) if text.startswith("RAW ") else octets(text) + b"\r\n"


def _compare(received: bytes, line: Line) -> None:
    assert received.endswith(b"\r\n"), f"{line.where}: {received!r}"
    got, wanted = received[:-2], octets(line.text)
    if line.text.endswith("…"):
        wanted = octets(line.text[:-1])
        got = got[: len(wanted)]
    assert got == wanted, f"{line.where}: got {received!r}"
