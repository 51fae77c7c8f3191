"""The policy listener: Postfix asks for each recipient, before the message, and follows the answer.

The rule: what we cannot say is left to Postfix's further restrictions (DUNNO); our own failure is a temporary one, or
DUNNO where `failure_policy` is accept. Nobody is let in (OK) unless the administrator said so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

from filterproxy.config.listeners import PolicyListener as PolicyConfig
from filterproxy.core.check import Stage
from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.errors import RemoteProtocolError
from filterproxy.core.session import Client, Session, Tls
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.policy_answer import DUNNO, Answer, answer_for, received_spf
from filterproxy.listeners.session_id import new_session_id
from filterproxy.listeners.streams import serve_streams
from filterproxy.pipeline import Delivery, EnvelopeRules, Pipeline
from filterproxy.protocols import policy
from filterproxy.protocols.policy import Request, RequestReader

LISTENER = "policy"
_CHUNK = 64 * 1024


class PolicyListener:
    """Serves one configured address; `pipelines` gives the pipeline for each request."""

    def __init__(self, config: PolicyConfig, pipelines: Callable[[], Pipeline], context: ListenerContext) -> None:
        self.config, self.pipelines, self.context = config, pipelines, context
        self.draining = False
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], _Connection] = {}

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end."""
        for listening in sockets:
            self._servers.append(await serve_streams(self._connected, listening, _CHUNK))

    async def prepare(self, config: PolicyConfig, context: ListenerContext) -> Callable[[], None]:
        """Return what puts new settings to use from the next request on."""

        def commit() -> None:
            self.config = config

        return commit

    async def drain(self, timeout: float) -> None:
        """Accept no more, close what waits for a request, let answers be given for `timeout` seconds."""
        self.draining = True
        for server in self._servers:
            server.close()
        for task, connection in list(self._open.items()):
            if not connection.answering:
                task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=timeout)
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self, reader, writer)
        if len(self._open) >= self.config.limits.connections:
            self.context.log.session_error(connection.id, f"more than {self.config.limits.connections} connections")
            writer.close()
            return
        self._open[task] = connection
        self.context.metrics.session_opened(LISTENER)
        try:
            await connection.converse()
        finally:
            del self._open[task]
            self.context.metrics.session_closed(LISTENER)
            writer.close()


class _Connection:
    """One connection: requests, one after the other, each with its answer."""

    def __init__(self, listener: PolicyListener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.id = new_session_id()
        self.answering = False
        self._listener, self._reader, self._writer = listener, reader, writer
        limits = listener.config.limits
        self._requests = RequestReader(limits.line_length, limits.attributes)
        # Postfix asks once for each recipient of a message, and a field is added once.
        self._marked = ""

    async def converse(self) -> None:
        """Answer requests until Postfix closes, breaks the protocol or takes too long, or the listener drains."""
        context = self._listener.context
        try:
            while not self._listener.draining and (request := await self._next()) is not None:
                self.answering = True
                self._writer.write(await self._answer(request))
                async with asyncio.timeout(self._listener.config.limits.request_timeout):
                    await self._writer.drain()
                self.answering = False
        except RemoteProtocolError as error:
            context.metrics.protocol_error(LISTENER)
            context.log.session_error(self.id, error.reason)
        except TimeoutError:
            context.log.session_error(self.id, "time-out in a request" if self._requests.in_request else "idle")
        except ConnectionError:
            return
        except Exception as error:  # noqa: BLE001 - Postfix answers 451 by itself when the connection closes
            context.log.internal_error(f"policy {self.id}", error)
            context.metrics.internal_error()

    async def _next(self) -> Request | None:
        """Return the next request, None when Postfix has closed."""
        limits, requests = self._listener.config.limits, self._requests
        request = requests.next_request()
        if request is None and not requests.in_request:
            async with asyncio.timeout(limits.idle_timeout):
                data = await self._reader.read(_CHUNK)
            if not data:
                return None
            requests.feed(data)
            request = requests.next_request()
        async with asyncio.timeout(limits.request_timeout):
            while request is None:
                data = await self._reader.read(_CHUNK)
                if not data:
                    raise RemoteProtocolError("the connection ends in a request")
                requests.feed(data)
                request = requests.next_request()
        return request

    async def _answer(self, request: Request) -> bytes:
        if not request.is_rcpt:
            return policy.answer(DUNNO.action)
        listener, config = self._listener, self._listener.config
        transaction = self._transaction(request)
        delivery = Delivery(LISTENER, can_hold=True, never_reject=config.never_reject)
        scan = listener.pipelines().begin(transaction, delivery)
        scan.reached(Stage.RCPT)
        verdict = await scan.finish_envelope(EnvelopeRules(config.actions, config.force_actions))
        given = answer_for(verdict, config.on_allow)
        if given is DUNNO and config.prepend == "received_spf":
            given = self._prepend(request, transaction) or given
        scan.record_envelope(verdict, str(given))
        return policy.answer(given.action, given.text)

    def _prepend(self, request: Request, transaction: Transaction) -> Answer | None:
        instance = request["instance"]
        if instance and instance == self._marked:
            return None
        field = received_spf(transaction, self._listener.context.site.hostname)
        if field is not None:
            self._marked = instance
        return field

    def _transaction(self, request: Request) -> Transaction:
        name = request["client_name"]
        port = request["client_port"]
        address = _ip_text(request["client_address"])
        client = Client(address, "" if name.lower() == "unknown" else name, int(port) if _is_port(port) else None)
        session = Session(self.id, LISTENER, client, request["helo_name"], user=request["sasl_username"])
        session.protocol = request["protocol_name"] or "ESMTP"
        session.local = self._listener.context.site.is_local(address)
        if request["encryption_protocol"]:
            session.tls = Tls(request["encryption_protocol"], request["encryption_cipher"])
        transaction = Transaction.begin(session)
        transaction.queue_id = request["queue_id"]
        transaction.envelope = Envelope(request["sender"], (), [Recipient(request["recipient"])])
        return transaction


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _ip_text(text: str) -> str:
    """Return the client's address in its usual form, empty when it is not known."""
    with suppress(ValueError):
        found = ip_address(text)
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return str(mapped or found)
    return ""
