"""A next hop that says anything at all, at any time: the connection ends with a reply or a NextHopError, in time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from filterproxy.config.next_hop import NextHop as NextHopConfig
from filterproxy.core.errors import NextHopError
from filterproxy.protocols.smtp.commands import Path as MailPath
from filterproxy.services.next_hop import NextHop

A = MailPath("a@example.org", b"a@example.org")
WORDS = (
    b"220 hop\r\n", b"250 ok\r\n", b"250-hop\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    b"334 \r\n", b"235 in\r\n", b"354 go\r\n", b"421 bye\r\n", b"451 later\r\n", b"550 never\r\n", b"\r\n",
    b"250", b"-", b"\0", b"\xff\xfe", b"250 " + b"x" * 5000 + b"\r\n", b"250-x\r\n" * 300,
    b"999 what\r\n", b"\x16\x03\x01\x02\x00",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
async def test_anything(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    (tmp_path / "secret").write_text("hunter2-hunter2")
    (tmp_path / "secret").chmod(0o600)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Half of the time it begins well, so that the later stages are reached too.
        writer.write(WORDS[0] if dice.random() < 0.7 else dice.choice(WORDS))
        try:
            while await reader.read(65_536):
                writer.write(b"".join(dice.choice(WORDS) for _ in range(dice.choice((0, 1, 1, 1, 1, 2)))))
                if dice.random() < 0.05:
                    break
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    short = {"connect_timeout": "100ms", "command_timeout": "100ms", "data_timeout": "100ms", "tls_timeout": "100ms"}
    settings = {"address": f"{dice.choice(('smtp', 'lmtp'))}://127.0.0.1:{port}", **short}
    if dice.random() < 0.5:
        settings |= {"username": "ann", "password_file": str(tmp_path / "secret"), "tls": "none"}
    else:
        settings |= {"tls": dice.choice(("none", "may", "encrypt"))}
    hop = NextHop(NextHopConfig.model_validate(settings), lambda: "mx.example.org")
    async with asyncio.timeout(10):
        for _ in range(5):
            try:
                made = await hop.connect()
                _, reply = await made.begin({"ADDR": "192.0.2.1"}, A)
                accepted = reply.positive and (await made.rcpt(A)).positive and (await made.data()).code == 354
                if accepted and await made.send((b"body\r\n",)) is None:
                    assert await made.sent_each()
                hop.release(made)
            except NextHopError as error:
                assert error.stage
                assert "hunter2" not in error.reason
    hop.close()
    server.close()
