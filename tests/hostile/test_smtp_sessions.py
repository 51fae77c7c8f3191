"""Sessions that no honest client leads: long lines, early talk, slow and many clients, forged facts."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from tests.dialogs.scripted_pipeline import ScriptedPipeline
from tests.dialogs.smtp_dialog import smtp_context
from tests.dialogs.smtp_peers import Client, Proxy, proxy

MIB = 1 << 20


class TestLongLines:
    @pytest.mark.parametrize("length", [512, 1001, 2046])
    async def test_commands_within_the_limit(self, length: int) -> None:
        async with proxy() as running:
            client = await running.client()
            assert (await client.say(b"NOOP ".ljust(length, b"x"))).startswith("250 ")
            assert (await client.say(b"X" * length)).startswith("500 ")
            assert (await client.say(b"MAIL FROM:<a@example.org>")).startswith("250 ")

    @pytest.mark.parametrize("length", [2047, 2048, 70_000, 2 * MIB])
    @pytest.mark.parametrize("verb", [b"NOOP ", b"MAIL FROM:<", b""])
    async def test_longer_ones_get_a_clear_500_and_the_session_goes_on(self, length: int, verb: bytes) -> None:
        async with proxy() as running:
            client = await running.client()
            assert await client.say(verb.ljust(length, b"x")) == "500 5.5.2 Line too long"
            assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")

    async def test_memory_stays_flat(self) -> None:
        async with proxy(limits={"message_size": "1MiB"}) as running:
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            tracemalloc.start()
            for _ in range(64):
                await client.send(b"x" * MIB)
            await client.send(b"\r\n.\r\n")
            assert (await client.reply()).startswith("552 ")
            await client.send(b"NOOP ")
            for _ in range(64):
                await client.send(b"x" * MIB)
            await client.send(b"\r\n")
            assert (await client.reply()).startswith("500 ")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            # Two such pieces are on their way in this process's own client alone.
            assert peak < 16 * MIB

    @pytest.mark.parametrize("length", [998, 5000, 65_536])
    async def test_body_lines_pass(self, length: int) -> None:
        async with proxy() as running:
            client = await running.client()
            body = b"x" * length
            assert (await client.message(body + b"\r\n.\r\n")).startswith("250 ")
            assert running.hop.accepted[0].raw == body

    async def test_longer_body_lines_are_refused_clearly(self) -> None:
        async with proxy() as running:
            client = await running.client()
            assert await client.message(b"x" * 65_537 + b"\r\n.\r\n") == "500 5.6.0 A line of the message is too long"
            assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
            assert len(running.hop.accepted) == 1

    async def test_a_content_filter_takes_lines_as_they_are(self) -> None:
        async with proxy(mode="after_queue") as running:
            client = await running.client()
            assert (await client.message(b"x" * 100_000 + b"\r\n.\r\n")).startswith("250 ")


class TestLoops:
    @pytest.mark.parametrize(("hops", "code"), [(50, "250"), (51, "554"), (60, "554"), (20_000, "554")])
    async def test_a_message_that_runs_in_a_circle(self, hops: int, code: str) -> None:
        async with proxy() as running:
            client = await running.client()
            began = asyncio.get_running_loop().time()
            reply = await client.message(b"Received: from a by b\r\n" * hops + b"\r\nReceived: x\r\n.\r\n")
            assert reply.startswith(code)
            assert asyncio.get_running_loop().time() - began < 1.0
            assert len(running.hop.accepted) == (code == "250")

    async def test_a_content_filter_keeps_it_in_the_queue(self) -> None:
        async with proxy(mode="after_queue") as running:
            client = await running.client()
            assert (await client.message(b"Received: a\r\n" * 51 + b".\r\n")).startswith("451 4.4.6 ")


class TestEarlyTalk:
    async def test_before_the_greeting(self) -> None:
        async with proxy() as running:
            client = await Client.connect(running.port)
            await client.send(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\n")
            reply = await client.reply()
            # Octets that were not here yet when the greeting left are refused at EHLO at the latest.
            if reply.startswith("220 "):
                reply = await client.reply()
            assert reply.startswith("554 ")
            assert await client.reply() == ""
            assert running.hop.commands in ([], [b"EHLO mx.example.org"], [b"EHLO mx.example.org", b"QUIT"])

    @pytest.mark.parametrize(
        "octets",
        [
            b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n",
            b"HELO a\r\nMAIL FROM:<a@example.org>\r\n",
            b"NOOP\r\nEHLO a\r\n",
            b"EHLO a\r\nQ",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n",
        ],
        ids=repr,
    )
    async def test_before_the_reply_to_ehlo(self, octets: bytes) -> None:
        async with proxy() as running:
            client = await Client.connect(running.port)
            await client.reply()
            await client.send(octets)
            replies = [await client.reply() for _ in range(3)]
            assert "554 5.5.0 Commands sent without waiting for the reply" in replies
            assert not any(command.startswith((b"MAIL", b"RCPT")) for command in running.hop.commands)

    async def test_before_354(self) -> None:
        async with proxy() as running:
            client = await running.client()
            await client.envelope()
            await client.send(b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nMAIL FROM:<evil@example.org>\r\n")
            assert (await client.reply()).startswith("554 ")
            assert await client.reply() == ""
            assert not running.hop.accepted
            assert not any(b"evil" in command for command in running.hop.commands)

    async def test_a_flood_of_commands_is_read_no_faster_than_it_is_answered(self) -> None:
        async with proxy() as running:
            client = await running.client()
            client.writer.write(b"NOOP\r\n" * 100_000)
            for _ in range(100_000):
                assert (await client.reply()).startswith("250 ")


class TestPatience:
    LIMITS = {"command_timeout": "200ms", "data_timeout": "200ms"}

    async def test_a_client_that_says_nothing(self) -> None:
        async with proxy(limits=self.LIMITS) as running:
            client = await Client.connect(running.port)
            assert (await client.reply()).startswith("220 ")
            assert (await client.reply()).startswith("421 4.4.2 ")
            assert await client.reply() == ""
            await self.gone(running)

    async def test_a_command_that_drips(self) -> None:
        async with proxy(limits=self.LIMITS) as running:
            client = await Client.connect(running.port)
            await client.reply()
            assert await self.drip(client, b"EHLO example.org") == "421 4.4.2 Time-out, closing the connection"
            await self.gone(running)

    async def test_a_message_that_drips(self) -> None:
        async with proxy(limits=self.LIMITS) as running:
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            assert await self.drip(client, b"x\r\n") == "421 4.4.2 Time-out, closing the connection"
            await self.gone(running)
            assert running.pipeline.scans[0].cancelled
            assert not running.hop.accepted

    async def test_a_long_message_that_flows(self) -> None:
        async with proxy(limits={"data_timeout": "500ms"}) as running:
            client = await running.client()
            await client.envelope()
            await client.say("DATA")
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() - began < 1.0:
                await client.send(b"x" * 998 + b"\r\n")
                await asyncio.sleep(0)
            await client.send(b".\r\n")
            assert (await client.reply()).startswith(("250 ", "552 "))

    async def test_a_client_that_does_not_read_its_replies(self) -> None:
        async with proxy(limits={"command_timeout": "200ms"}) as running:
            client = await running.client()
            client.writer.transport.pause_reading()
            client.writer.write(b"HELP\r\n" * 2_000_000)
            await self.gone(running)

    @staticmethod
    async def drip(client: Client, octets: bytes) -> str:
        """Send one octet after the other until the server speaks."""
        reply = asyncio.create_task(client.reply())
        while not reply.done():
            for octet in octets:
                await client.send(bytes((octet,)))
                await asyncio.wait({reply}, timeout=0.02)
                if reply.done():
                    break
        return reply.result()

    @staticmethod
    async def gone(running: Proxy) -> None:
        async with asyncio.timeout(10):
            await running.listener._shared.idle.wait()
            await running.hop.quiet.wait()


class TestLimits:
    async def test_errors(self) -> None:
        async with proxy(limits={"errors": 5}) as running:
            client = await running.client()
            replies = [await client.say("NONSENSE") for _ in range(5)]
            assert [reply[:3] for reply in replies] == ["500"] * 4 + ["421"]
            assert await client.reply() == ""

    async def test_refusals_of_the_next_hop_are_no_errors_of_the_client(self) -> None:
        async with proxy(limits={"errors": 2}) as running:
            running.hop.answers["RCPT"] = b"550 5.1.1 unknown"
            client = await running.client()
            await client.say("MAIL FROM:<a@example.org>")
            for _ in range(20):
                assert await client.say("RCPT TO:<b@example.net>") == "550 5.1.1 unknown"

    async def test_connections(self) -> None:
        async with proxy(limits={"connections": 2}) as running:
            clients = [await running.client() for _ in range(2)]
            for _ in range(20):
                refused = await Client.connect(running.port)
                assert await refused.reply() == "421 4.3.2 Too many connections, please try again later"
                assert await refused.reply() == ""
            assert running.sessions == 2
            assert (await clients[0].say("QUIT")).startswith("221 ")
            await clients[0].close()
            async with asyncio.timeout(5):
                while running.sessions > 1:
                    await asyncio.sleep(0)
            assert (await (await running.client()).say("NOOP")).startswith("250 ")

    async def test_connections_of_one_stranger(self) -> None:
        limits = {"client_connections": 2}
        async with proxy(limits=limits, context=smtp_context(trusted=False)) as running:
            clients = [await running.client() for _ in range(2)]
            assert (await (await Client.connect(running.port)).reply()).startswith("421 4.3.2 ")
            assert len(clients) == 2
        async with proxy(limits=limits) as running:
            assert len([await running.client() for _ in range(5)]) == 5

    async def test_many_slow_clients_do_not_slow_the_others(self) -> None:
        async with proxy() as running:
            slow = [await Client.connect(running.port) for _ in range(400)]
            for client in slow:
                await client.send(b"EH")
            client = await running.client()
            began = asyncio.get_running_loop().time()
            for _ in range(20):
                assert (await client.message(b"a\r\n.\r\n")).startswith("250 ")
            assert asyncio.get_running_loop().time() - began < 2.0
            for waiting in slow:
                await waiting.close()


class TestForgedFacts:
    async def test_xforward_from_a_stranger(self, tmp_path: Path) -> None:
        context = smtp_context(trusted=False, relay_domains="example.net", log_to=str(tmp_path / "log"))
        async with proxy(context=context) as running:
            client = await running.client()
            assert (await client.say("XFORWARD ADDR=127.0.0.2 NAME=localhost")).startswith("550 5.7.0 ")
            await client.message(b"a\r\n.\r\n")
            transaction = running.pipeline.scans[0].transaction
            assert (transaction.client.address, transaction.client.name) == ("127.0.0.1", "")
        assert context.log.flush()
        log = (tmp_path / "log").read_text()
        assert "connect: listener=smtp client=unknown[127.0.0.1]" in log
        assert "550 5.7.0 XFORWARD is not allowed from this client" in log

    async def test_xforward_makes_a_client_local_or_not(self) -> None:
        from ipaddress import ip_network

        from filterproxy.testing.context import make_site

        site = make_site(
            trusted_networks=(ip_network("127.0.0.0/8"),),
            local_networks=(ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")),
        )
        async with proxy(context=smtp_context(site=site)) as running:
            client = await running.client()
            for address, local in (("192.0.2.1", True), ("198.51.100.1", False), ("[UNAVAILABLE]", False)):
                await client.say(f"XFORWARD ADDR={address}")
                await client.message(b"a\r\n.\r\n")
                assert running.pipeline.scans[-1].transaction.local == local
            await client.message(b"a\r\n.\r\n")
            assert running.pipeline.scans[-1].transaction.local

    async def test_forged_headers_go_only_by_the_pipelines_edits(self) -> None:
        pipeline = ScriptedPipeline()
        async with proxy(pipeline) as running:
            client = await running.client()
            raw = b"X-Spam-Flag: NO\r\n\r\n\0\xff\r\n"
            await client.message(raw + b".\r\n")
            assert pipeline.scans[0].raw == raw
            assert running.hop.accepted[0].raw + b"\r\n" == raw
