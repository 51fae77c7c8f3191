"""The listener in front of LMTP, of several servers, and of next hops by recipient domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.dialogs.scripted_pipeline import ScriptedPipeline
from tests.dialogs.smtp_dialog import start_smtp
from tests.dialogs.smtp_peers import Client
from tests.smtp_provider import Provider, provider
from tests.system.waiting import free_port

MESSAGE = b"Subject: x\r\n\r\nbody\r\n.\r\n"


@asynccontextmanager
async def hop(**options: Any) -> AsyncIterator[Provider]:
    async with provider(**{"mechanisms": "", **options}) as server:
        yield server


@asynccontextmanager
async def listener(next_hop: Any, **config: Any) -> AsyncIterator[Client]:
    """Run a listener and yield a client that has said hello."""
    running, port = await start_smtp(ScriptedPipeline(), next_hop, **config)
    client = await Client.connect(port)
    try:
        await client.reply()
        await client.say("LHLO client.example" if config.get("type") == "lmtp" else "EHLO client.example")
        yield client
    finally:
        await client.close()
        await running.drain(0.0)


async def send(client: Client, *recipients: str) -> list[str]:
    """Send a message to those recipients who are accepted; return the replies to RCPT and, if any was, the message."""
    assert (await client.say("MAIL FROM:<a@example.org>")).startswith("250")
    answers = [await client.say(f"RCPT TO:<{recipient}>") for recipient in recipients]
    if not any(answer.startswith("250") for answer in answers):
        await client.say("RSET")
        return answers
    assert (await client.say("DATA")).startswith("354")
    await client.send(MESSAGE)
    return [*answers, await client.reply()]


async def deliver_as_a_mail_server(client: Client, *recipients: str) -> dict[str, str]:
    """Send to all until each has a final answer, again and only to those that got 4xx; return the last answers."""
    final: dict[str, str] = {}
    for _ in range(10):
        waiting = [recipient for recipient in recipients if not final.get(recipient, "4").startswith(("2", "5"))]
        if not waiting:
            break
        answers = await send(client, *waiting)
        for recipient, answer in zip(waiting, answers, strict=False):
            final[recipient] = answers[-1] if answer.startswith("250") else answer
    return final


def delivered(server: Provider) -> Counter[str]:
    return Counter(rcpt.decode().partition("<")[2].strip(">") for rcpts, _ in server.messages for rcpt in rcpts)


class TestLmtp:
    async def test_a_message(self) -> None:
        async with hop(lmtp=True) as server, listener(f"lmtp://127.0.0.1:{server.port}") as client:
            assert await send(client, "b@example.net") == ["250 2.1.5 ok", "250 2.0.0 queued as 1"]
            assert server.messages == [([b"RCPT TO:<b@example.net>"], b"Subject: x\r\n\r\nbody\r\n")]
            assert server.commands[0] == "LHLO mx.example.org"

    async def test_a_server_that_knows_no_lhlo(self) -> None:
        async with hop() as server, listener(f"lmtp://127.0.0.1:{server.port}") as client:
            assert await client.reply() == ""
            assert server.commands == ["LHLO mx.example.org"]

    async def test_a_mixed_result_loses_and_doubles_nothing(self) -> None:
        """One recipient a transaction: one is full for now, one for good, and each answer is its own."""
        async with hop(lmtp=True) as server, listener(f"lmtp://127.0.0.1:{server.port}") as client:
            server.results = [b"250 2.0.0 kept"]
            everyone = ["a@example.net", "b@example.net", "c@example.net"]
            assert await send(client, *everyone) == [
                "250 2.1.5 ok",
                *["452 4.5.3 One recipient at a time, please send to this one again"] * 2,
                "250 2.0.0 kept",
            ]
            server.results = [b"452 4.2.2 full"]
            assert (await send(client, *everyone[1:]))[-1] == "452 4.2.2 full"
            server.results = [b"250 2.0.0 kept"]
            assert (await send(client, everyone[1]))[-1] == "250 2.0.0 kept"
            server.results = [b"550 5.2.1 gone"]
            assert (await send(client, everyone[2]))[-1] == "550 5.2.1 gone"
            assert delivered(server) == {"a@example.net": 1, "b@example.net": 1}

    async def test_every_recipient_of_a_patient_client_gets_one(self) -> None:
        async with hop(lmtp=True) as server, listener(f"lmtp://127.0.0.1:{server.port}") as client:
            everyone = [f"u{number}@example.net" for number in range(8)]
            final = await deliver_as_a_mail_server(client, *everyone)
            assert set(final.values()) == {"250 2.0.0 queued as 1"}
            assert delivered(server) == dict.fromkeys(everyone, 1)

    async def test_lmtp_on_both_sides_answers_for_each(self) -> None:
        async with hop(lmtp=True) as server, listener(f"lmtp://127.0.0.1:{server.port}", type="lmtp") as client:
            server.results = [b"250 2.0.0 kept", b"452 4.2.2 full", b"550 5.2.1 gone"]
            answers = await send(client, "a@example.net", "b@example.net", "c@example.net")
            assert answers == ["250 2.1.5 ok"] * 3 + ["250 2.0.0 kept"]
            assert [await client.reply(), await client.reply()] == ["452 4.2.2 full", "550 5.2.1 gone"]
            assert delivered(server) == {"a@example.net": 1}

    async def test_a_connection_that_ends_between_the_replies(self) -> None:
        async with hop(lmtp=True) as server, listener(f"lmtp://127.0.0.1:{server.port}", type="lmtp") as client:
            server.results = [b"250 2.0.0 kept", b"nonsense"]
            answers = await send(client, "a@example.net", "b@example.net")
            second = await client.reply()
            # Both replies came in one piece of octets, of which a part is nonsense: nothing in it is believed.
            assert (answers[-1][:3], second[:3]) in (("250", "451"), ("451", "451"))


class TestSeveralServers:
    def hops(self, *servers: Provider | int, **more: Any) -> dict[str, Any]:
        ports = [server if isinstance(server, int) else server.port for server in servers]
        return {"hops": [f"127.0.0.1:{port}" for port in ports], "pool_size": 0, **more}

    async def test_another_one_is_taken(self) -> None:
        async with hop() as second, listener(self.hops(free_port(), free_port(), second)) as client:
            assert (await send(client, "b@example.net"))[-1].startswith("250")
            assert len(second.messages) == 1

    @pytest.mark.parametrize("stage", ["GREETING", "EHLO", "MAIL"])
    async def test_one_that_does_not_take_us(self, stage: str) -> None:
        broken = {"replies": {stage: b"421 4.3.2 busy", "HELO": b"421 4.3.2 busy"}}
        async with hop(**broken) as first, hop() as second:
            for settings in (self.hops(first, second), self.hops(second, first)):
                async with listener(settings) as client:
                    assert (await send(client, "b@example.net"))[-1].startswith("250")
            assert len(second.messages) == 2
            assert not first.messages

    async def test_all_are_down(self) -> None:
        async with listener(self.hops(free_port(), free_port())) as client:
            assert await client.reply() == ""

    async def test_backups_wait(self) -> None:
        async with hop() as first, hop() as second:
            settings = self.hops(first)
            settings["hops"].append({"address": f"127.0.0.1:{second.port}", "backup": True})
            for _ in range(5):
                async with listener(settings) as client:
                    assert (await send(client, "b@example.net"))[-1].startswith("250")
            assert (len(first.messages), len(second.messages)) == (5, 0)

    async def test_weights_share_the_sessions(self) -> None:
        async with hop() as first, hop() as second:
            settings = self.hops(first)
            settings["hops"].append({"address": f"127.0.0.1:{second.port}", "weight": 9})
            running, port = await start_smtp(ScriptedPipeline(), settings)
            for _ in range(60):
                client = await Client.connect(port)
                await client.hello()
                await client.close()
            await running.drain(1.0)
            # Of 60 sessions 54 are expected there; fewer than 40 come once in a hundred thousand runs.
            assert second.connections >= 40
            assert first.connections + second.connections == 60

    async def test_one_that_was_down_is_tried_last_for_a_while(self) -> None:
        async with hop(replies={"GREETING": b"421 no"}) as first, hop() as second:
            running, port = await start_smtp(ScriptedPipeline(), self.hops(first, second, retry_after="1h"))
            for _ in range(20):
                client = await Client.connect(port)
                await client.hello()
                await client.close()
            await running.drain(1.0)
            assert first.connections <= 1


class TestRoutes:
    async def test_each_domain_goes_its_way(self) -> None:
        async with hop() as main, hop() as own, hop(lmtp=True) as local:
            routes = {"own.example": f"127.0.0.1:{own.port}", ".local.example": f"lmtp://127.0.0.1:{local.port}"}
            async with listener({"address": f"127.0.0.1:{main.port}", "routes": routes}) as client:
                everyone = [
                    "x@own.example",
                    "x@OTHER.example",
                    "y@own.example",
                    "z@a.b.local.example",
                    "z@local.example",
                ]
                final = await deliver_as_a_mail_server(client, *everyone)
                assert set(final.values()) == {"250 2.0.0 queued as 1"}
            assert delivered(own) == {"x@own.example": 1, "y@own.example": 1}
            assert delivered(local) == {"z@a.b.local.example": 1}
            assert delivered(main) == {"x@OTHER.example": 1, "z@local.example": 1}

    async def test_a_transaction_has_one_next_hop(self) -> None:
        async with hop() as main, hop() as own:
            routes = {"own.example": f"127.0.0.1:{own.port}"}
            async with listener({"address": f"127.0.0.1:{main.port}", "routes": routes}) as client:
                assert await send(client, "a@example.net", "b@own.example", "c@example.net") == [
                    "250 2.1.5 ok",
                    "452 4.5.3 This recipient needs a transaction of its own, please send again",
                    "250 2.1.5 ok",
                    "250 2.0.0 queued as 1",
                ]
                assert not own.messages

    async def test_a_refused_recipient_binds_nobody(self) -> None:
        async with hop(replies={"RCPT": b"550 5.1.1 nobody"}) as main, hop() as own:
            routes = {"own.example": f"127.0.0.1:{own.port}"}
            async with listener({"address": f"127.0.0.1:{main.port}", "routes": routes}) as client:
                answers = await send(client, "a@example.net", "b@own.example")
                assert answers == ["550 5.1.1 nobody", "250 2.1.5 ok", "250 2.0.0 queued as 1"]
            assert not main.messages

    async def test_a_refused_sender_is_told_at_the_recipient(self) -> None:
        async with hop(replies={"MAIL": b"550 5.7.1 not you"}) as main, hop() as own:
            routes = {"own.example": f"127.0.0.1:{own.port}", "down.example": f"127.0.0.1:{free_port()}"}
            async with listener({"address": f"127.0.0.1:{main.port}", "routes": routes}) as client:
                assert await send(client, "a@example.net") == ["550 5.7.1 not you"]
                assert await send(client, "a@down.example") == ["451 4.3.0 Temporary failure, please try again later"]
                assert (await send(client, "a@own.example"))[-1].startswith("250")


class TestPipelining:
    @pytest.mark.parametrize("keywords", [("PIPELINING", "XFORWARD NAME ADDR HELO"), ("XFORWARD NAME ADDR HELO",)])
    async def test_xforward_and_mail(self, keywords: tuple[str, ...]) -> None:
        async with hop(keywords=keywords) as server, listener(f"127.0.0.1:{server.port}") as client:
            assert (await client.say("XFORWARD ADDR=192.0.2.1 HELO=real.example")).startswith("250")
            assert (await send(client, "b@example.net"))[-1].startswith("250")
            assert server.commands[1:3] == ["XFORWARD ADDR=192.0.2.1 HELO=real.example", "MAIL FROM:<a@example.org>"]

    async def test_a_refused_xforward_stops_no_mail(self) -> None:
        keywords = ("PIPELINING", "XFORWARD ADDR")
        refusing = {"XFORWARD": b"550 5.7.0 not from you"}
        async with hop(keywords=keywords, replies=refusing) as server, listener(f"127.0.0.1:{server.port}") as client:
            assert (await client.say("XFORWARD ADDR=192.0.2.1")).startswith("250")
            assert (await send(client, "b@example.net"))[-1].startswith("250")
            assert len(server.messages) == 1

    async def test_recipients_go_in_groups(self) -> None:
        """No answer of the next hop is waited for before all recipients that are here are named to it."""
        async with hop(keywords=("PIPELINING",), group=20) as server, listener(f"127.0.0.1:{server.port}") as client:
            everyone = [f"u{number}@example.net" for number in range(20)]
            lines = [f"RCPT TO:<{recipient}>" for recipient in everyone]
            lines.insert(3, "RCPT TO:<>")
            lines.insert(7, "RCPT nonsense")
            assert (await client.say("MAIL FROM:<a@example.org>")).startswith("250")
            await client.send("".join(f"{line}\r\n" for line in (*lines, "DATA")).encode())
            answers = [await client.reply() for _ in lines]
            assert [answer[:3] for answer in answers] == ["501" if n in (3, 7) else "250" for n in range(22)]
            assert (await client.reply()).startswith("354")
            await client.send(MESSAGE)
            assert (await client.reply()).startswith("250")
            assert delivered(server) == dict.fromkeys(everyone, 1)

    async def test_a_group_with_refusals_and_a_limit(self) -> None:
        limits = {"recipients": 3}
        async with (
            hop(keywords=("PIPELINING",)) as server,
            listener(f"127.0.0.1:{server.port}", limits=limits) as client,
        ):
            server.refused = ("no@example.net",)
            names = ["a", "no", "b", "c", "d"]
            await client.send(b"MAIL FROM:<x@example.org>\r\n")
            assert (await client.reply()).startswith("250")
            await client.send("".join(f"RCPT TO:<{name}@example.net>\r\n" for name in names).encode())
            answers = [(await client.reply())[:3] for _ in names]
            assert answers == ["250", "550", "250", "452", "452"]
            await client.say("DATA")
            await client.send(MESSAGE)
            assert (await client.reply()).startswith("250")
            assert delivered(server) == {"a@example.net": 1, "b@example.net": 1}

    @pytest.mark.parametrize("answer", [b"421 4.3.2 bye", b"nonsense"])
    async def test_a_next_hop_that_ends_in_a_group(self, answer: bytes) -> None:
        replies = {"RCPT": answer}
        async with (
            hop(keywords=("PIPELINING",), replies=replies) as server,
            listener(f"127.0.0.1:{server.port}") as client,
        ):
            assert (await client.say("MAIL FROM:<x@example.org>")).startswith("250")
            await client.send(b"".join(b"RCPT TO:<%d@example.net>\r\n" % number for number in range(5)))
            if answer.startswith(b"421"):
                assert [await client.reply(), await client.reply()] == ["421 4.3.2 bye", ""]
            else:
                assert {(await client.reply())[:3] for _ in range(5)} == {"451"}
                assert (await client.say("DATA")).startswith(("451", "503", "554"))
            assert not server.messages
