"""One SMTP session: events of `protocols.smtp.server` to the relay, and its replies back to the client.

The rule: every command gets exactly one reply, and an exception of ours is 451 and never the end of the session.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

from filterproxy.core.reply import Reply
from filterproxy.core.session import Client, Session
from filterproxy.listeners.session_id import new_session_id
from filterproxy.listeners.smtp_relay import Relay
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.listeners.smtp_wire import SmtpWire, TimedOut
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.extensions import announced
from filterproxy.protocols.smtp.lines import Line
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.server import (
    Answered,
    Data,
    Event,
    Forward,
    Hello,
    Mail,
    Quit,
    Rcpt,
    Reset,
    SmtpServer,
    State,
)


class SmtpSession(SmtpWire):
    """One client's connection."""

    def __init__(self, shared: SmtpShared, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(shared.config.limits, shared.context.site.hostname, loop)
        self._shared = shared
        self._context = shared.context
        self._errors = 0
        self._admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Name the session and see who is there (asyncio)."""
        client = _client(transport.get_extra_info("peername"))
        site = self._context.site
        # A client on a unix socket has no address: the socket file's permissions say who it may be.
        trusted = not client.address or site.is_trusted(client.address)
        self.mail_session = Session(new_session_id(), "smtp", client, local=site.is_local(client.address))
        self._relay = Relay(self._shared, self.mail_session, trusted=trusted)
        self._server = SmtpServer(
            forwards=trusted,
            bare_newlines=self._shared.normalize_newlines,
            bounce_free=self._shared.after_queue,
        )
        self._trusted = trusted
        self._admitted = self._shared.admit(self, client.address, trusted=trusted)
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
        if not self._trusted:
            # The MTA in front of us has logged its client already, and its own connection tells nobody anything.
            log.connect(session.id, "smtp", session.client.address)
        try:
            if await self._greet():
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
            self._shared.dismiss(self, self.mail_session.client.address)

    @property
    def _idle(self) -> bool:
        return self._input is not None and self._server.state is not State.TRANSACTION

    async def _greet(self) -> bool:
        if self._shared.draining:
            self.hang_up(replies.SHUTTING_DOWN)
            return False
        if not self._admitted:
            self._context.log.session_error(self.mail_session.id, "too many connections")
            self.answer(replies.TOO_MANY_CONNECTIONS)
            await self.flush()
            return False
        await self.greeting_pause()
        if self.pending:
            self._protocol_error("talks before the greeting")
            self.hang_up(replies.UNAUTHORISED_PIPELINING)
            return False
        self.answer(Reply(220, (f"{self._context.site.hostname} ESMTP",)))
        return True

    async def _serve(self) -> None:
        while not self.leaving:
            await self._obey(await self.next_line())
            if self._shared.draining and self._server.state is not State.TRANSACTION and not self.leaving:
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
            case Mail():
                await self._mail(event)
            case Rcpt():
                await self._rcpt(event)
            case Data():
                await self._data()
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
        await self._relay.drop()
        session = self.mail_session
        session.helo, session.protocol = hello.name, "ESMTP" if hello.extended else "SMTP"
        extensions = await self._relay.open()
        if extensions is None:
            self.hang_up(replies.UNAVAILABLE)
            return
        if self.pending:
            raise Refused(replies.UNAUTHORISED_PIPELINING, close=True)
        self._server.greeted(hello)
        keywords: tuple[str, ...] = ()
        if hello.extended:
            # Behind a queue the MTA would bounce what exceeds our own limit, so it does not hear of it.
            size = 0 if self._shared.after_queue else self._shared.config.limits.message_size
            keywords = announced(extensions, size=size, xforward=self._trusted)
        self.answer(Reply(250, (self._context.site.hostname, *keywords)))

    async def _mail(self, mail: Mail) -> None:
        reply = await self._relay.mail(mail, self._server.attributes)
        if reply.positive:
            self._server.mail_accepted()
        await self._relayed(reply)

    async def _rcpt(self, rcpt: Rcpt) -> None:
        reply = await self._relay.rcpt(rcpt)
        self._server.rcpt_answered(reply)
        await self._relayed(reply)

    async def _data(self) -> None:
        if not self._relay.alive:
            self.answer(replies.TEMPORARY_FAILURE)
            return
        self._relay.collecting()
        self.answer(replies.START_MAIL_INPUT)
        message = await self.read_message(None if self._shared.after_queue else self._shared.config.limits.line_length)
        try:
            reply = await self._message(await self._relay.judge(message))
        finally:
            self._server.end_transaction()
        await self._relayed(reply)
        await self.flush()
        try:
            await self._relay.settle(reply)
        except Exception as error:  # noqa: BLE001 - the message is answered already, and stays so
            self._bug(error)

    async def _message(self, judged: bytes | Reply) -> Reply:
        """Relay the message; from its last octet on, a client that leaves changes nothing any more."""
        if isinstance(judged, Reply):
            return judged
        stopped = await self._relay.send(judged)
        if stopped is not None:
            return stopped
        self.committed = True
        try:
            return await self._relay.sent()
        finally:
            self.committed = False

    async def _reset(self) -> None:
        await self._relay.drop()
        self._server.end_transaction()
        self.answer(replies.OK)

    async def _quit(self) -> None:
        self.answer(replies.BYE)
        await self.flush()
        self.close()

    async def _relayed(self, reply: Reply) -> None:
        """Pass on the next hop's reply; after its 421 the client expects us to close."""
        if reply.code == replies.CLOSING:
            self.hang_up(reply)
        else:
            self.answer(reply)

    def _bug(self, error: Exception) -> None:
        self._context.log.internal_error(f"smtp session {self.mail_session.id}", error)
        self._relay.abandon()

    def _protocol_error(self, reason: str) -> None:
        self._context.metrics.protocol_error("smtp")
        self._context.log.session_error(self.mail_session.id, reason)


def _client(peer: object) -> Client:
    """Return the client of a socket's peer name; a unix socket's has no address."""
    if not isinstance(peer, tuple):
        return Client()
    address = str(peer[0]).removeprefix("::ffff:") if "." in str(peer[0]) else str(peer[0])
    return Client(address.partition("%")[0], port=int(peer[1]))
