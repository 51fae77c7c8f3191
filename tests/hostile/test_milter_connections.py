"""What a broken or hostile MTA connection can do to the milter: floods, silence, nonsense, and messages without end."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

import pytest

from filterproxy.protocols.milter import commands as c
from filterproxy.protocols.milter.frames import FrameDecoder
from filterproxy.protocols.milter.options import Actions, Options, Steps
from filterproxy.protocols.milter.replies import Accept, decode_reply
from tests.dialogs.milter_dialog import DEADLINE, start_milter
from tests.dialogs.scripted_pipeline import Script, ScriptedPipeline

MIB = 1 << 20
OFFER = c.Negotiate(Options(6, Actions(0x1FF), Steps(0x1FFFFF))).encode()
BEGINNING = (
    OFFER,
    c.Connect("client.example", "4", 25, "192.0.2.1").encode(),
    c.Helo("client.example").encode(),
    c.Mail(("<a@example.org>",)).encode(),
    c.Rcpt(("<b@example.net>",)).encode(),
    c.Data().encode(),
)


async def connect(port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(port))


async def decision(reader: asyncio.StreamReader) -> object:
    frames = FrameDecoder()
    async with asyncio.timeout(3 * DEADLINE):
        while True:
            frames.feed(await reader.read(65_536))
            while (frame := frames.next_frame()) is not None:
                if frame[0] not in b"Op":
                    return decode_reply(*frame)


async def test_a_flood_of_connections_is_bounded_and_the_open_ones_work() -> None:
    listener, _, port = await start_milter(ScriptedPipeline(), limits={"connections": 20})
    kept = [await connect(port) for _ in range(20)]
    for reader, writer in kept:
        writer.write(b"".join(BEGINNING))
        async with asyncio.timeout(DEADLINE):
            await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
    for _ in range(200):
        reader, writer = await connect(port)
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
    reader, writer = kept[0]
    writer.write(c.EndOfHeaders().encode() + c.EndOfMessage().encode())
    assert isinstance(await decision(reader), Accept)
    for _, writer in kept:
        writer.close()
    await listener.drain(DEADLINE)


async def test_silent_connections_are_closed() -> None:
    listener, _, port = await start_milter(ScriptedPipeline(), limits={"idle_timeout": "200ms"})
    quiet = [await connect(port) for _ in range(50)]
    for _, writer in quiet[::2]:
        writer.write(OFFER[:7])
    async with asyncio.timeout(DEADLINE):
        for reader, _ in quiet:
            await reader.read()
    for _, writer in quiet:
        writer.close()
    await listener.drain(DEADLINE)


async def test_many_silent_connections_do_not_keep_the_others_waiting() -> None:
    listener, _, port = await start_milter(ScriptedPipeline())
    quiet = [await connect(port) for _ in range(300)]
    for _, writer in quiet:
        writer.write(OFFER[:5])
    for _ in range(10):
        reader, writer = await connect(port)
        writer.write(b"".join(BEGINNING) + c.EndOfHeaders().encode() + c.EndOfMessage().encode())
        assert isinstance(await decision(reader), Accept)
        writer.close()
    for _, writer in quiet:
        writer.close()
    await listener.drain(DEADLINE)


async def test_a_message_without_end_takes_no_more_memory_than_is_scanned() -> None:
    pipeline = ScriptedPipeline(Script(wants=MIB))
    listener, _, port = await start_milter(pipeline)
    reader, writer = await connect(port)
    chunk = c.Body(b"x" * 65_000).encode()
    tracemalloc.start()
    writer.write(b"".join(BEGINNING) + c.EndOfHeaders().encode())
    for _ in range(1000):
        writer.write(chunk)
        await writer.drain()
    writer.write(c.EndOfMessage().encode())
    assert isinstance(await decision(reader), Accept)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pipeline.scans[0].size == 65_000 * 1000 + 2
    assert peak < 12 * MIB
    writer.close()
    await listener.drain(DEADLINE)


@pytest.mark.parametrize("field", [c.Header(b"X", b" y"), c.Header(b"X-Long", b" " + b"z" * 100_000)])
async def test_headers_in_masses(field: c.Header) -> None:
    count = 20_000 if len(field.value) < 10 else 20
    pipeline = ScriptedPipeline()
    listener, _, port = await start_milter(pipeline)
    reader, writer = await connect(port)
    writer.write(b"".join(BEGINNING) + field.encode() * count)
    writer.write(c.EndOfHeaders().encode() + c.EndOfMessage().encode())
    assert isinstance(await decision(reader), Accept)
    assert pipeline.scans[0].raw == (field.name + b":" + field.value + b"\r\n") * count + b"\r\n"
    writer.close()
    await listener.drain(DEADLINE)
