"""The milter listener with an independent MTA (miltertest), and what only time or load brings out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from miltertest import MilterConnection as MtaConnection
from miltertest import MilterError
from miltertest import constants as mta

from filterproxy.core.action import Action
from filterproxy.core.reply import Reply
from filterproxy.listeners.milter import MilterListener
from filterproxy.pipeline import HeaderEdits, Verdict
from filterproxy.testing.context import make_site
from tests.dialogs.milter_dialog import start_milter
from tests.dialogs.scripted_pipeline import Script, ScriptedPipeline

DEADLINE = 5.0
HEADERS = [("Subject", " hi"), ("X-Long", " a\n\tb")]
RAW = b"Subject: hi\r\nX-Long: a\r\n\tb\r\n\r\nbody\r\n"


@contextlib.asynccontextmanager
async def running(pipeline: ScriptedPipeline, **config: Any) -> AsyncIterator[tuple[MilterListener, Any, int]]:
    listener, context, port = await start_milter(pipeline, **config)
    try:
        yield listener, context, int(port)
    finally:
        await listener.drain(0.2)


class Mta:
    """miltertest's MTA, which blocks, moved to a thread call by call."""

    def __init__(self, connection: MtaConnection) -> None:
        self.connection = connection

    @classmethod
    async def connect(cls, address: Any) -> Mta:
        def opened() -> MtaConnection:
            family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            client = socket.socket(family)
            client.settimeout(DEADLINE)
            client.connect(address)
            connection = MtaConnection(client)
            # miltertest does not read the macro lists of an answer.
            connection.optneg_mta(mta.SMFI_V6_ACTS & ~mta.SMFIF_SETSYMLIST)
            return connection

        return cls(await asyncio.to_thread(opened))

    async def envelope(self) -> None:
        def play() -> None:
            link = self.connection
            link.send_macro("C", j="mx.example.org")
            link._send(mta.SMFIC_CONNECT, hostname="client.example", family="4", port=2525, address="192.0.2.1")
            link._send(mta.SMFIC_HELO, helo="client.example")
            link._send(mta.SMFIC_MAIL, args=["<a@example.org>"])
            link.send_macro("R", i="4Xyz")
            link._send(mta.SMFIC_RCPT, args=["<b@example.net>"])
            link._send(mta.SMFIC_DATA)

        await asyncio.to_thread(play)

    async def content(self) -> None:
        def play() -> None:
            for name, value in HEADERS:
                self.connection._send(mta.SMFIC_HEADER, name=name, value=value)
            self.connection._send(mta.SMFIC_EOH)
            self.connection._send(mta.SMFIC_BODY, buf="body\r\n")

        await asyncio.to_thread(play)

    async def end(self) -> list[tuple[str, dict[str, Any]]]:
        return await asyncio.to_thread(self.connection.send_eom)

    async def message(self) -> list[tuple[str, dict[str, Any]]]:
        await self.envelope()
        await self.content()
        return await self.end()

    async def closed(self) -> bool:
        return await asyncio.to_thread(self.connection._recv, True) is None

    def close(self) -> None:
        self.connection.sock.close()


async def test_a_message_with_edits_through_an_independent_mta():
    edits = HeaderEdits(remove=(("x-spam", 1),), insert=(("X-Spam-Flag", "YES"), ("X-Spam-Score", "6.0")))
    pipeline = ScriptedPipeline(Script(Verdict(Action.ADD_HEADER, edits=edits)))
    async with running(pipeline) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        answers = await client.message()
        client.close()
    assert answers == [
        (mta.SMFIR_CHGHEADER, {"index": 1, "name": "x-spam", "value": ""}),
        (mta.SMFIR_INSHEADER, {"index": 0, "name": "X-Spam-Score", "value": " 6.0"}),
        (mta.SMFIR_INSHEADER, {"index": 0, "name": "X-Spam-Flag", "value": " YES"}),
        (mta.SMFIR_ACCEPT, {}),
    ]
    assert pipeline.scans[0].raw == RAW
    assert pipeline.scans[0].transaction.client.address == "192.0.2.1"


