"""One connection of an MTA to the milter listener: commands to a transaction, its scan, and the answer.

The rule: recipients are never refused here, and whatever goes wrong on our side is a temporary failure of that one
message, said in the log; nothing passes unscanned because we failed.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from filterproxy.config.listeners import MilterListener as MilterConfig
from filterproxy.core.check import Stage
from filterproxy.core.errors import RemoteProtocolError
from filterproxy.core.reply import Reply as SmtpReply
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.milter_answer import replies_for, told
from filterproxy.listeners.milter_collector import LISTENER, MilterCollector
from filterproxy.pipeline import Delivery, Pipeline, Scan
from filterproxy.protocols.milter import commands as command
from filterproxy.protocols.milter.commands import Command
from filterproxy.protocols.milter.connection import MilterConnection, State
from filterproxy.protocols.milter.options import Actions, MacroStage, Steps, Wishes
from filterproxy.protocols.milter.replies import Continue, Progress, ReplyCode, Skip, TempFail

_OPTIONAL = Actions.QUARANTINE
WISHES = Wishes(
    required=Actions.ADD_HEADERS | Actions.CHANGE_HEADERS,
    optional=_OPTIONAL,
    # We answer at the end of the message only, so the MTA need not wait for anything before it.
    steps=Steps.NO_UNKNOWN
    | Steps.NR_CONNECT
    | Steps.NR_HELO
    | Steps.NR_MAIL
    | Steps.NR_RCPT
    | Steps.NR_DATA
    | Steps.NR_HEADER
    | Steps.NR_EOH
    | Steps.NR_BODY
    | Steps.SKIP
    | Steps.HEADER_LEADING_SPACE,
    # What the collector reads, whatever the MTA is configured to send.
    macros={
        MacroStage.CONNECT: "j _ {client_addr} {client_resolve} {daemon_name}",
        MacroStage.HELO: "{tls_version} {cipher}",
        MacroStage.MAIL: "i {auth_authen}",
        MacroStage.RCPT: "i {rcpt_mailer}",
        MacroStage.DATA: "i",
        MacroStage.END_OF_HEADERS: "i",
        MacroStage.END_OF_MESSAGE: "i",
    },
)
# Asked for only where recipients have policies of their own.
_REMOVING = replace(WISHES, optional=_OPTIONAL | Actions.DELETE_RCPT)
_IN_TRANSACTION = (State.ENVELOPE, State.DATA, State.HEADERS, State.BODY)
_TOO_LARGE = SmtpReply.of(452, "4.3.4", "Message too large for the mail filter")


@dataclass(slots=True)
class MilterShared:
    """What all sessions of one listener share; `pipelines` is asked anew for each transaction."""

    config: MilterConfig
    pipelines: Callable[[], Pipeline]
    context: ListenerContext
    sessions: set[MilterSession] = field(default_factory=set)
    draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class MilterSession(asyncio.Protocol):
    """The shell around one MilterConnection and one MilterCollector."""

    def __init__(self, shared: MilterShared) -> None:
        # A reload changes the listener's settings for connections from then on.
        config = self._config = shared.config
        limits = config.limits
        self._shared = shared
        self._context = shared.context
        wishes = _REMOVING if config.never_reject else WISHES
        self._connection = MilterConnection(wishes, frame_limit=limits.frame_size)
        self._collector = MilterCollector(shared.context.site, limits.message_size)
        self._transport: asyncio.Transport | None = None
        self._tcp: socket.socket | None = None
        self._scan: Scan | None = None
        self._rcpt_reached = False
        self._failed = False
        self._deciding: asyncio.Task[None] | None = None
        self._last_activity = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._progress_timer: asyncio.TimerHandle

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or close it at once when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        shared = self._shared
        if len(shared.sessions) >= self._config.limits.connections:
            self._context.log.session_error(self._id, f"more than {self._config.limits.connections} connections")
            self._transport.abort()
            return
        shared.sessions.add(self)
        shared.idle.clear()
        self._context.metrics.session_opened(LISTENER)
        self._tcp = _tcp_socket(self._transport)
        if self._tcp is not None:
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._last_activity = self._context.clock.monotonic()
        self._watch_idle(self._config.limits.idle_timeout)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the MTA."""
        self._last_activity = self._context.clock.monotonic()
        self._connection.receive_data(data)
        if self._deciding is None:
            self._take_commands()
        elif self._connection.buffered > self._config.limits.frame_size:
            self._protocol_error("the MTA sends while it should wait for our reply")
        if self._tcp is not None and self._deciding is None:
            _acknowledge_now(self._tcp)

    def eof_received(self) -> None:
        """Take note that the MTA closed; the transport closes itself then."""
        try:
            self._connection.receive_eof()
        except RemoteProtocolError as error:
            self._protocol_error(error.reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what was under way."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._deciding is not None:
            self._context.log.session_error(self._id, "the MTA closed the connection while its message was scanned")
            self._deciding.cancel()
        self._end_transaction()
        if self in self._shared.sessions:
            self._shared.sessions.remove(self)
            self._context.metrics.session_closed(LISTENER)
        if not self._shared.sessions:
            self._shared.idle.set()

    def pause_writing(self) -> None:
        """Stop reading while the MTA does not take our replies."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()

    # for the listener

    def close_if_draining(self) -> None:
        """Close between two transactions while the listener drains; the MTA tells its client to come back."""
        if self._shared.draining and self._scan is None and self._deciding is None:
            self._close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # commands

    @property
    def _id(self) -> str:
        transaction = self._collector.transaction
        return (transaction.queue_id if transaction else "") or self._collector.session.id

    def _take_commands(self) -> None:
        try:
            while self._deciding is None and not self._closing:
                received = self._connection.next_command()
                if received is None:
                    return
                self._handle(received)
                self.close_if_draining()
        except RemoteProtocolError as error:
            self._protocol_error(error.reason)
        except Exception as error:  # noqa: BLE001 - a bug of ours: without this the MTA would wait for its time-out
            self._internal_error(error)
            self._close()

    @property
    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _handle(self, received: Command) -> None:
        """Act on one command; a bug of ours fails this message at its end, never a recipient."""
        try:
            _HANDLERS[type(received)](self, received)
        except RemoteProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - the message gets a temporary failure, see _on_end_of_message
            self._internal_error(error)
            self._failed = True
            if self._connection.state not in _IN_TRANSACTION:
                self._answer_failure()
        if self._connection.awaits_reply and self._deciding is None and not self._closing:
            self._write(self._connection.send(Continue()))

    def _on_negotiate(self, received: command.Negotiate) -> None:
        self._write(self._connection.accept_offer(received))
        options = self._connection.options
        self._collector.leading_space = options is not None and Steps.HEADER_LEADING_SPACE in options.steps

    def _on_mail(self, received: command.Mail) -> None:
        self._drop_scan()
        transaction = self._collector.mail(received)
        self._scan = self._shared.pipelines().begin(transaction, self._delivery())
        self._collector.enough = min(self._scan.wants, self._config.limits.message_size)
        self._scan.reached(Stage.MAIL)

    def _on_content(self) -> None:
        """Take note that all recipients are known: at DATA, or at the first content from MTAs without it."""
        if not self._rcpt_reached and self._scan is not None:
            self._rcpt_reached = True
            self._collector.read_queue_id()
            self._scan.reached(Stage.RCPT)

    def _on_header(self, received: command.Header) -> None:
        self._on_content()
        self._collector.header(received)

    def _on_end_of_headers(self, received: command.EndOfHeaders) -> None:
        self._on_content()
        self._collector.end_of_headers()

    def _on_body(self, received: command.Body) -> None:
        self._on_content()
        self._collector.body(received.chunk)
        options = self._connection.options
        can_skip = options is not None and Steps.SKIP in options.steps and self._connection.awaits_reply
        if can_skip and self._collector.has_enough and not self._failed:
            self._write(self._connection.send(Skip()))

    def _on_end_of_message(self, received: command.EndOfMessage) -> None:
        self._on_content()
        self._collector.body(received.chunk)
        self._collector.read_queue_id()
        if self._failed or self._scan is None:
            self._answer_failure()
        elif self._collector.oversized:
            self._answer_too_large()
        else:
            self._deciding = asyncio.create_task(self._decide(self._scan))

    def _on_abort(self, received: command.Abort) -> None:
        self._end_transaction()

    def _on_helo(self, received: command.Helo) -> None:
        self._end_transaction()
        self._collector.helo(received)

    def _on_quit_new_connection(self, received: command.QuitNewConnection) -> None:
        self._end_transaction()
        self._collector.disconnect()

    def _on_quit(self, received: command.Quit) -> None:
        self._close()

    # the verdict

    def _delivery(self) -> Delivery:
        options, config = self._connection.options, self._config
        actions = options.actions if options is not None else Actions(0)
        return Delivery(
            LISTENER,
            can_hold=Actions.QUARANTINE in actions,
            header_profile=config.headers,
            compat=config.compat,
            can_remove=Actions.DELETE_RCPT in actions,
            never_reject=config.never_reject,
        )

    async def _decide(self, scan: Scan) -> None:
        """Scan, answer, record; the connection goes on with its next command after that."""
        self._promise_progress()
        try:
            verdict = await scan.finish(self._collector.take(), self._collector.size)
            replies = replies_for(verdict, leading_space=self._collector.leading_space)
            self._write(self._connection.send(*replies))
            scan.record(verdict, told(replies))
        except Exception as error:  # noqa: BLE001 - our bug is a temporary failure, never silence and never a bounce
            self._internal_error(error)
            self._answer_failure()
        finally:
            self._progress_timer.cancel()
            self._deciding = None
        self._scan = None
        self._end_transaction()
        self.close_if_draining()
        self._take_commands()

    def _promise_progress(self) -> None:
        loop = asyncio.get_running_loop()
        self._progress_timer = loop.call_later(self._config.progress_interval, self._report_progress)

    def _report_progress(self) -> None:
        self._write(self._connection.send(Progress()))
        self._promise_progress()

    def _answer_failure(self) -> None:
        """Give the message a temporary failure and close: the state after a bug is not to be trusted."""
        if self._connection.awaits_reply:
            self._write(self._connection.send(TempFail()))
        self._end_transaction()
        self._close()

    def _answer_too_large(self) -> None:
        self._context.log.warning(
            f"milter {self._id}",
            f"message of {self._collector.size} bytes: listeners.limits.message_size is"
            f" {self._config.limits.message_size}",
        )
        self._write(self._connection.send(ReplyCode.of(_TOO_LARGE)))
        self._end_transaction()

    def _end_transaction(self) -> None:
        self._drop_scan()
        self._collector.end()

    def _drop_scan(self) -> None:
        """Stop what an unfinished transaction started."""
        if self._scan is not None:
            self._scan.cancel()
        self._scan = None
        self._rcpt_reached = False
        self._failed = False

    # the connection

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _protocol_error(self, reason: str) -> None:
        self._context.log.session_error(self._id, reason)
        self._context.metrics.protocol_error(LISTENER)
        self._close()

    def _internal_error(self, error: Exception) -> None:
        self._context.log.internal_error(f"milter {self._id}", error)
        self._context.metrics.internal_error()

    def _watch_idle(self, seconds: float) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(seconds, self._check_idle)

    def _check_idle(self) -> None:
        limit = self._config.limits.idle_timeout
        quiet = self._context.clock.monotonic() - self._last_activity
        if quiet < limit or self._deciding is not None:
            self._watch_idle(max(limit - quiet, limit / 10))
            return
        self._context.log.session_error(self._id, f"no event for {limit:g} seconds")
        self._close()


def _tcp_socket(transport: asyncio.Transport) -> socket.socket | None:
    """Return the connection's socket when it is TCP."""
    connection = transport.get_extra_info("socket")
    is_tcp = connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6)
    return cast(socket.socket, connection) if is_tcp else None


def _acknowledge_now(connection: socket.socket) -> None:
    """Acknowledge what was read at once (Linux; the kernel forgets this with the next read).

    With no-reply steps we are silent until the end of the message, and the MTA's own Nagle algorithm then holds its
    next event back until our delayed acknowledgement: 40 ms a message, measured with Postfix 3.7.
    """
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


_HANDLERS: Mapping[type[Command], Callable[[MilterSession, Any], None]] = {
    command.Negotiate: MilterSession._on_negotiate,
    command.Macros: lambda session, received: session._collector.macros(received),
    command.Connect: lambda session, received: session._collector.connect(received),
    command.Helo: MilterSession._on_helo,
    command.Mail: MilterSession._on_mail,
    command.Rcpt: lambda session, received: session._collector.rcpt(received),
    command.Data: lambda session, received: session._on_content(),
    command.Header: MilterSession._on_header,
    command.EndOfHeaders: MilterSession._on_end_of_headers,
    command.Body: MilterSession._on_body,
    command.EndOfMessage: MilterSession._on_end_of_message,
    command.Abort: MilterSession._on_abort,
    command.Unknown: lambda session, received: None,
    command.QuitNewConnection: MilterSession._on_quit_new_connection,
    command.Quit: MilterSession._on_quit,
}
