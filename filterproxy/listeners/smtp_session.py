"""One SMTP session: events of `protocols.smtp.server` to the relay, and its replies back to the client.

The rule: every command gets exactly one reply, and an exception of ours is 451 and never the end of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from filterproxy.core.reply import Reply
from filterproxy.core.session import Client, Session
from filterproxy.listeners.session_id import new_session_id
from filterproxy.listeners.smtp_auth import AuthDialogue, offered_mechanisms
from filterproxy.listeners.smtp_reception import SmtpReception
from filterproxy.listeners.smtp_relay import Relay
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.listeners.smtp_wire import TimedOut
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.events import (
    Answered,
    Auth,
    Chunk,
    Data,
    Event,
    Forward,
    Hello,
    Introduce,
    Mail,
    Quit,
    Rcpt,
    Reset,
    StartTls,
)
from filterproxy.protocols.smtp.extensions import Extensions, Offer, announced
from filterproxy.protocols.smtp.lines import Line
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.server import MAX_AUTH_LINE, Permissions, SmtpServer

# Recipients that are named to the next hop at once.
_GROUP = 100


class SmtpSession(SmtpReception):
    """One client's connection."""

    def __init__(self, shared: SmtpShared, loop: asyncio.AbstractEventLoop) -> None:
        limits = shared.config.limits
        # AUTH alone may be longer (RFC 4954 section 4); the state machine refuses other commands that are.
        line_length = max(limits.command_length, MAX_AUTH_LINE) if shared.config.auth else limits.command_length
        super().__init__(shared, loop, line_length=line_length)
        self._errors = 0
        self._auth_failures = 0
        self._admitted = False
        self._network: str | None = None
        self._naming: asyncio.Task[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Name the session and see who is there (asyncio)."""
        client = _client(transport.get_extra_info("peername"))
        self.mail_session = Session(new_session_id(), self._shared.config.type)
        self._server = SmtpServer(
            Permissions(
                bare_newlines=self._shared.normalize_newlines,
                bounce_free=self._shared.after_queue,
                lmtp=self._shared.lmtp,
                line_length=self._shared.config.limits.command_length,
            )
        )
        self._relay = Relay(self._shared, self.mail_session)
        self._identify(client)
        self._admitted = self._shared.admit(self)
        super().connection_made(transport)
        self._handler_coroutine.add_done_callback(self._ended)

    def connection_lost(self, error: Exception | None) -> None:
        """Count the session out, unless it has something left to do (asyncio)."""
        super().connection_lost(error)
        if self._handler_coroutine.done():
            self._dismiss()

    async def converse(self) -> None:
        """Lead the session from greeting to end."""
        log, metrics, session = self._context.log, self._context.metrics, self.mail_session
        metrics.session_opened("smtp")
        try:
            if await self._open() and self._greet():
                await self._serve()
        except TimedOut:
            log.session_error(session.id, f"time-out in state {self._server.state.name.lower()}")
            self.hang_up(replies.TIMED_OUT)
        except ConnectionError as error:
            log.session_error(session.id, f"connection lost: {error}")
        finally:
            if not self._leaving:
                self.close()
            self._relay.close()
            self._forget_message()
            if self._naming is not None:
                self._naming.cancel()
            metrics.session_closed("smtp")

    def leave_if_idle(self) -> None:
        """Say 421 when nothing is under way (the listener drains)."""
        if self._idle and not self.leaving:
            self.hang_up(replies.SHUTTING_DOWN)
            self._handler_coroutine.cancel()

    def _ended(self, handler: asyncio.Task[None]) -> None:
        if not handler.cancelled() and (error := handler.exception()) is not None:
            self._context.log.internal_error(f"smtp session {self.mail_session.id}", error)
            self.abort()
        if self.transport is None:
            self._dismiss()

    def _dismiss(self) -> None:
        if self._admitted:
            self._shared.dismiss(self, self._network)
            self._admitted = False

    @property
    def _idle(self) -> bool:
        return self._input is not None and not self._server.in_transaction

    def _identify(self, client: Client) -> None:
        """Take note who the client is, and what it may do because of that."""
        site = self._context.site
        # A client on a unix socket has no address: the socket file's permissions say who it may be.
        trusted = not client.address or site.is_trusted(client.address)
        session = self.mail_session
        session.client, session.local = client, site.is_local(client.address)
        self._server.permissions.forwards = self._trusted = trusted
        self._relay.trusts_client = trusted

    async def _open(self) -> bool:
        """Do what comes before the greeting: limits, the PROXY header, TLS; tell whether the session goes on."""
        if not self._admitted:
            return await self._turn_away("too many connections")
        if self._shared.config.proxy_protocol and not await self._take_proxy_header():
            return False
        if not self._trusted:
            self._network = self._shared.admit_client(self.mail_session.client.address)
            if self._network is None:
                return await self._turn_away("too many connections of this client")
            # The MTA in front of us has logged its client already, and its own connection tells nobody anything.
            self._context.log.connect(self.mail_session.id, self._shared.config.type, self.mail_session.client.address)
        if self._shared.front:
            self._naming = self.loop.create_task(self._shared.name_of(self.mail_session.client.address))
        tls = self._shared.tls
        if tls is not None and tls.config.mode == "implicit":
            # Its first octets may have come with the PROXY header.
            await self._encrypt(self.take_pending())
        await self.greeting_pause()
        return True

    async def _turn_away(self, reason: str) -> bool:
        self._context.log.session_error(self.mail_session.id, reason)
        tls = self._shared.tls
        if tls is None or tls.config.mode != "implicit":
            self.answer(replies.TOO_MANY_CONNECTIONS)
            await self.flush()
        return False

    async def _take_proxy_header(self) -> bool:
        """Take the client's address from the PROXY header, which trusted hosts alone may send."""
        if not self._trusted:
            self._protocol_error("connects without the PROXY protocol, not being in trusted_networks")
            await self.greeting_pause()
            self.close()
            return False
        try:
            header = await self.read_proxy_header()
        except EOFError:
            return False
        if not header:
            self._protocol_error(f"no PROXY header: {header.error}")
            self.close()
            return False
        if header.src_addr is not None and not isinstance(header.src_addr, bytes | bytearray):
            self._identify(Client(str(header.src_addr), port=header.src_port))
        return True

    async def _encrypt(self, first: bytes = b"") -> None:
        tls = self._shared.tls
        assert tls is not None
        await self.start_tls(tls.context, tls.config.handshake_timeout, first)
        self.mail_session.tls = self.tls_facts()

    def _greet(self) -> bool:
        if self._shared.draining:
            self.hang_up(replies.SHUTTING_DOWN)
            return False
        if self.pending:
            self._protocol_error("talks before the greeting")
            self.hang_up(replies.UNAUTHORISED_PIPELINING)
            return False
        protocol = "LMTP" if self._shared.lmtp else "ESMTP"
        self.answer(Reply(220, (f"{self._context.site.hostname} {protocol}",)))
        return True

    async def _serve(self) -> None:
        while not self.leaving:
            await self._obey(await self.next_line())
            if self._shared.draining and not self._server.in_transaction and not self.leaving:
                self.hang_up(replies.SHUTTING_DOWN)

    async def _obey(self, line: Line) -> None:
        try:
            event = self._server.receive(line, more=self.pending)
            await self._handle(event)
        except Refused as refused:
            await self._refuse(refused)
        except (TimedOut, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug of ours must not become the sender's bounce
            self._bug(error)
            self.answer(replies.TEMPORARY_FAILURE)

    async def _handle(self, event: Event) -> None:
        match event:
            case Hello():
                await self._hello(event)
            case Forward():
                self._server.told(event)
                self.answer(replies.OK)
            case Introduce():
                await self._introduce(event.attributes)
            case StartTls():
                await self._start_tls()
            case Auth():
                await self._authenticate(event)
            case Mail():
                await self._mail(event)
            case Rcpt():
                await self._rcpt(event)
            case Data():
                await self._data()
            case Chunk():
                await self._chunk(event)
            case Reset():
                await self._reset()
            case Quit():
                await self._quit()
            case Answered(reply):
                self.answer(reply)
            case _:
                assert_never(event)

    async def _refuse(self, refused: Refused) -> None:
        self._errors += 1
        self._protocol_error(refused.reason)
        if refused.close:
            self.hang_up(refused.reply)
        elif self._errors >= self._shared.config.limits.errors:
            self.hang_up(replies.TOO_MANY_ERRORS)
        else:
            self.answer(refused.reply)

    async def _hello(self, hello: Hello) -> None:
        await self._drop()
        session = self.mail_session
        session.helo, session.protocol = hello.name, self._protocol_word(hello.extended)
        if self._naming is not None:
            session.client = replace(session.client, name=await self._naming)
            self._naming = None
        extensions = await self._relay.open()
        if extensions is None:
            self.hang_up(replies.UNAVAILABLE)
            return
        if self.pending:
            raise Refused(replies.UNAUTHORISED_PIPELINING, close=True)
        self._server.greeted(hello)
        keywords = announced(extensions, self._offer(extensions)) if hello.extended else ()
        self.answer(Reply(250, (self._context.site.hostname, *keywords)))

    def _offer(self, extensions: Extensions) -> Offer:
        """Return what this client may use now, and have the state machine know it."""
        config, permissions = self._shared.config, self._server.permissions
        permissions.tls = self._shared.tls is not None and self.encrypted is None
        permissions.mechanisms = (
            offered_mechanisms(self._shared, extensions, to_next_hop=self._relay.takes_secrets)
            if self.encrypted is not None
            else frozenset()
        )
        permissions.must_encrypt = permissions.tls and config.tls is not None and config.tls.required
        permissions.must_authenticate = config.auth is not None and config.auth.required
        # Behind a queue the MTA would bounce what exceeds our own limit, so it does not hear of it.
        size = 0 if self._shared.after_queue else config.limits.message_size
        return Offer(size=size, forwards=self._trusted, tls=permissions.tls, mechanisms=permissions.mechanisms)

    def _protocol_word(self, extended: bool) -> str:
        """Return how the mail comes, as RFC 3848 names it."""
        if not extended:
            return "SMTP"
        encrypted, proved = self.encrypted is not None, bool(self._server.user)
        return ("LMTP" if self._shared.lmtp else "ESMTP") + "S" * encrypted + "A" * proved

    async def _start_tls(self) -> None:
        await self._drop()
        self._relay.close()
        self.answer(replies.READY_FOR_TLS)
        self._server.begin_anew()
        self.mail_session.user = ""
        await self._encrypt()

    async def _introduce(self, attributes: Mapping[str, str]) -> None:
        """XCLIENT: from now on the client is another one, and what it may do is decided anew."""
        await self._drop()
        self._relay.close()
        self._server.begin_anew()
        session, before = self.mail_session, self.mail_session.client
        address = attributes.get("ADDR", before.address)
        port = attributes.get("PORT", "" if "ADDR" in attributes else str(before.port or ""))
        name = attributes.get("NAME", "" if "ADDR" in attributes else before.name)
        self._identify(Client(address, name, int(port) if port else None))
        session.helo = attributes.get("HELO", "")
        session.user = attributes.get("LOGIN", "")
        self._server.authenticated(session.user)
        self._greet()

    async def _authenticate(self, auth: Auth) -> None:
        dialogue = AuthDialogue(self._shared, self, self._relay)
        reply = await dialogue.run(auth)
        self._context.log.auth(
            self.mail_session.id,
            mechanism=auth.mechanism,
            user=dialogue.user,
            client=self.mail_session.client.address,
            reply=str(reply),
        )
        self._context.metrics.authenticated(ok=reply.code == replies.AUTHENTICATED.code)
        if reply.code == replies.AUTHENTICATED.code:
            # A name that a mechanism does not show is still somebody's.
            self._server.authenticated(dialogue.user or "unknown")
            self.mail_session.user = self._server.user
            self.mail_session.protocol = self._protocol_word(extended=True)
            if self._shared.passwords is not None:
                # The next hop hears of it with the next transaction, on a connection of its own.
                self._relay.close()
            await self._relayed(reply)
            return
        self._auth_failures += 1
        await asyncio.sleep(self._shared.config.limits.auth_delay)
        if self._auth_failures >= self._shared.config.limits.auth_failures:
            self.hang_up(replies.TOO_MANY_ERRORS)
        else:
            await self._relayed(reply)

    async def _mail(self, mail: Mail) -> None:
        reply = await self._relay.mail(mail, self._server.attributes)
        if reply.positive:
            self._server.mail_accepted()
        await self._relayed(reply)

    async def _rcpt(self, rcpt: Rcpt) -> None:
        group = self._recipients_after(rcpt)
        named = [item for item in group if isinstance(item, Rcpt)]
        answers = iter(await self._relay.rcpts(named) if len(named) > 1 else [await self._relay.rcpt(rcpt)])
        for item in group:
            if self.leaving:
                return
            if isinstance(item, Refused):
                await self._refuse(item)
                continue
            reply = next(answers)
            self._server.rcpt_answered(reply)
            await self._relayed(reply)

    def _recipients_after(self, rcpt: Rcpt) -> list[Rcpt | Refused]:
        """Return the recipient and those that the client has named already, as far as they may go in one group."""
        group: list[Rcpt | Refused] = [rcpt]
        while self._relay.groups_recipients and len(group) < _GROUP and (line := self.line_of(b"RCPT")) is not None:
            try:
                event = self._server.receive(line, more=self.pending)
            except Refused as refused:
                group.append(refused)
                continue
            assert isinstance(event, Rcpt)
            group.append(event)
        return group

    async def _reset(self) -> None:
        await self._drop()
        self.answer(replies.OK)

    async def _quit(self) -> None:
        self.answer(replies.BYE)
        await self.flush()
        self.close()

    def _protocol_error(self, reason: str) -> None:
        self._context.metrics.protocol_error("smtp")
        self._context.log.session_error(self.mail_session.id, reason)


def _client(peer: object) -> Client:
    """Return the client of a socket's peer name; a unix socket's has no address."""
    if not isinstance(peer, tuple):
        return Client()
    address = str(peer[0]).removeprefix("::ffff:") if "." in str(peer[0]) else str(peer[0])
    return Client(address.partition("%")[0], port=int(peer[1]))
