"""One connection to a next hop: an asyncio shell around `protocols.smtp.client`.

The rule: whatever goes wrong on the way becomes a NextHopError; what the next hop answers is a Reply, nobody's error.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ParamSpec

from filterproxy.config.endpoints import Endpoint
from filterproxy.core.errors import NextHopError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.core.session import Tls
from filterproxy.protocols.smtp.client import SmtpClient, State
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.lines import in_chunks
from filterproxy.protocols.smtp.parameters import Parameter
from filterproxy.protocols.smtp.sasl import masked
from filterproxy.protocols.smtp.xforward import xclient_commands, xforward_commands
from filterproxy.services.alarm import Alarm

if TYPE_CHECKING:
    from filterproxy.services.next_hop.hop import Hop

P = ParamSpec("P")

Trace = Callable[[str, str], None]

_CHUNK = 256 * 1024
_HIDDEN = "(not shown)"


class NextHopConnection(asyncio.Protocol):
    """One connection. Its coroutines return the next hop's Reply and raise NextHopError; after that it is closed.

    `reused` tells that a transaction has ended on it: it may have been closed by the next hop while it waited.
    `clean` tells that nothing was refused on it: an MTA slows down and cuts sessions with many errors.
    `bound` tells that it speaks for one client (its AUTH or XCLIENT), and so for no other ever.
    `trace` hears the dialogue: `>`, `<` or `-` (ourselves) and a line. `secrets` are texts that are shown nowhere, not
    even when the server repeats them.

    Replies are queued as they come, so nothing is lost when the greeting is here before the connection's maker is.
    """

    def __init__(self, endpoint: Endpoint, trace: Trace | None = None) -> None:
        self.reused = False
        self.clean = True
        self.bound = False
        self.secrets: tuple[str, ...] = ()
        self.tls: Tls | None = None
        self.hop: Hop | None = None
        self.endpoint = endpoint
        self._config = endpoint.settings
        self._trace = trace
        self._hostname = ""
        self._client = SmtpClient(lmtp=endpoint.lmtp)
        self._transport: asyncio.Transport | None = None
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._broken = ""
        self._opened = 0.0
        self._writable = asyncio.Event()
        self._writable.set()
        self._alarm = Alarm(self._time_is_up)

    @property
    def extensions(self) -> Extensions:
        """Return what the next hop's EHLO offered."""
        return self._client.extensions

    @property
    def name(self) -> str:
        """Return the server's address, for the log."""
        return str(self.endpoint.address)

    @property
    def lmtp(self) -> bool:
        """Tell whether a message gets a reply for each recipient."""
        return self.endpoint.lmtp

    @property
    def authenticated(self) -> bool:
        """Tell whether AUTH has succeeded on it."""
        return self._client.authenticated

    @property
    def alive(self) -> bool:
        """Tell whether the connection can still be used, as far as we know."""
        return not self._broken and self._client.state is not State.CLOSED

    @property
    def ready(self) -> bool:
        """Tell whether a new transaction may begin."""
        return self.alive and self._client.idle and not self._replies

    @property
    def reusable(self) -> bool:
        """Tell whether another session may use the connection."""
        young = asyncio.get_running_loop().time() - self._opened < self._config.max_age
        return self.ready and self.clean and not self.bound and young

    @property
    def in_transaction(self) -> bool:
        """Tell whether the next hop holds a transaction that RSET would drop."""
        return self.alive and self._client.state is State.TRANSACTION

    async def hello(self, hostname: str) -> None:
        """Wait for the greeting and say EHLO, or HELO to a server without it; raise NextHopError when refused."""
        greeting = await self._reply("connect", self._config.command_timeout)
        if not greeting.positive:
            raise self._fail(f"refuses us: {greeting}", "connect")
        self._hostname = hostname
        await self.hello_again()

    async def hello_again(self, name: str = "") -> None:
        """Say EHLO once more, as before or as `name`: what was said does not count after STARTTLS and XCLIENT."""
        reply = await self._ask("ehlo", self._client.ehlo, name or self._hostname)
        if reply.code // 100 == 5 and not self.lmtp:
            reply = await self._ask("ehlo", self._client.helo, name or self._hostname)
        if not reply.positive:
            raise self._fail(f"refuses us: {reply}", "ehlo")

    async def starttls(self) -> Reply:
        """Ask for TLS; after a positive reply only `start_tls` may follow."""
        return await self._ask("tls", self._client.starttls)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands; raise OSError (ssl.SSLError) when TLS does not come about."""
        assert self._transport is not None
        transport = await asyncio.get_running_loop().start_tls(
            self._transport,
            self,
            context,
            server_hostname=server_name,
            ssl_handshake_timeout=self._config.tls_timeout,
            ssl_shutdown_timeout=self._config.quit_timeout,
        )
        if transport is None or self._broken:
            raise ConnectionResetError("the connection was closed")
        self._transport = transport
        self._client.tls_started()
        self.note_tls()

    def note_tls(self) -> None:
        """Remember which TLS the connection has, if any."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if tls is not None:
            self.tls = Tls(tls.version() or "", (tls.cipher() or ("",))[0])
            self._show("-", f"{self.tls.version} {self.tls.cipher}, certificate {self._certificate()}")

    async def auth(self, argument: bytes, *, own: bool = False) -> Reply:
        """Begin AUTH: a mechanism and its initial response; the reply may be a 334, which `auth_response` answers.

        Unless the credentials are the configured ones (`own`) the connection serves this client only from now on.
        """
        self.bound = self.bound or not own
        return await self._ask("auth", self._client.auth, argument)

    async def auth_response(self, line: bytes) -> Reply:
        """Answer a 334 with a line in base64, or with `*` to give up."""
        return await self._ask("auth", self._client.auth_response, line)

    async def xclient(self, attributes: Mapping[str, str]) -> Reply | None:
        """Speak for this client from now on, as far as the next hop takes it; return its refusal, None without.

        Attributes are XCLIENT's names with texts, empty for `[UNAVAILABLE]`. The connection serves no other client.
        """
        self.bound = True
        commands = xclient_commands(attributes, self.extensions.xclient)
        for command in commands:
            reply = await self._ask("ehlo", self._client.xclient, command)
            if not reply.positive:
                return reply
        if commands:
            # Postfix takes the client's name from here, whatever XCLIENT said.
            await self.hello_again(attributes.get("HELO", ""))
        return None

    async def begin(
        self, attributes: Mapping[str, str], path: Path, parameters: tuple[Parameter, ...] = ()
    ) -> tuple[Reply | None, Reply]:
        """Tell the real client as far as the next hop takes it and begin a transaction, in one go where it allows.

        Return its refusal of XFORWARD, None when there is none, and its reply to MAIL.
        """
        if not self.alive or "PIPELINING" not in self.extensions:
            refusal = await self.xforward(attributes)
            return refusal, await self.mail(path, parameters)
        commands = xforward_commands(attributes, self.extensions.xforward)
        octets = [self._client.xforward(command) for command in commands]
        self._say("mail", b"".join([*octets, self._client.mail(path, parameters)]))
        answers = [await self._reply("mail", self._config.command_timeout) for _ in range(len(commands) + 1)]
        return next((reply for reply in answers[:-1] if not reply.positive), None), answers[-1]

    async def xforward(self, attributes: Mapping[str, str]) -> Reply | None:
        """Tell the real client as far as the next hop takes it; return its refusal, None when there is none."""
        for command in xforward_commands(attributes, self.extensions.xforward):
            reply = await self._ask("mail", self._client.xforward, command)
            if not reply.positive:
                return reply
        return None

    async def mail(self, path: Path, parameters: tuple[Parameter, ...] = ()) -> Reply:
        """Begin a transaction."""
        return await self._ask("mail", self._client.mail, path, parameters)

    async def rcpt(self, path: Path, parameters: tuple[Parameter, ...] = ()) -> Reply:
        """Name a recipient."""
        return await self._ask("rcpt", self._client.rcpt, path, parameters)

    async def rcpts(self, rcpts: Sequence[tuple[Path, tuple[Parameter, ...]]]) -> list[Reply | NextHopError]:
        """Name several recipients in one go to a next hop that allows it; after an error the others have one too."""
        octets = [self._client.rcpt(path, parameters) for path, parameters in rcpts] if self.alive else []
        self._say("rcpt", b"".join(octets))
        outcomes: list[Reply | NextHopError] = []
        for _ in rcpts:
            try:
                outcomes.append(await self._reply("rcpt", self._config.command_timeout))
            except NextHopError as error:
                outcomes.append(error)
        return outcomes

    async def data(self) -> Reply:
        """Ask to send the message; 354 allows it."""
        return await self._ask("data", self._client.data)

    async def send(self, message: Iterable[bytes]) -> Reply | None:
        """Send the message after 354; return the refusal that came before its end, None when all is on its way."""
        if not self.alive:
            raise self._fail("closed the session", "data")
        total = 0
        for octets in in_chunks(self._client.message(message), _CHUNK):
            if self._replies:
                return self._early_reply()
            self._write(octets)
            total += len(octets)
            if not self._writable.is_set():
                await self._drain()
        self._show(">", f"(the message, {total} octets)")
        return None

    async def sent(self) -> Reply:
        """Return the reply to the message; on LMTP with several recipients that to the first: see `sent_each`."""
        reply = await self._reply("reply", self._config.data_timeout)
        self.reused = True
        return reply

    async def sent_each(self) -> list[Reply | NextHopError]:
        """Return what became of the message for each accepted recipient in turn; over SMTP that is one reply for all.

        A recipient whose reply did not come gets the error: whether it has the message is not known.
        """
        outcomes: list[Reply | NextHopError] = []
        for _ in range(self._client.recipients if self.lmtp else 1):
            try:
                outcomes.append(await self.sent())
            except NextHopError as error:
                outcomes.append(error)
        return outcomes

    async def reset(self) -> None:
        """Drop the transaction; raise NextHopError when the next hop does not agree."""
        reply = await self._ask("rset", self._client.rset)
        if not reply.positive:
            raise self._fail(f"refuses RSET: {reply}", "rset")
        self.reused = True

    async def leave(self) -> None:
        """Say QUIT and hear the answer, or why there is none."""
        try:
            await self._ask("quit", self._client.quit)
        except NextHopError as error:
            self._show("-", f"no answer to QUIT: {error.reason}")
        self.abort()

    def quit(self) -> None:
        """End the session without waiting: QUIT when the dialogue allows it, else the connection is just closed."""
        if not (self.alive and self._client.may_quit):
            self.abort()
            return
        self._say("quit", self._client.quit())
        self._alarm.set(self._config.quit_timeout)

    def rest(self) -> None:
        """Wait for the next session, not for long."""
        self._alarm.set(self._config.idle_timeout)

    def resume(self) -> None:
        """Serve again."""
        self._alarm.clear()

    def abort(self) -> None:
        """Close at once: an unfinished message stays unfinished."""
        self._broken = self._broken or "closed by us"
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = transport  # type: ignore[assignment]
        self._opened = asyncio.get_running_loop().time()
        if self._broken:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Queue the replies in the octets (asyncio)."""
        try:
            replies = self._client.receive(data)
        except RemoteProtocolError as error:
            self._break(error.reason)
            self.abort()
            return
        self._replies.extend(replies)
        if self._trace is not None:
            for reply in replies:
                self._show("<", str(reply))
        if self._client.state is State.TLS and self._transport is not None:
            # What comes next is the handshake.
            self._transport.pause_reading()
        if self._client.state is State.CLOSED and self._transport is not None:
            self._transport.close()
        if self._replies:
            self._wake()

    def eof_received(self) -> None:
        """Note that the next hop says no more (asyncio closes the connection)."""
        self._break("closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone (asyncio)."""
        self._break(f"connection lost: {exc}" if exc else "closed the connection")
        self._writable.set()
        self._alarm.close()

    def pause_writing(self) -> None:
        """Hold back: the next hop reads slower than we write (asyncio)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on writing (asyncio)."""
        self._writable.set()

    async def _ask(self, stage: str, command: Callable[P, bytes], *args: P.args, **kwargs: P.kwargs) -> Reply:
        """Send a command and return its reply, or the 421 that came before it."""
        if self.alive:
            self._say(stage, command(*args, **kwargs))
        elif not self._replies:
            raise self._fail(self._broken or "closed the session", stage)
        return await self._reply(stage, self._config.command_timeout)

    def _early_reply(self) -> Reply:
        """Return a refusal that came before the whole message was sent; a 2xx then is no promise."""
        reply = self._replies.popleft()
        error = self._fail(f"answered before the end of the message: {reply}", "data")
        if reply.positive:
            raise error
        return reply

    def _say(self, stage: str, octets: bytes) -> None:
        """Write command lines; what belongs to AUTH is not shown."""
        if self._trace is not None:
            lines = octets.decode("utf-8", "replace").splitlines()
            for line in lines:
                self._show(">", _without_secret(line) if stage == "auth" else line)
        self._write(octets)

    def _show(self, direction: str, text: str) -> None:
        if self._trace is not None:
            for line in masked(text, self.secrets).splitlines():
                self._trace(direction, line)

    def _certificate(self) -> str:
        """Return whom the server's certificate names; known only when it was checked."""
        certificate = self._transport.get_extra_info("peercert") if self._transport is not None else None
        if not certificate:
            return "not checked"
        names = ", ".join(value for _, value in certificate.get("subjectAltName", ()))
        return f"for {names} until {certificate.get('notAfter', '?')}, checked"

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._broken:
            self._transport.write(octets)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._config.command_timeout):
                await self._writable.wait()
        except TimeoutError:
            raise self._fail("does not read the message", "data") from None

    async def _reply(self, stage: str, timeout: float) -> Reply:
        """Return the oldest reply; one that came before the connection broke still counts."""
        if not self._replies and not self._broken:
            await self._wait(timeout)
        if not self._replies:
            raise self._fail(self._broken or f"no reply within {timeout:g} s", stage)
        reply = self._replies.popleft()
        self.clean = self.clean and reply.positive
        return reply

    async def _wait(self, timeout: float) -> None:
        """Wait for a reply, the end of the connection, or the time."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._alarm.set(timeout)
        try:
            await self._waiter
        finally:
            self._alarm.clear()
            self._waiter = None

    def _time_is_up(self) -> None:
        if self._waiter is not None:
            self._wake()
        elif self.ready:
            self.quit()
        else:
            self.abort()

    def _fail(self, reason: str, stage: str) -> NextHopError:
        self._break(reason)
        self.abort()
        return NextHopError(masked(reason, self.secrets), stage=stage)

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _without_secret(line: str) -> str:
    """Return an AUTH command with its mechanism only, and nothing of a response."""
    words = line.split(" ")
    return " ".join([*words[:2], _HIDDEN][: max(len(words), 2)]) if words[0] == "AUTH" else _HIDDEN
