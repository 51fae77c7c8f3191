"""SMTP smuggling: whatever ends a message for a sloppy server, one transaction here is at most one message there."""

from __future__ import annotations

import itertools

import pytest

from filterproxy.protocols.smtp.blemishes import has_bare_newlines
from tests.dialogs.smtp_peers import Client, proxy, sink

_ENDS = [b"\n", b"\r", b"\r\n", b"\0\n", b"\r\0\n", b"\n\r", b"\r\r\n"]
_TRIED = {
    before + dot + after for before, after in itertools.product(_ENDS, _ENDS) for dot in (b".", b"\0.", b".\0", b" .")
}
VARIANTS = sorted(variant for variant in _TRIED if b"\r\n.\r\n" not in variant)
# The same octets where a body may not even have begun.
SMUGGLED = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"


@pytest.mark.parametrize("settings", [{}, {"bare_newlines": "normalize"}, {"mode": "after_queue"}], ids=str)
async def test_every_variant_of_the_end_of_data(settings: dict[str, str]) -> None:
    async with sink(sloppy=True) as hop, proxy(hop=hop, **settings) as running:
        client = await running.client()
        for variant in VARIANTS:
            before = len(hop.accepted)
            reply = await client.message(b"Subject: a\r\n\r\nbody" + variant + SMUGGLED + b".\r\n")
            new = hop.accepted[before:]
            if reply.startswith("5"):
                assert not new, variant
            else:
                assert reply.startswith("250"), (variant, reply)
                assert len(new) == 1, variant
                assert new[0].mail == b"MAIL FROM:<a@example.org>", variant
                assert not has_bare_newlines(new[0].raw.replace(b"\0", b"")), variant
        assert not any(b"evil" in command for command in hop.commands)
        assert (await client.say("QUIT")).startswith("221")


@pytest.mark.parametrize("variant", VARIANTS, ids=repr)
async def test_a_variant_at_the_very_beginning(variant: bytes) -> None:
    async with sink(sloppy=True) as hop, proxy(hop=hop, bare_newlines="normalize") as running:
        client = await running.client()
        await client.message(variant.lstrip(b"\r\n") + SMUGGLED + b".\r\n")
        assert len(hop.accepted) <= 1
        assert not any(b"evil" in command for command in hop.commands)


async def test_the_pieces_do_not_matter() -> None:
    octets = b"a\r\n.\rb\r\n.\nc\n.\r\nd\r.\r\n" + SMUGGLED + b".\r\n"
    async with sink(sloppy=True) as hop, proxy(hop=hop, bare_newlines="normalize") as running:
        client = await running.client()
        await client.envelope()
        assert (await client.say("DATA")).startswith("354")
        for octet in octets:
            await client.send(bytes((octet,)))
        assert (await client.reply()).startswith("250")
        assert len(hop.accepted) == 1


async def test_what_follows_the_real_end_is_the_next_command() -> None:
    async with proxy() as running:
        client = await running.client()
        assert (await client.message(b"a\r\n.\r\n.\r\nNOOP\r\n")).startswith("250")
        assert (await client.reply()).startswith("500 ")
        assert (await client.reply()).startswith("250 ")
        assert [message.raw for message in running.hop.accepted] == [b"a"]


@pytest.mark.parametrize(
    "line",
    [
        b"EHLO a\rMAIL FROM:<evil@example.org>",
        b"EHLO a\0b",
        b"MAIL FROM:<a@example.org>\nRCPT TO:<evil@example.org>",
        b'MAIL FROM:<"a\r\nRCPT TO:<evil@example.org>"@example.org>',
        b"MAIL FROM:<a@example.org> ENVID=x\rRCPT",
        b"MAIL FROM:<a@example.org> ENVID=x\0",
        b"XFORWARD HELO=a+0D+0ARCPT+20TO:<evil@example.org>",
        b"XFORWARD HELO=a\rb",
        b"VRFY a\rb",
    ],
)
async def test_no_octets_of_a_command_become_a_command(line: bytes) -> None:
    async with sink(sloppy=True, keywords=(b"XFORWARD NAME ADDR HELO", b"DSN")) as hop, proxy(hop=hop) as running:
        client = await running.client()
        await client.send(line + b"\r\nNOOP\r\n")
        for _ in range(line.count(b"\n") + 2):
            assert (await client.reply())[:1] in "25"
        await client.say("MAIL FROM:<a@example.org>")
        await client.say("QUIT")
        assert not any(b"evil" in command for command in hop.commands if not command.startswith(b"XFORWARD"))
        assert all(command.split(b" ")[0] in (b"EHLO", b"XFORWARD", b"MAIL", b"QUIT") for command in hop.commands)


async def test_a_pretended_client() -> None:
    async with proxy() as running:
        client = await Client.connect(running.port)
        await client.hello()
        assert (await client.say(b"EHLO evil\x1b[2J")).startswith("501 ")
        assert (await client.say("EHLO " + "x" * 300)).startswith("501 ")
        assert (await client.say("EHLO good.example")).startswith("250")
