"""How one SMTP session takes messages: DATA and BDAT to a spool, its verdict, and the next hop's answer.

The rule: the client has one answer for each message (LMTP: for each recipient), and whatever cannot be kept on the way
is 452 and was promised to nobody.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from filterproxy.core.reply import Reply
from filterproxy.core.session import Session
from filterproxy.listeners.smtp_relay import Outgoing, Relay
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.listeners.smtp_wire import SmtpWire
from filterproxy.listeners.spool import Spool
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.events import Chunk
from filterproxy.protocols.smtp.reading import ChunkReader
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.server import SmtpServer


class SmtpReception(SmtpWire):
    """The part of a session that messages pass through; a subclass brings the dialogue around it."""

    mail_session: Session
    _server: SmtpServer
    _relay: Relay

    def __init__(self, shared: SmtpShared, loop: asyncio.AbstractEventLoop, *, line_length: int) -> None:
        super().__init__(shared.config.limits, shared.context.site.hostname, loop, line_length=line_length)
        self._shared = shared
        self._context = shared.context
        self._spool: Spool | None = None
        self._chunks: ChunkReader | None = None

    async def _data(self) -> None:
        if not self._relay.alive:
            self.answer(replies.TEMPORARY_FAILURE)
            return
        self._relay.collecting()
        self.answer(replies.START_MAIL_INPUT)
        spool = self._new_spool()
        try:
            reader = await self.read_message(spool)
            await self._take(spool, too_large=reader.too_large)
        except OSError as error:
            self._cannot_keep(error)

    async def _chunk(self, chunk: Chunk) -> None:
        """Read a chunk whatever becomes of it: its octets are on their way already."""
        first = self._chunks is None
        if self._chunks is None:
            self._chunks = ChunkReader(self._shared.config.limits.message_size, self._new_spool())
        alive = self._relay.alive
        if chunk.refusal is not None or not alive:
            self._chunks.discard()
        elif first:
            self._relay.collecting()
        try:
            await self.read_chunk(self._chunks, chunk.size, first=first)
            if chunk.refusal is not None:
                self._forget_message()
                raise Refused(chunk.refusal)
            await self._chunk_taken(chunk, self._chunks, alive=alive)
        except OSError as error:
            self._cannot_keep(error)

    async def _chunk_taken(self, chunk: Chunk, reader: ChunkReader, *, alive: bool) -> None:
        if not alive:
            await self._drop()
            self.answer(replies.TEMPORARY_FAILURE)
        elif chunk.last:
            await self.flush()
            reader.finish()
            assert self._spool is not None
            await self._take(self._spool, too_large=reader.too_large)
        elif reader.too_large:
            refusal = self._relay.too_large()
            await self._drop()
            self.answer(refusal)
        else:
            self._server.chunk_taken()
            self.answer(Reply.of(250, "2.0.0", f"{chunk.size} octets received"))

    def _new_spool(self) -> Spool:
        self._forget_message()
        self._spool = self._shared.new_spool()
        return self._spool

    def _forget_message(self) -> None:
        self._chunks = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _cannot_keep(self, error: OSError) -> None:
        """Answer a message that we could not keep until the next hop has it: nothing was promised to anybody."""
        if isinstance(error, ConnectionError):
            raise error
        self._context.log.warning("spool", f"cannot keep a message: {error.strerror or error}")
        self._relay.abandon()
        self._forget_message()
        self._server.end_transaction()
        self.answer(replies.INSUFFICIENT_STORAGE)

    async def _take(self, spool: Spool, *, too_large: bool) -> None:
        """Judge and relay a complete message, and answer it."""
        # LMTP answers for each recipient (RFC 2033 section 4.2).
        replies_due = self._server.recipients if self._shared.lmtp else 1
        try:
            spool.finish()
            judged = self._relay.too_large() if too_large else await self._relay.judge(spool)
            reply = await self._message(judged)
        finally:
            self._server.end_transaction()
            self._forget_message()
        for number in range(replies_due):
            # A next hop that speaks LMTP too has answered for each.
            await self._relayed(self._relay.each[number] if len(self._relay.each) == replies_due else reply)
        # The client may be gone; its message has its answer all the same.
        with suppress(OSError):
            await self.flush()
        try:
            await self._relay.settle(reply)
        except Exception as error:  # noqa: BLE001 - the message is answered already, and stays so
            self._bug(error)

    async def _message(self, judged: Outgoing | Reply) -> Reply:
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

    async def _drop(self) -> None:
        self._forget_message()
        await self._relay.drop()
        self._server.end_transaction()

    async def _relayed(self, reply: Reply) -> None:
        """Pass on the next hop's reply; after its 421 the client expects us to close."""
        if reply.code == replies.CLOSING:
            self.hang_up(reply)
        else:
            self.answer(reply)

    def _bug(self, error: Exception) -> None:
        self._context.log.internal_error(f"smtp session {self.mail_session.id}", error)
        self._relay.abandon()
