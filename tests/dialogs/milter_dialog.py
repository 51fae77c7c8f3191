"""Plays a milter dialog: the MTA's side of a connection to a real listener, written as text (see README.md)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filterproxy.config.listeners import MilterListener as MilterConfig
from filterproxy.core.ports import Site
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.milter import MilterListener
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.protocols.milter import commands as c
from filterproxy.protocols.milter import replies as r
from filterproxy.protocols.milter.frames import FrameDecoder
from filterproxy.protocols.milter.options import Actions, Options, Steps
from filterproxy.services.clock import SystemClock
from filterproxy.testing.context import make_site
from tests.dialogs.dialog_text import Line, check_transaction, octets, read_dialog, script_of, words
from tests.dialogs.scripted_pipeline import ScriptedPipeline

DEADLINE = 5.0


async def start_milter(
    pipeline: Any,
    *,
    site: Site | None = None,
    log_to: str = os.devnull,
    sockets: list[socket.socket] | None = None,
    **config: Any,
) -> tuple[MilterListener, ListenerContext, str]:
    """Return a running listener, its context, and the port it listens on as text."""
    listening = sockets or [socket.create_server(("127.0.0.1", 0))]
    context = ListenerContext(site or make_site(), open_maillog(log_to), Metrics(), SystemClock())
    settings = MilterConfig(type="milter", address="127.0.0.1:1", **config)
    listener = MilterListener(settings, lambda: pipeline, context)
    await listener.start(listening)
    return listener, context, str(listening[0].getsockname()[1])


async def play(path: Path) -> None:
    """Run one dialog; raises AssertionError with the line that went wrong."""
    lines = list(read_dialog(path))
    pipeline = ScriptedPipeline(*(script_of(line.text) for line in lines if line.letter == "V"))
    config: dict[str, Any] = {}
    for line in lines:
        if line.letter == "O":
            _set(config, line.text)
    listener, _, port = await start_milter(pipeline, **config)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    mta = _Mta(reader, writer)
    try:
        for line in lines:
            if line.letter == "T":
                check_transaction(line, pipeline.scans)
            elif line.letter in "CS":
                await mta.play(line)
        await mta.expect_nothing(lines[-1])
    finally:
        writer.close()
        await listener.drain(DEADLINE)


def _set(config: dict[str, Any], text: str) -> None:
    key, _, value = text.partition("=")
    *folders, name = key.split(".")
    for folder in folders:
        config = config.setdefault(folder, {})
    config[name] = value.split(",") if name == "never_reject" else value


class _Mta:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameDecoder()

    async def play(self, line: Line) -> None:
        word, _, rest = line.text.partition(" ")
        if line.letter == "S":
            assert await self._next(line) == line.text, line.where
        elif word == "EOF":
            self._writer.write_eof()
        else:
            self._writer.write(octets(rest) if word == "RAW" else _COMMANDS[word](rest).encode())

    async def expect_nothing(self, line: Line) -> None:
        """Close our side and see that nothing unexpected had been sent."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        left = await asyncio.wait_for(self._reader.read(), DEADLINE)
        assert not left, f"after {line.where}: {left!r}"
        assert not self._frames.buffered

    async def _next(self, line: Line) -> str:
        while (frame := self._frames.next_frame()) is None:
            async with asyncio.timeout(DEADLINE):
                data = await self._reader.read(65536)
            if not data:
                return "CLOSED"
            self._frames.feed(data)
        if frame[0] == b"O":
            options = c.Negotiate.decode(frame[1]).options
            return f"NEGOTIATE version={options.version} actions={options.actions:#x} steps={options.steps:#x}"
        return _text_of(r.decode_reply(*frame))


def _negotiate(text: str) -> c.Command:
    numbers = {key: int(value, 0) for key, value in words(text)}
    return c.Negotiate(Options(numbers["version"], Actions(numbers["actions"]), Steps(numbers["steps"])))


def _macro(text: str) -> c.Command:
    letter, _, rest = text.partition(" ")
    return c.Macros(letter, dict(words(rest)))


def _connect(text: str) -> c.Command:
    hostname, family, *rest = text.split(" ")
    return c.Connect(hostname, family, *(kind(value) for kind, value in zip((int, str), rest, strict=False)))


def _arguments(kind: Callable[[tuple[str, ...]], c.Command]) -> Callable[[str], c.Command]:
    return lambda text: kind(tuple(octets(text).decode("utf-8", "surrogateescape").split(" ")))


def _header(text: str) -> c.Command:
    name, _, value = octets(text).partition(b":")
    return c.Header(name, value)


_COMMANDS: dict[str, Callable[[str], c.Command]] = {
    "NEGOTIATE": _negotiate,
    "MACRO": _macro,
    "CONNECT": _connect,
    "HELO": c.Helo,
    "MAIL": _arguments(c.Mail),
    "RCPT": _arguments(c.Rcpt),
    "DATA": lambda text: c.Data(),
    "HEADER": _header,
    "EOH": lambda text: c.EndOfHeaders(),
    "BODY": lambda text: c.Body(octets(text)),
    "EOM": lambda text: c.EndOfMessage(octets(text)),
    "ABORT": lambda text: c.Abort(),
    "QUIT": lambda text: c.Quit(),
    "QUIT_NC": lambda text: c.QuitNewConnection(),
    "UNKNOWN": lambda text: c.Unknown(octets(text)),
}


def _text_of(reply: r.Reply) -> str:
    match reply:
        case r.ReplyCode(text):
            return f"REPLY {_escaped(text)}"
        case r.DeleteRcpt(path):
            return f"DELETE_RCPT {path}"
        case r.Quarantine(reason):
            return f"QUARANTINE {reason}"
        case r.InsertHeader(index, name, value):
            return f"INSERT_HEADER {index} {_escaped((name + b':' + value).decode())}"
        case r.ChangeHeader(index, name, value):
            return f"CHANGE_HEADER {index} {_escaped((name + b':' + value).decode())}"
    return type(reply).__name__.upper()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
