"""The spamd listener: the clients of SpamAssassin's daemon (spamc, spamass-milter, Exim, Haraka, …) as they are.

The rule: a message gets a verdict and is never lost here, for it stays with the client: whatever we cannot answer is an
error of the protocol, which those clients pass mail unmarked or put it off on.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from filterproxy.config.listeners import SpamdListener as SpamdConfig
from filterproxy.core.action import Action
from filterproxy.core.check import Stage
from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.session_id import new_session_id
from filterproxy.listeners.streams import serve_streams
from filterproxy.pipeline import Delivery, Pipeline, Verdict
from filterproxy.pipeline.symbol_names import translate
from filterproxy.protocols import spamc
from filterproxy.protocols.spamc import BadRequestError, Request, RequestReader, Status, Verb

LISTENER = "spamd"
_CHUNK = 256 * 1024
# Seconds for the rest of a request that has been answered.
_LINGER = 5.0
_SCANS = frozenset({Verb.CHECK, Verb.SYMBOLS, Verb.REPORT, Verb.REPORT_IFSPAM, Verb.PROCESS, Verb.HEADERS})
# What a client without a message limit of its own is told when no action has a threshold.
_NO_THRESHOLD = 999.0


def _delivery(config: SpamdConfig) -> Delivery:
    """A client gets the message back whatever happens to it elsewhere: nothing is refused or dropped here."""
    return Delivery(
        listener=LISTENER,
        in_session=False,
        on_reject=Action.ADD_HEADER,
        quarantine_fallback=Action.ADD_HEADER,
        header_profile=config.headers,
        compat=config.compat,
    )


class SpamdListener:
    """Serves one configured address; `pipelines` gives the pipeline for each request."""

    def __init__(self, config: SpamdConfig, pipelines: Callable[[], Pipeline], context: ListenerContext) -> None:
        self._config, self._pipelines, self._context = config, pipelines, context
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.Task[None]] = set()
        self._delivery = _delivery(config)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end."""
        for listening in sockets:
            self._servers.append(await serve_streams(self._connected, listening, _CHUNK))

    async def prepare(self, config: SpamdConfig, context: ListenerContext) -> Callable[[], None]:
        """Return what puts new settings to use from the next request on."""
        delivery = _delivery(config)

        def commit() -> None:
            self._config, self._delivery = config, delivery

        return commit

    async def drain(self, timeout: float) -> None:
        """Accept no more, let requests finish for `timeout` seconds, cut off the rest."""
        for server in self._servers:
            server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=timeout)
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= self._config.limits.connections:
            writer.write(spamc.failure(Status.UNAVAILABLE, "too many connections"))
            writer.close()
            return
        self._open.add(task)
        self._context.metrics.session_opened(LISTENER)
        try:
            await self._converse(reader, writer)
        finally:
            self._open.discard(task)
            self._context.metrics.session_closed(LISTENER)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session, refused = Session(new_session_id(), LISTENER, protocol="SPAMC"), False
        try:
            async with asyncio.timeout(self._config.limits.request_timeout):
                request = await self._read(reader)
            writer.write(await self._answer(session, request))
        except BadRequestError as error:
            self._context.metrics.protocol_error(LISTENER)
            self._context.log.session_error(session.id, error.reason)
            writer.write(spamc.failure(error.status, error.reason))
            refused = True
        except TimeoutError:
            self._context.log.session_error(session.id, "time-out in a request")
            writer.write(spamc.failure(Status.TIMEOUT, "no complete request in time"))
        except ConnectionError:
            return
        except Exception as error:  # noqa: BLE001 - a bug of ours is a temporary failure of one message
            self._context.log.internal_error(f"spamd session {session.id}", error)
            writer.write(spamc.failure(Status.TEMPORARY_FAILURE, "please try again later"))
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._config.limits.request_timeout):
                await writer.drain()
            if refused:
                await _discard_rest(reader, writer)

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        requests = RequestReader(self._config.limits.message_size)
        while data := await reader.read(_CHUNK):
            request = requests.feed(data)
            if request is not None:
                return request
        return requests.finish()

    async def _answer(self, session: Session, request: Request) -> bytes:
        if request.verb is Verb.PING:
            return spamc.pong()
        if request.verb is Verb.SKIP:
            return b""
        if request.verb is Verb.TELL:
            return await self._tell(request)
        assert request.verb in _SCANS
        return await self._scan(session, request)

    async def _scan(self, session: Session, request: Request) -> bytes:
        transaction = Transaction(session=session, client=Client(), helo="")
        recipients = [Recipient(request.user)] if "@" in request.user else []
        transaction.envelope = Envelope(None, (), recipients)
        scan = self._pipelines().begin(transaction, self._delivery)
        scan.reached(Stage.RCPT)
        verdict = await scan.finish(request.message)
        if verdict.result is None or verdict.reply is not None:
            scan.record(verdict, "EX_TEMPFAIL")
            return spamc.failure(Status.TEMPORARY_FAILURE, "please try again later")
        scan.record(verdict, "EX_OK")
        return _scanned(request, verdict, translate(verdict.result, self._config.compat))

    async def _tell(self, request: Request) -> bytes:
        if not self._config.allow_tell:
            raise BadRequestError("TELL is not allowed here (allow_tell)", Status.UNAVAILABLE)
        if request.message_class not in ("spam", "ham", "") or request.set & request.remove:
            raise BadRequestError("TELL needs Message-class: spam or ham, and Set or Remove: local")
        if "local" in request.set and not request.message_class:
            raise BadRequestError("TELL with Set: local needs Message-class: spam or ham")
        label = request.message_class if "local" in request.set else "forget" if "local" in request.remove else ""
        changed = False
        if label:
            try:
                changed = await self._pipelines().teach(request.message, label)
            except FilterproxyError as error:
                self._context.log.warning("spamd", f"a message could not be learned: {error.reason}")
                return spamc.failure(Status.TEMPORARY_FAILURE, "the message could not be learned")
        told = {"spam": "DidSet: local", "ham": "DidSet: local", "forget": "DidRemove: local"}
        return spamc.answer([told[label]] if changed else [], b"\r\n")


