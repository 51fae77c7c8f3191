"""Scans and learning over rspamd's HTTP protocol.

The rule: the message stays with the client, so nothing is lost here: it hears a verdict, or an error that it puts mail
off on. Nobody's message is read before they have shown that they may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from filterproxy.config.listeners import HttpListener as HttpConfig
from filterproxy.core.action import Action
from filterproxy.core.check import Stage
from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.session import Client, Session, Tls
from filterproxy.core.symbol import Symbol
from filterproxy.core.transaction import Transaction
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.http_access import Access, Right, password_of
from filterproxy.listeners.http_body import decompress, discard_body, read_body
from filterproxy.listeners.session_id import new_session_id
from filterproxy.pipeline import Delivery, HeaderEdits, Pipeline, Verdict
from filterproxy.pipeline.symbol_names import Compat, declared, translate
from filterproxy.protocols import rspamd_http
from filterproxy.protocols.rspamd_http import RefusedRequestError, Scanned, ScanRequest

LISTENER = "http"
_POOL_SIZE = 256 * 1024
# The action is for clients that look at no status (Haraka): they put the mail off, too.
_FAILED = {
    "error": "temporary failure, please try again later",
    "error_domain": "scan",
    "action": Action.SOFT_REJECT.value,
}


class _Form(Enum):
    """In which form a scan is answered."""

    JSON = auto()
    LEGACY = auto()
    RSPAMC = auto()


@dataclass(slots=True)
class HttpShared:
    """What the routes of one listener share; a reload changes the settings."""

    config: HttpConfig
    pipelines: Callable[[], Pipeline]
    context: ListenerContext
    access: Access

    def use(self, config: HttpConfig) -> None:
        """Take new settings; who guessed passwords stays known unless the passwords or limits are others now."""
        if config != self.config:
            self.config, self.access = config, Access(config, self.context)

    async def admit(self, request: Request, right: Right) -> ScanRequest:
        """Return what the header section says; raise RefusedRequestError when the client may not ask."""
        try:
            facts = rspamd_http.parse_headers(request.scope["headers"])
            await self.access.require(request, password_of(request, facts.password), right)
        except RefusedRequestError:
            await discard_body(request)
            raise
        return facts


def answer(data: Any, status: int = 200, tail: bytes = b"", headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer; `tail` follows the JSON and `Message-Offset` says where."""
    body = rspamd_http.encode(data)
    more = {"Message-Offset": str(len(body))} if tail else {}
    return Response(body + tail, status, {**more, **(headers or {})}, media_type="application/json")


