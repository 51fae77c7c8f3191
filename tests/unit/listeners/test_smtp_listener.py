"""The SMTP listener: sockets, sessions in all, draining, and what only time brings out."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from filterproxy.core.action import Action
from filterproxy.core.reply import Reply
from filterproxy.core.session import Client as SessionClient
from filterproxy.listeners.smtp_session import _client
from filterproxy.pipeline import HeaderEdits, Verdict
from filterproxy.protocols.smtp.lines import encode_data
from tests.dialogs.scripted_pipeline import Script, ScriptedPipeline
from tests.dialogs.smtp_peers import DEADLINE, Client, proxy, sink


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        (("192.0.2.1", 25), SessionClient("192.0.2.1", port=25)),
        (("2001:db8::1", 25, 0, 0), SessionClient("2001:db8::1", port=25)),
        (("::ffff:192.0.2.1", 25, 0, 0), SessionClient("192.0.2.1", port=25)),
        (("fe80::1%eth0", 25, 0, 2), SessionClient("fe80::1", port=25)),
        ("", SessionClient()),
        (b"", SessionClient()),
        (None, SessionClient()),
    ],
)
def test_who_is_there(peer: object, client: SessionClient) -> None:
    assert _client(peer) == client


class TestSockets:
    async def test_ipv6(self) -> None:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
        async with proxy(sockets=[listening]) as running:
            client = await Client.connect(running.port, "::1")
            await client.hello()
            assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
            assert running.pipeline.scans[0].transaction.client.address == "::1"

    async def test_a_unix_socket_is_trusted(self, tmp_path: Path) -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "smtp"))
        listening.listen()
        async with proxy(sockets=[listening]) as running:
            client = Client(*await asyncio.open_unix_connection(tmp_path / "smtp"))
            await client.hello()
            assert (await client.say("XFORWARD ADDR=192.0.2.1")).startswith("250 ")
            assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
            assert running.pipeline.scans[0].transaction.client.address == "192.0.2.1"
            await client.message(b"a\r\n.\r\n")
            assert running.pipeline.scans[1].transaction.client.address == ""

    async def test_several_sockets(self) -> None:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [sock.getsockname()[1] for sock in sockets]
        async with proxy(sockets=sockets):
            for port in ports:
                assert (await (await Client.connect(port)).reply()).startswith("220 mx.example.org ")


class TestMessages:
    async def test_edits_are_applied_and_the_rest_is_the_same(self) -> None:
        edits = HeaderEdits(remove=(("X-Spam-Flag", 1),), insert=(("X-Spam-Status", "No,\n\tscore=0"),))
        pipeline = ScriptedPipeline(Script(Verdict(Action.ADD_HEADER, edits=edits)))
        body = b"\r\n" + bytes(range(14, 256)) * 3 + b"\r\n..\r\n.\r\n\t \r\n" + b"y" * 65_536 + b"\r\n\r\n"
        wire = b"Subject: a\r\nx-spam-flag: YES\r\n" + body.replace(b"\r\n.", b"\r\n..")
        async with proxy(pipeline) as running:
            client = await running.client()
            assert (await client.message(wire + b".\r\n")).startswith("250 ")
            got = running.hop.accepted[0].raw + b"\r\n"
        assert got == b"X-Spam-Status: No,\r\n\tscore=0\r\nSubject: a\r\n" + body.replace(b"\r\n.", b"\r\n..")

    @pytest.mark.parametrize("chunks", [False, True])
    async def test_a_message_that_is_kept_in_a_file_is_the_same(self, tmp_path: Path, chunks: bool) -> None:
        edits = HeaderEdits(insert=(("X-Spam-Status", "No"),))
        pipeline = ScriptedPipeline(Script(Verdict(Action.ADD_HEADER, edits=edits)))
        raw = b"Subject: a\r\n\r\n" + b"".join(b".%d\r\n..\r\n" % number for number in range(200_000))
        limits = {"memory_size": 10_000}
        async with (
            sink(keywords=(b"CHUNKING",)) as hop,
            proxy(pipeline, hop, limits=limits, spool_dir=str(tmp_path)) as running,
        ):
            client = await running.client()
            if chunks:
                await client.envelope()
                await client.send(b"BDAT 1000000\r\n" + raw[:1_000_000])
                assert await client.reply() == "250 2.0.0 1000000 octets received"
                rest = raw[1_000_000:]
                assert (await client.say(b"BDAT %d LAST\r\n" % len(rest) + rest[:-2])).startswith("250 ")
            else:
                assert (await client.message(encode_data(raw))).startswith("250 ")
            (accepted,) = running.hop.accepted
            assert (accepted.raw + b"\r\n").replace(b"\r\n.", b"\r\n") == b"X-Spam-Status: No\r\n" + raw
            assert not list(tmp_path.iterdir())

    async def test_the_scan_sees_the_header_whole_and_the_size(self) -> None:
        pipeline = ScriptedPipeline()
        header = b"Subject: a\r\n" + b"X-A: b\r\n" * 2000 + b"\r\n"
        async with proxy(pipeline, limits={"memory_size": 1000}) as running:
            client = await running.client()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("tests.dialogs.scripted_pipeline.ScriptedScan.wants", 100)
                assert (await client.message(header + b"body\r\n" * 10_000 + b".\r\n")).startswith("250 ")
            scan = pipeline.scans[0]
            assert scan.raw is not None and scan.raw.startswith(header) and len(scan.raw) < 4 * len(header)
            assert scan.size == len(header) + 60_000

    async def test_what_cannot_be_kept_is_temporary_and_the_session_goes_on(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing")
        async with proxy(limits={"memory_size": 1000}, spool_dir=missing) as running:
            client = await running.client()
            assert (await client.message(b"x" * 5000 + b"\r\n.\r\n")).startswith("452 4.3.1 ")
            assert (await client.message(b"small\r\n.\r\n")).startswith("250 ")
            assert [accepted.raw for accepted in running.hop.accepted] == [b"small"]

    async def test_two_sessions_do_not_mix(self) -> None:
        async with proxy() as running:
            clients = [await running.client() for _ in range(20)]

            async def send(number: int) -> str:
                return await clients[number].message(b"message %d\r\n.\r\n" % number)

            replies = await asyncio.gather(*(send(number) for number in range(20)))
            assert all(reply.startswith("250 ") for reply in replies)
            assert {message.raw for message in running.hop.accepted} == {b"message %d" % n for n in range(20)}

    async def test_connections_are_kept_for_the_next_session(self) -> None:
        async with proxy(next_hop={"pool_size": 2}) as running:
            for _ in range(10):
                client = await running.client()
                assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
                assert (await client.say("QUIT")).startswith("221 ")
                assert await client.reply() == ""
            assert running.hop.connections == 1
            # A session on a connection that died unseen is served by another.
            running.hop.writers[0].transport.abort()
            assert (await (await running.client()).message(b"a\r\n.\r\n")).startswith("250 ")

    @pytest.mark.parametrize("answer", [None, b"421 4.7.0 too much on one connection"])
    async def test_a_kept_connection_that_ends_when_it_is_used(self, answer: bytes | None) -> None:
        """The next hop had enough of the connection, not of the message: MAIL is tried again on a new one."""
        async with proxy(next_hop={"pool_size": 2}) as running:
            client = await running.client()
            for number in range(3):
                assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
                assert running.hop.connections == number + 1
                running.hop.answers["MAIL"] = iter([answer, b"250 2.1.0 ok"]).__next__

    async def test_a_client_that_goes_away_during_the_scan(self) -> None:
        script = Script(release=asyncio.Event())
        async with proxy(ScriptedPipeline(script), next_hop={"pool_size": 0}) as running:
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            await client.send(b"a\r\n.\r\n")
            scan = running.pipeline.scans[0]
            await asyncio.wait_for(scan.scanning.wait(), DEADLINE)
            await client.close()
            await asyncio.wait_for(scan.ended.wait(), DEADLINE)
            await asyncio.wait_for(running.hop.quiet.wait(), DEADLINE)
            assert scan.cancelled
            assert not running.hop.accepted

    @pytest.mark.parametrize("way", ["abort", "eof"])
    async def test_a_client_that_goes_away_after_the_message_is_sent(self, way: str) -> None:
        arrived, release = asyncio.Event(), asyncio.Event()

        async def slow() -> bytes:
            arrived.set()
            await release.wait()
            return b"250 2.0.0 queued late"

        async with proxy() as running:
            running.hop.answers["MESSAGE"] = slow
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            await client.send(b"a\r\n.\r\n")
            await asyncio.wait_for(arrived.wait(), DEADLINE)
            if way == "abort":
                client.writer.transport.abort()
            else:
                client.writer.write_eof()
            for _ in range(20):
                await asyncio.sleep(0)
            assert running.sessions == 1
            release.set()
            scan = running.pipeline.scans[0]
            await asyncio.wait_for(scan.ended.wait(), DEADLINE)
            assert scan.recorded == "250 2.0.0 queued late"
            assert not scan.cancelled
            if way == "eof":
                assert await client.reply() == "250 2.0.0 queued late"
            await asyncio.wait_for(running.listener._shared.idle.wait(), DEADLINE)


class TestDrain:
    async def test_idle_sessions_are_told(self) -> None:
        async with proxy() as running:
            clients = [await running.client() for _ in range(3)]
            drained = asyncio.create_task(running.listener.drain(DEADLINE))
            for client in clients:
                assert (await client.reply()).startswith("421 4.3.2 ")
                assert await client.reply() == ""
                await client.close()
            await drained
            with pytest.raises(ConnectionRefusedError):
                await Client.connect(running.port)

    async def test_transactions_are_finished(self) -> None:
        async with proxy() as running:
            busy, between = await running.client(), await running.client()
            await busy.envelope()
            assert (await between.message(b"a\r\n.\r\n")).startswith("250 ")
            drained = asyncio.create_task(running.listener.drain(DEADLINE))
            assert (await between.reply()).startswith("421 ")
            await between.close()
            assert (await busy.say("DATA")).startswith("354 ")
            await busy.send(b"b\r\n.\r\n")
            assert (await busy.reply()).startswith("250 ")
            assert (await busy.reply()).startswith("421 ")
            await busy.close()
            await drained
            assert len(running.hop.accepted) == 2

    async def test_not_for_ever(self) -> None:
        script = Script(release=asyncio.Event())
        async with proxy(ScriptedPipeline(script)) as running:
            waiting, scanning = await running.client(), await running.client()
            await scanning.envelope()
            await scanning.say("DATA")
            await scanning.send(b"a\r\n.\r\n")
            await asyncio.wait_for(running.pipeline.scans[0].scanning.wait(), DEADLINE)
            await waiting.envelope()
            await asyncio.wait_for(running.listener.drain(0.05), DEADLINE)
            assert await waiting.reply() == ""
            assert not running.hop.accepted
            assert running.sessions == 0

    async def test_nothing_waits_for_a_next_hop_that_never_answers(self) -> None:
        async with proxy() as running:
            running.hop.answers["MESSAGE"] = asyncio.Event().wait
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            await client.send(b"a\r\n.\r\n")
            await asyncio.wait_for(running.pipeline.scans[0].scanning.wait(), DEADLINE)
            await asyncio.wait_for(running.listener.drain(0.05), DEADLINE)
            assert running.sessions == 0

    async def test_nobody_is_there(self) -> None:
        async with proxy() as running:
            await asyncio.wait_for(running.listener.drain(DEADLINE), 1)


class TestConfig:
    async def test_what_the_pipeline_is_told(self) -> None:
        for settings, wanted in (
            ({}, (True, Action.ADD_HEADER, Action.ADD_HEADER, "spamassassin", None)),
            (
                {"mode": "after_queue", "on_reject": "discard", "quarantine_fallback": "reject", "headers": "rspamd"},
                (False, Action.DISCARD, Action.REJECT, "rspamd", None),
            ),
            ({"compat": "rspamd"}, (True, Action.ADD_HEADER, Action.ADD_HEADER, "spamassassin", "rspamd")),
        ):
            async with proxy(**settings) as running:  # type: ignore[arg-type]
                await (await running.client()).message(b"a\r\n.\r\n")
                delivery = running.pipeline.scans[0].delivery
                got = (delivery.in_session, delivery.on_reject, delivery.quarantine_fallback, delivery.header_profile)
                assert (*got, delivery.compat) == wanted
                assert not delivery.can_hold

    async def test_a_verdicts_reply_is_given_as_it_is(self) -> None:
        verdict = Verdict(Action.REJECT, Reply(554, ("No spam here", "(id 1)"), "5.7.1"))
        async with proxy(ScriptedPipeline(Script(verdict))) as running:
            client = await running.client()
            assert await client.message(b"a\r\n.\r\n") == "554-5.7.1 No spam here\n554 5.7.1 (id 1)"