async def _discard_rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on for a while: a client that is cut off while it sends never sees the answer."""
    writer.write_eof()
    async with asyncio.timeout(_LINGER):
        while await reader.read(_CHUNK):
            pass


def _scanned(request: Request, verdict: Verdict, result: ScanResult) -> bytes:
    """Return the answer to a scan in the form that its verb asks for."""
    required = result.required_score if math.isfinite(result.required_score) else _NO_THRESHOLD
    line = spamc.spam_line(result.is_spam, result.score, required)
    match request.verb:
        case Verb.CHECK:
            return spamc.answer([line], None)
        case Verb.SYMBOLS:
            names = ",".join(symbol.name for symbol in result.symbols).encode()
            return spamc.scan_answer(request, line, names + (b"\r\n" if request.version < (1, 3) else b""))
        case Verb.REPORT:
            return spamc.scan_answer(request, line, _report(result, required))
        case Verb.REPORT_IFSPAM:
            return spamc.scan_answer(request, line, _report(result, required) if result.is_spam else b"")
    message = verdict.edits.apply(request.message)
    if request.verb is Verb.HEADERS:
        message = _header_section(message)
    return spamc.scan_answer(request, line, message)


def _report(result: ScanResult, required: float) -> bytes:
    """Return what a person reads: the verdict, then each symbol with its score and what it means."""
    symbols = sorted(result.symbols, key=lambda symbol: -abs(symbol.score))
    lines = [
        f"{'Spam' if result.is_spam else 'Not spam'}: {result.score:.1f} points, {required:.1f} required",
        "",
        " pts symbol                 description",
        "---- ---------------------- --------------------------------------------------",
        *(f"{symbol.score:4.1f} {symbol.name:<22} {symbol.description}" for symbol in symbols),
        "",
    ]
    return "\r\n".join(lines).encode("utf-8", "replace")


def _header_section(message: bytes) -> bytes:
    """Return the header section with the empty line that ends it."""
    ends = [(place, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (place := message.find(mark)) >= 0]
    if not ends:
        return message
    place, length = min(ends)
    return message[: place + length]