async def test_two_messages_without_abort_and_a_reject():
    reply = Reply.of(554, "5.7.1", "50% spam")
    pipeline = ScriptedPipeline(Script(Verdict(Action.REJECT, reply)))
    async with running(pipeline) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        first = await client.message()
        client.connection._send(mta.SMFIC_MAIL, args=["<c@example.org>"])
        client.connection._send(mta.SMFIC_RCPT, args=["<d@example.net>"])
        await client.content()
        second = await client.end()
        client.close()
    assert first == [(mta.SMFIR_REPLYCODE, {"smtpcode": "554", "space": " ", "text": "5.7.1 50%% spam"})]
    assert second == [(mta.SMFIR_ACCEPT, {})]
    assert [scan.transaction.envelope.mail_from for scan in pipeline.scans] == ["a@example.org", "c@example.org"]


async def test_progress_is_reported_while_the_scan_runs():
    release = asyncio.Event()
    async with running(ScriptedPipeline(Script(release=release)), progress_interval=0.01) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        await client.envelope()
        await client.content()
        client.connection._send(mta.SMFIC_BODYEOB)
        seen = [(await asyncio.to_thread(client.connection._recv))[0] for _ in range(3)]
        release.set()
        decision = await asyncio.to_thread(client.connection.recv)
        client.close()
    assert seen == [mta.SMFIR_PROGRESS] * 3
    assert decision[0] == mta.SMFIR_ACCEPT


async def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "milter.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    listener, _, _ = await start_milter(ScriptedPipeline(), sockets=[listening])
    client = await Mta.connect(path)
    assert (await client.message())[-1][0] == mta.SMFIR_ACCEPT
    client.close()
    await listener.drain(DEADLINE)
    # Other workers may listen on the same socket: the file is not ours to remove.
    assert (tmp_path / "milter.sock").exists()