class ScanRoutes:
    """/checkv2, /check, /symbols with a message, /learnspam and /learnham."""

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared

    async def check(self, request: Request) -> Response:
        """Scan a message; the answer is that of /checkv2."""
        return await self._check(request, _Form.JSON)

    async def legacy_check(self, request: Request) -> Response:
        """Scan a message; the answer is that of rspamd before 1.6."""
        return await self._check(request, _Form.LEGACY)

    async def rspamc_check(self, request: Request) -> Response:
        """Scan a message; the answer is that of rspamd's protocol before HTTP."""
        return await self._check(request, _Form.RSPAMC)

    async def learn_spam(self, request: Request) -> Response:
        """Learn a message as spam."""
        return await self._learn(request, "spam")

    async def learn_ham(self, request: Request) -> Response:
        """Learn a message as ham."""
        return await self._learn(request, "ham")

    async def _check(self, request: Request, form: _Form) -> Response:
        facts = await self._shared.admit(request, Right.READ)
        raw = await self._message(request, facts)
        if "skip" in facts.flags:
            return answer({"default": rspamd_http.skipped()} if form is _Form.LEGACY else rspamd_http.skipped())
        self._shared.context.metrics.session_opened(LISTENER)
        try:
            return await self._scan(raw, facts, form)
        finally:
            self._shared.context.metrics.session_closed(LISTENER)

    async def _scan(self, raw: bytes, facts: ScanRequest, form: _Form) -> Response:
        pipeline = self._shared.pipelines()
        transaction = self._transaction(facts)
        config = self._shared.config
        delivery = Delivery(listener=LISTENER, header_profile=config.headers, compat=config.compat)
        scan = pipeline.begin(transaction, delivery)
        scan.reached(Stage.RCPT)
        verdict = await scan.finish(raw)
        failed = verdict.result is None and verdict.reply is not None
        if "no_log" not in facts.flags:
            scan.record(verdict, "503" if failed else "200")
        if failed:
            return answer(_FAILED, 503)
        thresholds = pipeline.profiles.of(transaction).policy.thresholds
        scanned = _scanned(raw, transaction, verdict, thresholds, config.compat)
        if form is _Form.RSPAMC:
            return PlainTextResponse(rspamd_http.to_rspamc(scanned))
        if form is _Form.LEGACY:
            return answer(rspamd_http.to_legacy_json(scanned, facts.flags))
        groups = _by_their_names(pipeline, config.compat) if "groups" in facts.flags else {}
        data = rspamd_http.to_json(scanned, facts.flags, groups)
        # Only when more than trace and verdict fields change: rspamc asks always, and prints it after its report.
        # A client that edits the header section itself (milter) wants the body alone, and that we never change.
        whole = "body_block" in facts.flags and "milter" not in facts.flags and verdict.edits.change
        return answer(data, tail=verdict.edits.apply(raw) if whole else b"")

    def _transaction(self, facts: ScanRequest) -> Transaction:
        client = Client(facts.address, facts.hostname)
        session = Session(new_session_id(), LISTENER, client, facts.helo, protocol="HTTP", user=facts.user)
        session.local = self._shared.context.site.is_local(facts.address)
        if facts.tls_version or facts.tls_cipher:
            session.tls = Tls(facts.tls_version, facts.tls_cipher)
        transaction = Transaction.begin(session)
        transaction.queue_id = facts.queue_id
        transaction.envelope = Envelope(facts.mail_from, (), [Recipient(address) for address in facts.rcpt_to])
        return transaction

    async def _learn(self, request: Request, label: str) -> Response:
        facts = await self._shared.admit(request, Right.WRITE)
        raw = await self._message(request, facts)
        pipeline = self._shared.pipelines()
        if not pipeline.learns:
            return Response(status_code=204)
        try:
            changed = await pipeline.teach(raw, label)
        except FilterproxyError as error:
            self._shared.context.log.warning("http", f"a message could not be learned: {error.reason}")
            return answer({"error": "the message could not be learned", "error_domain": "learn"}, 503)
        if not changed:
            return answer({"error": f"the message is already learned as {label}", "error_domain": "learn"}, 208)
        return answer({"success": True})

    async def _message(self, request: Request, facts: ScanRequest) -> bytes:
        limits = self._shared.config.limits
        body = await read_body(request, limits.message_size, limits.request_timeout)
        if facts.compression and len(body) > _POOL_SIZE:
            pool = self._shared.pipelines().scan_pool
            raw = await pool.run(decompress, body, facts.compression, limits.message_size)
        else:
            raw = decompress(body, facts.compression, limits.message_size)
        if not raw:
            raise RefusedRequestError(400, "there is no message: send it as the request's body")
        return raw


def rewritten_subject(edits: HeaderEdits) -> str | None:
    """Return the new subject on one line, as a header has it."""
    changed = [value for name, _, value in edits.change if name == "Subject"]
    changed += [value for name, value in edits.insert if name == "Subject"]
    return " ".join(changed[0].split()) if changed else None


def _by_their_names(pipeline: Pipeline, compat: Compat | None) -> dict[str, Symbol]:
    return {name: symbol for name, (symbol, _) in declared(pipeline.checks.symbols, compat).items()}


def _scanned(raw: bytes, transaction: Transaction, verdict: Verdict, thresholds: Any, compat: Compat | None) -> Scanned:
    message, edits = transaction.message, verdict.edits
    subject = rewritten_subject(edits) if verdict.action is Action.REWRITE_SUBJECT else None
    return Scanned(
        verdict.action,
        translate(verdict.result, compat) if verdict.result else None,
        thresholds,
        message.message_id.strip("<>") if message else "",
        tuple(dict.fromkeys(url.text for url in message.urls)) if message else (),
        verdict.reply.lines[0] if verdict.reply else "",
        subject,
        tuple((name, value) for name, value in edits.insert if name != "Subject"),
        edits.removals(raw),
    )
