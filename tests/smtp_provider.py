"""A mail provider on loopback: TLS from the start or by STARTTLS, AUTH with a password or a token, then a next hop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

USER = "ann@example.org"
PASSWORD = "s3cret päss"


@dataclass
class Provider:
    """What it takes, and what it saw. A refused token gets its reason in a 334 first, as with Gmail.

    `group` is how many RCPT commands are read before the first is answered; `refused` are recipients' addresses.
    """

    context: ssl.SSLContext | None = None
    implicit: bool = False
    mechanisms: str = "PLAIN LOGIN XOAUTH2 OAUTHBEARER"
    starttls: bool = True
    keywords: tuple[str, ...] = ("PIPELINING", "8BITMIME")
    injected: bytes = b""
    starttls_reply: bytes = b"220 go ahead"
    closes_after_refusal: bool = False
    password: str = PASSWORD
    token: str = "good-token"
    lmtp: bool = False
    group: int = 1
    refused: tuple[str, ...] = ()
    replies: dict[str, bytes] = field(default_factory=dict)
    results: list[bytes] = field(default_factory=list)
    lines: list[tuple[bool, bytes]] = field(default_factory=list)
    messages: list[tuple[list[bytes], bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def commands(self) -> list[str]:
        return [line.decode("utf-8", "replace") for _, line in self.lines]

    @property
    def in_clear(self) -> list[str]:
        """Return what came outside of TLS."""
        return [line.decode("utf-8", "replace") for secure, line in self.lines if not secure]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _Talk(self, reader, writer).run()
        writer.close()


class _Talk:
    def __init__(self, provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.provider, self.reader, self.writer = provider, reader, writer
        self.secure = provider.implicit
        self.authenticated = False
        self.rcpts: list[bytes] = []
        self.owed: list[bytes] = []

    async def run(self) -> None:
        await self.say(self.provider.replies.get("GREETING", b"220 smtp.provider.example ESMTP"))
        while line := (await self.reader.readline()).rstrip(b"\r\n"):
            if line.startswith(b"\x16\x03"):
                return  # somebody tries whether TLS begins here
            self.provider.lines.append((self.secure, line))
            verb = line.split(b" ")[0].split(b":")[0].upper().decode("latin-1")
            if verb in self.provider.replies:
                await self.say(self.provider.replies[verb])
            elif not await self.obey(verb, line):
                return

    async def obey(self, verb: str, line: bytes) -> bool:
        match verb:
            case "EHLO" | "LHLO":
                await self.hello(verb)
            case "STARTTLS":
                await self.start_tls()
            case "AUTH":
                return await self.auth(line.split(b" ")[1:])
            case "QUIT":
                await self.say(b"221 bye")
                return False
            case "MAIL" if self.provider.mechanisms and not self.authenticated:
                await self.say(b"530 5.7.0 Authentication Required")
            case "RCPT":
                await self.rcpt(line)
            case "DATA":
                await self.message()
            case _:
                await self.say(b"250 2.0.0 ok")
        return True

    async def rcpt(self, line: bytes) -> None:
        known = not any(f"<{name}>".encode() in line for name in self.provider.refused)
        self.rcpts += [line] if known else []
        self.owed.append(b"250 2.1.5 ok" if known else b"550 5.1.1 nobody")
        if len(self.owed) >= self.provider.group:
            await self.say(b"\r\n".join(self.owed))
            self.owed.clear()

    async def hello(self, verb: str) -> None:
        if (verb == "LHLO") != self.provider.lmtp:
            await self.say(b"500 5.5.1 wrong hello")
            return
        words = [*self.provider.keywords]
        if self.provider.context and self.provider.starttls and not self.secure:
            words.append("STARTTLS")
        if self.provider.mechanisms and (self.secure or not self.provider.context):
            words.append(f"AUTH {self.provider.mechanisms}")
        lines = ["smtp.provider.example", *words]
        text = "\r\n".join(f"250{'-' if n < len(lines) else ' '}{word}" for n, word in enumerate(lines, 1))
        await self.say(text.encode())

    async def start_tls(self) -> None:
        await self.say(
            self.provider.starttls_reply + (b"\r\n" + self.provider.injected if self.provider.injected else b"")
        )
        if self.provider.starttls_reply.startswith(b"2"):
            assert self.provider.context is not None
            await self.writer.start_tls(self.provider.context)
            self.secure = True

    async def auth(self, words: list[bytes]) -> bool:
        mechanism, given = words[0].decode().upper(), words[1:]
        if mechanism == "LOGIN":
            user, secret = await self.ask(b"VXNlcm5hbWU6"), await self.ask(b"UGFzc3dvcmQ6")
            good = (user, secret) == (USER.encode(), self.provider.password.encode())
        else:
            octets = base64.b64decode(given[0])
            good = octets in self.good(mechanism)
            if not good and "OAUTH" in mechanism:
                await self.ask(base64.b64encode(b'{"status":"401","schemes":"bearer"}'))
        self.authenticated = good
        # What a careless server would do: repeat what it was given.
        await self.say(b"235 2.7.0 Accepted" if good else b"535 5.7.8 not accepted: " + b" ".join(given))
        return good or not self.provider.closes_after_refusal

    def good(self, mechanism: str) -> list[bytes]:
        user, token = USER.encode(), self.provider.token.encode()
        if mechanism == "PLAIN":
            return [b"\0" + user + b"\0" + self.provider.password.encode()]
        if mechanism == "XOAUTH2":
            return [b"user=" + user + b"\1auth=Bearer " + token + b"\1\1"]
        where = f"host=localhost\1port={self.provider.port}\1".encode()
        return [b"n,a=" + user + b",\1" + where + b"auth=Bearer " + token + b"\1\1"]

    async def ask(self, challenge: bytes) -> bytes:
        await self.say(b"334 " + challenge)
        return base64.b64decode((await self.reader.readline()).strip())

    async def message(self) -> None:
        await self.say(b"354 go")
        raw = await self.reader.readuntil(b"\r\n.\r\n")
        rcpts, self.rcpts = self.rcpts, []
        count = len(rcpts) if self.provider.lmtp else 1
        results = [*self.provider.results, *[b"250 2.0.0 queued as 1"] * count][:count]
        taken = [rcpt for number, rcpt in enumerate(rcpts) if results[number if self.provider.lmtp else 0][:1] == b"2"]
        if taken:
            self.provider.messages.append((taken, raw[:-3]))
        await self.say(b"\r\n".join(results))

    async def say(self, reply: bytes) -> None:
        self.writer.write(reply + b"\r\n")
        await self.writer.drain()


@dataclass
class Authority:
    """A certificate authority for a test."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def file(self) -> str:
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)

    def context(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
        return context


@contextlib.asynccontextmanager
async def provider(**options: object) -> AsyncIterator[Provider]:
    """Run a provider on a port of its own."""
    made = Provider(**options)  # type: ignore[arg-type]
    server = await asyncio.start_server(
        made.serve, "127.0.0.1", 0, limit=1 << 24, ssl=made.context if made.implicit else None
    )
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