async def test_tcp_connections_have_nodelay_on():
    async with running(ScriptedPipeline()) as (listener, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        (session,) = listener._shared.sessions
        connection = session._transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()


async def test_local_networks_mark_local_sessions():
    pipeline = ScriptedPipeline()
    site = make_site(local_networks=(ip_network("192.0.2.0/24"),))
    async with running(pipeline, site=site) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        await client.message()
        client.close()
    assert pipeline.scans[0].transaction.local is True


async def test_the_mta_goes_away_while_its_message_is_scanned(tmp_path):
    pipeline = ScriptedPipeline(Script(release=asyncio.Event()))
    async with running(pipeline, log_to=str(tmp_path / "log")) as (_, context, port):
        client = await Mta.connect(("127.0.0.1", port))
        await client.envelope()
        await client.content()
        client.connection._send(mta.SMFIC_BODYEOB)
        async with asyncio.timeout(DEADLINE):
            while not pipeline.scans:
                await asyncio.sleep(0)
            await pipeline.scans[0].scanning.wait()
            client.close()
            await pipeline.scans[0].ended.wait()
        context.log.flush()
    assert pipeline.scans[0].cancelled
    assert pipeline.scans[0].recorded == ""
    assert "4Xyz: session error:" in (tmp_path / "log").read_text()


async def test_too_many_connections_are_closed_and_the_open_one_works():
    async with running(ScriptedPipeline(), limits={"connections": 1}) as (_, _, port):
        first = await Mta.connect(("127.0.0.1", port))
        with pytest.raises((ConnectionError, MilterError)):
            await Mta.connect(("127.0.0.1", port))
        assert (await first.message())[-1][0] == mta.SMFIR_ACCEPT
        first.close()


async def test_an_idle_connection_is_closed():
    async with running(ScriptedPipeline(), limits={"idle_timeout": 0.05}) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        assert await client.closed()
        client.close()


async def test_a_scan_is_not_idle():
    release = asyncio.Event()
    async with running(ScriptedPipeline(Script(release=release)), limits={"idle_timeout": 0.2}) as (_, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        await client.envelope()
        await client.content()
        client.connection._send(mta.SMFIC_BODYEOB)
        asyncio.get_running_loop().call_later(0.5, release.set)
        assert (await asyncio.to_thread(client.connection.recv))[0] == mta.SMFIR_ACCEPT
        client.close()


async def test_metrics_count_sessions_and_protocol_errors():
    async with running(ScriptedPipeline()) as (_, context, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\0\0\0\0")
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
        writer.close()
    text = context.metrics.render().decode()
    assert 'filterproxy_protocol_errors_total{listener="milter"} 1.0' in text
    assert 'filterproxy_sessions_total{listener="milter"} 1.0' in text
    assert 'filterproxy_open_sessions{listener="milter"} 0.0' in text


async def test_drain_closes_idle_sessions_at_once_and_lets_messages_finish():
    release = asyncio.Event()
    pipeline = ScriptedPipeline(Script(release=release))
    async with running(pipeline) as (listener, _, port):
        idle = await Mta.connect(("127.0.0.1", port))
        busy = await Mta.connect(("127.0.0.1", port))
        await busy.envelope()
        await busy.content()
        busy.connection._send(mta.SMFIC_BODYEOB)
        async with asyncio.timeout(DEADLINE):
            while not pipeline.scans or not pipeline.scans[0].scanning.is_set():
                await asyncio.sleep(0)
        draining = asyncio.create_task(listener.drain(DEADLINE))
        assert await idle.closed()
        with pytest.raises(OSError):
            await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), DEADLINE)
        assert not draining.done()
        release.set()
        assert (await asyncio.to_thread(busy.connection.recv))[0] == mta.SMFIR_ACCEPT
        assert await busy.closed()
        await asyncio.wait_for(draining, DEADLINE)
        idle.close()
        busy.close()


async def test_drain_gives_up_after_its_time():
    pipeline = ScriptedPipeline(Script(release=asyncio.Event()))
    async with running(pipeline) as (listener, _, port):
        client = await Mta.connect(("127.0.0.1", port))
        await client.envelope()
        await client.content()
        client.connection._send(mta.SMFIC_BODYEOB)
        async with asyncio.timeout(DEADLINE):
            while not pipeline.scans or not pipeline.scans[0].scanning.is_set():
                await asyncio.sleep(0)
        await asyncio.wait_for(listener.drain(0.05), DEADLINE)
        assert pipeline.scans[0].cancelled
        client.close()


async def test_a_reload_counts_from_the_next_transaction():
    old, new = ScriptedPipeline(), ScriptedPipeline()
    current = [old]

    class Swapping:
        def begin(self, *arguments: Any) -> Any:
            return current[0].begin(*arguments)

    async with running(Swapping()) as (_, _, port):  # type: ignore[arg-type]
        client = await Mta.connect(("127.0.0.1", port))
        await client.message()
        current[0] = new
        client.connection._send(mta.SMFIC_ABORT)
        client.connection._send(mta.SMFIC_MAIL, args=["<c@example.org>"])
        await client.content()
        await client.end()
        client.close()
    assert len(old.scans) == len(new.scans) == 1


async def test_many_messages_on_one_connection_neither_stall_nor_leave_anything_behind():
    """The MTA's socket has Nagle's algorithm on, as Postfix' has: 40 ms a message if we acknowledge late."""
    pipeline = ScriptedPipeline()
    async with running(pipeline) as (listener, _, port):
        client = await Mta.connect(("127.0.0.1", port))

        def play() -> set[str]:
            link = client.connection
            link._send(mta.SMFIC_CONNECT, hostname="x", family="4", port=1, address="192.0.2.1")
            answers = set()
            for _ in range(300):
                link._send(mta.SMFIC_MAIL, args=["<a@example.org>"])
                link._send(mta.SMFIC_RCPT, args=["<b@example.org>"])
                link._send(mta.SMFIC_HEADER, name="Subject", value=" x")
                link._send(mta.SMFIC_EOH)
                answers |= {answer[0] for answer in link.send_eom()}
            return answers

        async with asyncio.timeout(DEADLINE):
            assert await asyncio.to_thread(play) == {mta.SMFIR_ACCEPT}
        client.close()
    assert len(pipeline.scans) == 300
    assert not listener._shared.sessions
