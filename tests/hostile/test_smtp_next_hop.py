"""A next hop that is down, slow, dies or refuses, at each stage: its own answer or 4xx, never a 250 of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.dialogs.smtp_peers import Client, Proxy, Sink, proxy
from tests.system.waiting import free_port

STAGES = ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "MESSAGE")
FAST = {"connect_timeout": "300ms", "command_timeout": "300ms", "data_timeout": "300ms"}


async def conversation(running: Proxy, *, quit_at_end: bool = True) -> list[str]:
    """Send one message as far as it goes; return the replies to EHLO, MAIL, RCPT, DATA and the message."""
    client = await Client.connect(running.port)
    replies = [(await client.reply())[:0] or await client.say("EHLO client.example")]
    steps: list[Callable[[], Any]] = [
        lambda: client.say("MAIL FROM:<a@example.org>"),
        lambda: client.say("RCPT TO:<b@example.net>"),
        lambda: client.say("DATA"),
        lambda: client.say("Subject: x\r\n\r\nbody\r\n."),
    ]
    for step in steps:
        if not replies[-1].startswith(("2", "3")):
            break
        replies.append(await step())
    if quit_at_end:
        await client.say("QUIT")
    await client.close()
    return replies


def at(stage: str) -> int:
    """Return the number of the reply that tells of a failure at the stage; DATA's is told after the message."""
    return {"GREETING": 0, "EHLO": 0, "MAIL": 1, "RCPT": 2, "DATA": 4, "MESSAGE": 4}[stage]


async def forever() -> None:
    await asyncio.Event().wait()


class TestEveryStage:
    @pytest.mark.parametrize("stage", STAGES)
    async def test_it_closes_the_connection(self, stage: str) -> None:
        async with proxy() as running:
            running.hop.answers[stage] = None
            replies = await conversation(running)
            assert len(replies) == at(stage) + 1
            assert replies[-1] in (
                "451 4.3.0 Temporary failure, please try again later",
                "421 4.3.0 Temporary failure, please try again later",
            )
            assert not running.hop.accepted

    @pytest.mark.parametrize("stage", STAGES)
    async def test_it_does_not_answer(self, stage: str) -> None:
        async with proxy(next_hop=FAST) as running:
            running.hop.answers[stage] = forever
            replies = await conversation(running)
            assert len(replies) == at(stage) + 1
            assert replies[-1].startswith(("451 4.3.0 ", "421 4.3.0 "))
            assert not running.hop.accepted

    @pytest.mark.parametrize("answer", [b"450 4.7.1 later", b"550 5.7.1 never", b"421 4.3.2 going down"])
    @pytest.mark.parametrize("stage", STAGES[2:])
    async def test_its_own_answer_is_passed_on(self, stage: str, answer: bytes) -> None:
        async with proxy() as running:
            running.hop.answers[stage] = answer
            replies = await conversation(running)
            assert len(replies) == at(stage) + 1
            assert replies[-1] == answer.decode()
            assert not running.hop.accepted

    @pytest.mark.parametrize("answer", [b"450 4.7.1 later", b"550 5.7.1 never", b"421 4.3.2 going down"])
    @pytest.mark.parametrize("stage", STAGES[:2])
    async def test_its_refusal_of_us_is_not_the_clients_fault(self, stage: str, answer: bytes) -> None:
        async with proxy() as running:
            running.hop.answers |= {stage: answer, "HELO": answer}
            assert await conversation(running) == ["421 4.3.0 Temporary failure, please try again later"]

    @pytest.mark.parametrize("answer", [b"nonsense", b"250", b"2", b"\xff\xfe", b"", b"999 what", b"250-never ends"])
    @pytest.mark.parametrize("stage", STAGES)
    async def test_its_nonsense_is_no_250(self, stage: str, answer: bytes) -> None:
        async with proxy(next_hop=FAST) as running:
            running.hop.answers[stage] = answer
            replies = await conversation(running)
            if answer == b"250" and stage != "DATA":
                assert len(replies) == 5
            else:
                assert replies[-1].startswith(("451 4.3.0 ", "421 4.3.0 "))
            assert replies[-1].startswith("2") == bool(running.hop.accepted)


async def test_nobody_listens() -> None:
    async with proxy(hop=Sink(port=free_port())) as running:
        assert await conversation(running) == ["421 4.3.0 Temporary failure, please try again later"]


