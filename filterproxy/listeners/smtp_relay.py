"""One session's way to the next hop: the connection, the transaction on it and its scan, side by side.

The rule: the client hears 250 for a message only after the next hop's 250, and whatever fails on the way is 451.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from filterproxy.core.action import Action
from filterproxy.core.check import Stage
from filterproxy.core.envelope import Envelope, Recipient, domain_of
from filterproxy.core.errors import NextHopError
from filterproxy.core.reply import Reply
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.relaying import in_domains
from filterproxy.listeners.smtp_link import NextHopLink
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.listeners.spool import Spool
from filterproxy.observability.maillog import MailLog
from filterproxy.pipeline import Scan, Verdict
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.blemishes import Blemishes
from filterproxy.protocols.smtp.events import Mail, Rcpt
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.hops import hop_count
from filterproxy.protocols.smtp.parameters import Parameter, value_of
from filterproxy.services.next_hop import NextHopConnection


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to the next hop: its beginning as it was judged and edited, and what follows."""

    head: bytes
    rest: Iterator[bytes]

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.rest


class Relay:
    """The next hop's side of one session. Its coroutines return the reply for the client and raise no NextHopError."""

    def __init__(self, shared: SmtpShared, session: Session) -> None:
        self._shared = shared
        self._session = session
        self.trusts_client = False
        self.each: list[Reply] = []
        self._link = NextHopLink(shared, session)
        self._mail_waiting: tuple[Mail, Mapping[str, str]] | None = None
        self._transaction: Transaction | None = None
        self._scan: Scan | None = None
        self._verdict: Verdict | None = None

    @property
    def alive(self) -> bool:
        """Tell whether the transaction and its connection are still there."""
        return self._transaction is not None and self._connection is not None and self._connection.alive

    @property
    def takes_secrets(self) -> bool:
        """Tell whether a client's password may be passed on to the next hop."""
        return self._link.takes_secrets

    async def open(self) -> Extensions | None:
        """Return what the next hop offers, None when it cannot be reached."""
        try:
            return (await self._link.connect()).extensions
        except NextHopError as error:
            self._failed(error)
            return None

    async def auth(self, argument: bytes) -> Reply:
        """Return the next hop's answer to AUTH."""
        try:
            return await self._link.auth(argument)
        except NextHopError as error:
            self._failed(error)
            return replies.AUTH_UNAVAILABLE

    async def auth_response(self, line: bytes) -> Reply:
        """Return the next hop's answer to a response."""
        try:
            return await self._link.auth_response(line)
        except NextHopError as error:
            self._failed(error)
            return replies.AUTH_UNAVAILABLE

    async def mail(self, mail: Mail, attributes: Mapping[str, str]) -> Reply:
        """Begin a transaction at the next hop; when it agrees, begin the scan too."""
        if int(value_of(mail.parameters, "SIZE") or 0) > self._shared.config.limits.message_size:
            return self._refuse(replies.TOO_LARGE)
        if self._shared.next_hop.routed:
            # Where it goes is known with the first recipient.
            self._mail_waiting = mail, attributes
            reply = replies.OK
        else:
            reply = await self._begin(mail, attributes)
        if reply.positive:
            self._begin_scan(mail, attributes)
        return reply

    async def rcpt(self, rcpt: Rcpt) -> Reply:
        """Name a recipient to the next hop; when it agrees, to the scan too."""
        if self._transaction is None:
            return replies.TEMPORARY_FAILURE
        refusal = await self._take_route(rcpt) or self._rcpt_refusal(self._transaction, rcpt)
        if refusal is not None:
            return refusal
        if self._connection is None:
            return replies.TEMPORARY_FAILURE
        try:
            reply = await self._connection.rcpt(rcpt.path, rcpt.parameters)
        except NextHopError as error:
            return self._failed(error)
        if reply.positive:
            self._transaction.envelope.recipients.append(Recipient(rcpt.path.address, _texts(rcpt.parameters)))
        return reply

    @property
    def groups_recipients(self) -> bool:
        """Tell whether several recipients may be named to the next hop at once (RFC 2920)."""
        connection = self._connection
        if self._transaction is None or self._mail_waiting is not None or connection is None:
            return False
        return connection.alive and not connection.lmtp and "PIPELINING" in connection.extensions

    async def rcpts(self, rcpts: Sequence[Rcpt]) -> list[Reply]:
        """Name several recipients in one go: to be asked for `groups_recipients` first."""
        transaction, connection = self._transaction, self._connection
        assert transaction is not None and connection is not None
        refusals = [self._rcpt_refusal(transaction, rcpt) for rcpt in rcpts]
        asked = [number for number, refusal in enumerate(refusals) if refusal is None]
        room = self._shared.config.limits.recipients - len(transaction.envelope.recipients)
        named = [(rcpts[number].path, rcpts[number].parameters) for number in asked[:room]]
        outcomes = dict(zip(asked, await connection.rcpts(named), strict=False))
        failure = next((outcome for outcome in outcomes.values() if isinstance(outcome, NextHopError)), None)
        if failure is not None:
            self._failed(failure)
        return [refusal or self._rcpt_answer(rcpts[n], outcomes.get(n)) for n, refusal in enumerate(refusals)]

    def _rcpt_answer(self, rcpt: Rcpt, outcome: Reply | NextHopError | None) -> Reply:
        """Return the answer for one recipient of a group; None stands for one that there was no room for."""
        if outcome is None:
            return replies.TOO_MANY_RECIPIENTS
        if isinstance(outcome, NextHopError):
            return replies.TEMPORARY_FAILURE
        if outcome.positive and self._transaction is not None:
            self._transaction.envelope.recipients.append(Recipient(rcpt.path.address, _texts(rcpt.parameters)))
        return outcome

    def _rcpt_refusal(self, transaction: Transaction, rcpt: Rcpt) -> Reply | None:
        """Return why we do not even ask the next hop for a recipient."""
        connection, accepted = self._connection, transaction.envelope.recipients
        if not self._may_relay(rcpt.path.address):
            return self._refuse(replies.RELAY_DENIED)
        if len(accepted) >= self._shared.config.limits.recipients:
            return replies.TOO_MANY_RECIPIENTS
        if connection is not None and connection.lmtp and accepted and not self._shared.lmtp:
            # LMTP answers for each recipient and SMTP once for all: what differs could not be told without losing
            # or doubling mail. The client sends again to those that got 452 (RFC 5321 section 4.5.3.1.10).
            return replies.ONE_RECIPIENT
        if connection is not None and not (rcpt.path.is_ascii or "SMTPUTF8" in connection.extensions):
            return self._own(replies.NO_INTERNATIONAL_ADDRESSES)
        return None

    async def _take_route(self, rcpt: Rcpt) -> Reply | None:
        """Begin the transaction where this recipient's mail goes; return the refusal, None when it is begun there."""
        if self._mail_waiting is None or self._transaction is None:
            return None
        next_hop = self._shared.next_hop.route(domain_of(rcpt.path.address))
        begun = self._connection is not None and self._connection.in_transaction
        if begun and next_hop is self._link.next_hop:
            return None
        if self._transaction.envelope.recipients:
            return replies.ANOTHER_NEXT_HOP
        if begun or next_hop is not self._link.next_hop:
            self._link.leave()
        self._link.next_hop = next_hop
        reply = await self._begin(*self._mail_waiting)
        return None if reply.positive else reply

    def too_large(self) -> Reply:
        """Return the refusal of a message of too many octets."""
        return self._refuse(replies.TOO_LARGE)

    def collecting(self) -> None:
        """All recipients are known: the message comes now."""
        assert self._scan is not None
        self._scan.reached(Stage.RCPT)

    async def judge(self, spool: Spool) -> Outgoing | Reply:
        """Return the message to relay, or the reply that ends the transaction without it."""
        assert self._scan is not None
        head = _beginning(spool, self._scan.wants)
        refusal = self._refusal(spool.blemishes) or self._loop(head)
        if refusal is not None:
            return self._refuse(refusal)
        verdict = self._verdict = await self._scan.finish(head, spool.size)
        if verdict.action is Action.DISCARD:
            return replies.OK
        if verdict.reply is not None:
            return self._own(verdict.reply)
        return Outgoing(verdict.edits.apply(head), spool.tail(len(head)))

    async def send(self, message: Outgoing) -> Reply | None:
        """Send the message; return the reply that stopped it, None when it is complete and awaits `sent`."""
        assert self._connection is not None
        try:
            reply = await self._connection.data()
            return (await self._connection.send(message)) if reply.code == 354 else reply
        except NextHopError as error:
            return self._failed(error)

    async def sent(self) -> Reply:
        """Return the reply to the message, the worst when a next hop that speaks LMTP gives several: see `each`."""
        assert self._connection is not None and self._transaction is not None
        started = self._shared.context.clock.monotonic()
        outcomes = await self._connection.sent_each()
        self.each = [self._failed(outcome) if isinstance(outcome, NextHopError) else outcome for outcome in outcomes]
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                self._log.relay(
                    self._session.id,
                    next_hop=self._connection.name,
                    reply=_one_line(outcome),
                    queue_id=self._transaction.queue_id,
                    seconds=self._shared.context.clock.monotonic() - started,
                )
        return next((reply for reply in self.each if not reply.positive), self.each[0])

    async def settle(self, reply: Reply) -> None:
        """Record the message that was answered so, and leave the next hop ready for the next."""
        if self._scan is not None and self._verdict is not None:
            self._scan.record(self._verdict, _one_line(reply))
            self._scan = None
        await self.drop()

    async def drop(self) -> None:
        """Forget the transaction, here and at the next hop."""
        self._forget()
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            await connection.reset()
        except NextHopError as error:
            self._failed(error)

    def abandon(self) -> None:
        """Forget the transaction and close the connection at once: an unfinished message is never delivered."""
        self._forget()
        self._link.abort()

    def close(self) -> None:
        """End the session with the next hop."""
        self._forget()
        self._link.leave()

    @property
    def _connection(self) -> NextHopConnection | None:
        return self._link.connection

    def _may_relay(self, address: str) -> bool:
        """Tell whether the client may send mail to an address, or somebody else decides that who knows the client.

        That is an MTA in front of us, or a next hop that XCLIENT has told.
        """
        session = self._session
        if session.user or session.local or self._link.introduced:
            return True
        if self.trusts_client and not self._shared.front:
            return True
        return in_domains(address, self._shared.context.site.relay_domains)

    async def _begin(self, mail: Mail, attributes: Mapping[str, str]) -> Reply:
        """Begin the transaction at the next hop, at another of its servers if one fails; return the reply to MAIL."""
        try:
            connection = await self._link.connect()
            for _ in self._link.next_hop.hops:
                reply = await self._try_mail(connection, mail, attributes)
                if reply is not None:
                    return reply
                connection = await self._link.open()
            return await self._mail(connection, mail, attributes)
        except NextHopError as error:
            failed = self._failed(error)
            # On a new connection the client could authenticate again; on this one it never gets any further.
            return replies.UNAVAILABLE if self._link.lost else failed

    async def _try_mail(self, connection: NextHopConnection, mail: Mail, attributes: Mapping[str, str]) -> Reply | None:
        """Return the reply to MAIL; None when the connection does not do and a new one may: nothing is lost yet."""
        failure = None
        try:
            reply = await self._mail(connection, mail, attributes)
            if reply.code != replies.CLOSING:
                return reply
        except NextHopError as error:
            failure, reply = error, replies.UNAVAILABLE
        # A connection that waited for work, or did much, may be closed by the next hop as we use it: no failure yet.
        if connection.reused or self._link.next_hop.failed(connection):
            return None
        if failure is not None:
            raise failure
        return reply

    async def _mail(self, connection: NextHopConnection, mail: Mail, attributes: Mapping[str, str]) -> Reply:
        if not (mail.path.is_ascii or "SMTPUTF8" in connection.extensions):
            return self._own(replies.NO_INTERNATIONAL_ADDRESSES)
        refusal, reply = await connection.begin(self._forwarded(attributes), mail.path, mail.parameters)
        if refusal is not None:
            self._log.warning("next hop", f"{connection.name} refuses XFORWARD: {_one_line(refusal)}")
        return reply

    def _forwarded(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        """Return what the next hop is told of the client: what we were told, or what we see of a stranger."""
        if attributes or self.trusts_client:
            return attributes
        client = self._session.client
        return {
            "NAME": "",
            "ADDR": client.address,
            "PORT": str(client.port or ""),
            "PROTO": self._session.protocol,
            "HELO": self._session.helo,
            "SOURCE": "REMOTE",
        }

    def _begin_scan(self, mail: Mail, attributes: Mapping[str, str]) -> None:
        transaction = self._transaction = self._new_transaction(attributes)
        transaction.envelope = Envelope(mail.path.address, _texts(mail.parameters))
        self._verdict = None
        self._scan = self._shared.pipelines().begin(transaction, self._shared.delivery)
        self._scan.reached(Stage.MAIL)

    def _new_transaction(self, attributes: Mapping[str, str]) -> Transaction:
        """Return a transaction of the session's client, or of the one XFORWARD told."""
        if not attributes:
            return Transaction.begin(self._session)
        client, address = self._session.client, attributes.get("ADDR")
        if address is not None:
            port = attributes.get("PORT", "")
            client = Client(address, attributes.get("NAME", ""), int(port) if port else None)
        local = self._shared.context.site.is_local(client.address)
        session = replace(self._session, local=local, protocol=attributes.get("PROTO") or self._session.protocol)
        helo = attributes.get("HELO", self._session.helo)
        return Transaction(session=session, client=client, helo=helo, queue_id=attributes.get("IDENT", ""))

    def _refusal(self, found: Blemishes) -> Reply | None:
        if found.long_line:
            return replies.BODY_LINE_TOO_LONG
        if self._shared.config.nul == "reject" and found.nul:
            return replies.NUL_IN_MESSAGE
        if self._shared.normalize_newlines:
            return None
        if found.bare_newlines:
            return replies.BARE_NEWLINE_IN_MESSAGE
        return replies.NUL_IN_MESSAGE if found.hidden_end else None

    def _loop(self, raw: bytes) -> Reply | None:
        return replies.TOO_MANY_HOPS if hop_count(raw) > self._shared.config.limits.hops else None

    def _refuse(self, reply: Reply) -> Reply:
        """Log that we refuse the message ourselves; return the reply."""
        own = self._own(reply)
        self._log.session_error(self._session.id, f"message refused: {own}")
        return own

    def _own(self, reply: Reply) -> Reply:
        """Return our own reply as this mode may give it: a content filter's 5xx would become a bounce."""
        return replies.temporary(reply) if self._shared.after_queue else reply

    def _failed(self, error: NextHopError) -> Reply:
        """Log and count what the next hop did; return the bland reply."""
        context = self._shared.context
        context.metrics.next_hop_error(error.stage)
        context.log.next_hop_error(self._session.id, stage=error.stage, reason=error.reason, next_hop=self._link.name)
        return replies.TEMPORARY_FAILURE

    def _forget(self) -> None:
        if self._scan is not None:
            self._scan.cancel()
        self.each = []
        self._scan = self._transaction = self._verdict = self._mail_waiting = None

    @property
    def _log(self) -> MailLog:
        return self._shared.context.log


def _beginning(spool: Spool, size: int) -> bytes:
    """Return at least `size` octets of a message, and its header section whatever the size of that."""
    head = spool.head(size)
    while len(head) < spool.size and b"\r\n\r\n" not in head:
        head = spool.head(2 * len(head))
    return head


def _texts(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    return tuple(parameter.text for parameter in parameters)


def _one_line(reply: Reply) -> str:
    return f"{reply.code} {' '.join(reply.texts())}"
