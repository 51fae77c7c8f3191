"""The JSON API's operations on messages: scan, learn, forget.

The rule: the message stays with the client; it hears a verdict or a problem that it can put mail off on.
"""

from __future__ import annotations

import math

from pydantic import BaseModel

from filterproxy.core.action import Action
from filterproxy.core.authentication import summarise
from filterproxy.core.check import Stage
from filterproxy.core.envelope import Envelope, Recipient
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.session import Client, Session
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.core.transaction import Transaction
from filterproxy.listeners import api_models as models
from filterproxy.listeners.api_operation import ApiError, Asked, Operation
from filterproxy.listeners.http_scan import LISTENER, HttpShared, rewritten_subject
from filterproxy.pipeline import Delivery, Verdict
from filterproxy.pipeline.symbol_names import translate
from filterproxy.protocols.rspamd_http import number, printable

MESSAGE = (models.TextMessage, models.Base64Message)
_NOT_LEARNED = {409: "No enabled check learns."}


class MessageOperations:
    """POST /scan, /learn and /forget."""

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared

    def table(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation(
                *("POST", "/scan", "scan", "Scan a message", "scan", self.scan, {200: models.ScanAnswer}),
                query=models.Facts, bodies=MESSAGE, raw=True, heavy=True,
            ),
            Operation(
                *("POST", "/learn", "learn", "Learn a message", "write", self.learn, {200: models.Learned}),
                query=models.ClassQuery, bodies=MESSAGE, raw=True, problems=_NOT_LEARNED, heavy=True,
            ),
            Operation(
                *("POST", "/forget", "forget", "Forget a learned message", "write", self.forget, {200: models.Learned}),
                bodies=MESSAGE, raw=True, problems=_NOT_LEARNED, heavy=True,
            ),
        ]  # fmt: skip

    async def scan(self, asked: Asked) -> tuple[int, BaseModel]:
        """Return the verdict on a message."""
        facts: models.Facts = asked.query
        raw = _message(asked)
        pipeline, config, metrics = self._shared.pipelines(), self._shared.config, self._shared.context.metrics
        transaction = self._transaction(facts, asked.request_id)
        scan = pipeline.begin(transaction, Delivery(LISTENER, header_profile=config.headers, compat=config.compat))
        metrics.session_opened(LISTENER)
        try:
            scan.reached(Stage.RCPT)
            verdict = await scan.finish(raw)
        finally:
            metrics.session_closed(LISTENER)
        failed = verdict.result is None and verdict.reply is not None
        if facts.record:
            scan.record(verdict, "503" if failed else "200")
        if failed:
            raise ApiError(503, "temporary failure, please try again later", headers={"Retry-After": "5"})
        result = translate(verdict.result, config.compat) if verdict.result else None
        return 200, _answer(asked.request_id, raw, transaction, verdict, result)

    async def learn(self, asked: Asked) -> tuple[int, BaseModel]:
        """Learn a message."""
        lesson: models.ClassQuery = asked.query
        return await self._teach(asked, lesson.class_)

    async def forget(self, asked: Asked) -> tuple[int, BaseModel]:
        """Forget a message."""
        return await self._teach(asked, "forget")

    async def _teach(self, asked: Asked, label: str) -> tuple[int, BaseModel]:
        raw, pipeline = _message(asked), self._shared.pipelines()
        if not pipeline.learns:
            raise ApiError(409, "no enabled check learns: enable checks.bayes")
        return 200, models.Learned(request_id=asked.request_id, changed=await pipeline.teach(raw, label))

    def _transaction(self, facts: models.Facts, request_id: str) -> Transaction:
        client = Client(facts.ip or "", facts.hostname)
        session = Session(request_id, LISTENER, client, facts.helo, protocol="HTTP", user=facts.user)
        session.local = self._shared.context.site.is_local(client.address)
        transaction = Transaction.begin(session)
        transaction.queue_id = facts.queue_id
        recipients = [Recipient(address) for address in facts.rcpt_to if address]
        transaction.envelope = Envelope(facts.mail_from, (), recipients)
        return transaction


def _message(asked: Asked) -> bytes:
    if not asked.message:
        raise ApiError(422, "there is no message in the body")
    return asked.message


def hits(symbols: tuple[ScoredSymbol, ...]) -> list[models.SymbolHit]:
    """Return symbols as the API tells them."""
    return [
        models.SymbolHit(
            name=symbol.name,
            score=number(symbol.score),
            options=[printable(option) for option in symbol.options],
            description=printable(symbol.description),
        )
        for symbol in symbols
    ]


def finite(value: float) -> float | None:
    """Return a threshold, None for one that is not set."""
    return value if math.isfinite(value) else None


def _answer(
    request_id: str, raw: bytes, transaction: Transaction, verdict: Verdict, result: ScanResult | None
) -> models.ScanAnswer:
    message, edits, reply = transaction.message, verdict.edits, verdict.reply
    subject = rewritten_subject(edits) if verdict.action is Action.REWRITE_SUBJECT else None
    removed = [
        models.RemovedField(name=printable(name), occurrences=list(which) if which else None)
        for name, which in edits.removals(raw).items()
    ]
    added = [models.NewField(name=name, value=printable(value)) for name, value in edits.insert if name != "Subject"]
    return models.ScanAnswer(
        request_id=request_id,
        action=verdict.action.value,
        score=number(result.score) if result else 0.0,
        required_score=finite(result.required_score) if result else None,
        reject_score=finite(result.reject_score) if result else None,
        symbols=hits(result.symbols) if result else [],
        authentication=summarise(result.authentication if result else ()),
        forced_by=result.forced_by if result else "",
        reply=models.SmtpReply(code=reply.code, text=printable(reply.texts()[0])) if reply else None,
        subject=printable(subject) if subject is not None else None,
        headers=models.Headers(add=added, remove=removed),
        message_id=printable(message.message_id) if message else "",
        urls=[printable(text) for text in dict.fromkeys(url.text for url in message.urls)] if message else [],
        seconds=round(result.seconds, 6) if result else 0.0,
    )