async def test_a_socket_file_that_is_not_there() -> None:
    async with proxy(next_hop={"address": "unix:/nonexistent/socket"}) as running:
        assert await conversation(running) == ["421 4.3.0 Temporary failure, please try again later"]


async def test_it_comes_back() -> None:
    async with proxy() as running:
        running.hop.answers["MESSAGE"] = None
        client = await running.client()
        assert (await client.message(b"one\r\n.\r\n")).startswith("451 ")
        del running.hop.answers["MESSAGE"]
        assert (await client.message(b"two\r\n.\r\n")).startswith("250 ")
        assert [message.raw for message in running.hop.accepted] == [b"two"]
        assert running.hop.connections == 2


async def test_it_reads_slowly() -> None:
    body = b"x" * 998 + b"\r\n"
    async with proxy() as running:
        client = await running.client()
        await client.envelope()
        await client.say("DATA")
        for _ in range(10_000):
            await client.send(body)
        await client.send(b".\r\n")
        assert (await client.reply()).startswith("250 ")
        assert running.hop.accepted[0].raw + b"\r\n" == body * 10_000


async def test_it_does_not_read_at_all() -> None:
    """The message is larger than every buffer on the way, so that the proxy has to wait in the middle of it."""
    release = asyncio.Event()

    async def deaf() -> bytes:
        running.hop.writers[-1].write(b"354 go\r\n")
        await release.wait()
        return b"451 late"

    async with proxy(next_hop=FAST) as running:
        running.hop.answers["DATA"] = deaf
        client = await running.client()
        await client.envelope()
        await client.say("DATA")
        for _ in range(40_000):
            await client.send(b"x" * 998 + b"\r\n")
        await client.send(b".\r\n")
        assert (await client.reply()).startswith("451 4.3.0 ")
        release.set()
        assert not running.hop.accepted


@pytest.mark.parametrize("answer", [b"552 5.3.4 too much", b"250 2.0.0 thanks, that will do"])
async def test_it_answers_in_the_middle_of_the_message(answer: bytes) -> None:
    """A refusal may come early and is passed on; an acceptance of half a message is none."""

    async def hasty() -> bytes:
        running.hop.writers[-1].write(b"354 go\r\n")
        await running.hop.readers[-1].readexactly(1)
        running.hop.writers[-1].write(answer + b"\r\n")
        await forever()
        return b""

    async with proxy(next_hop=FAST) as running:
        running.hop.answers["DATA"] = hasty
        client = await running.client()
        await client.envelope()
        await client.say("DATA")
        for _ in range(40_000):
            await client.send(b"x" * 998 + b"\r\n")
        await client.send(b".\r\n")
        assert (await client.reply()).startswith("552 " if answer.startswith(b"552") else "451 4.3.0 ")


async def test_it_is_killed_in_the_middle_of_the_message() -> None:
    async def killed() -> bytes:
        writer = running.hop.writers[-1]
        writer.write(b"354 go\r\n")
        await writer.drain()
        writer.transport.abort()
        return b"354 never"

    async with proxy() as running:
        running.hop.answers["DATA"] = killed
        client = await running.client()
        await client.envelope()
        await client.say("DATA")
        for _ in range(20_000):
            await client.send(b"x" * 998 + b"\r\n")
        await client.send(b".\r\n")
        assert await client.reply() == "451 4.3.0 Temporary failure, please try again later"
        assert not running.hop.accepted


async def test_the_log_and_the_metrics_tell_what_happened(tmp_path) -> None:
    from tests.dialogs.smtp_dialog import smtp_context

    context = smtp_context(log_to=str(tmp_path / "log"))
    async with proxy(context=context) as running:
        running.hop.answers["MESSAGE"] = None
        await conversation(running)
        running.hop.answers["MESSAGE"] = b"250 2.0.0 queued \x1b[31m as\t1"
        await conversation(running)
    assert context.log.flush()
    log = (tmp_path / "log").read_text()
    assert f"next hop: relay=127.0.0.1:{running.port}" not in log
    assert f"next hop: relay=127.0.0.1:{running.hop.port} stage=reply reason=" in log
    assert f"relay: relay=127.0.0.1:{running.hop.port}" in log
    assert "\x1b" not in log
    assert b'filterproxy_next_hop_errors_total{stage="reply"} 1.0' in context.metrics.render()
