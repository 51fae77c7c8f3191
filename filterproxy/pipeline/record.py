"""What is kept of a message: one log line, metrics, one history row. Called after the client has its answer.

The rule: recording never fails a message and never waits; the store batches its rows by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from filterproxy.core.outcome import Status
from filterproxy.core.ports import Clock
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline.reply import Delivery
from filterproxy.services.store.history import HistoryRow

if TYPE_CHECKING:
    from filterproxy.pipeline.pipeline import Verdict


class History(Protocol):
    """Where history rows go."""

    def record(self, row: HistoryRow) -> None:
        """Take a row without waiting."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes what happened to a message to log, metrics and history."""

    log: MailLog
    metrics: Metrics
    history: History | None
    clock: Clock

    def failure(self, message_id: str, error: Exception) -> None:
        """Report that the pipeline itself could not decide; the error is ours."""
        self.log.internal_error(message_id, error)
        self.metrics.internal_error()

    def message(
        self,
        transaction: Transaction,
        verdict: Verdict,
        delivery: Delivery,
        reply: str,
        size: int,
        seconds: float,
        *,
        keep: bool = True,
    ) -> None:
        """Record the end of a transaction; without `keep` not in the history."""
        result = verdict.result
        self.metrics.scanned(delivery.listener, verdict.action.value, seconds)
        if result is not None:
            self._checks(transaction, result)
            self.metrics.autolearned(result.autolearn.value)
        row = self._row(transaction, verdict, delivery, reply, size, seconds)
        self.log.scan(
            session=row.session,
            listener=row.listener,
            queue_id=row.queue_id,
            client=row.client,
            client_name=row.client_name,
            helo=row.helo,
            user=row.user,
            mail_from=row.mail_from,
            rcpt_to=row.rcpt_to,
            message_id=row.message_id,
            size=row.size,
            action=row.action,
            score=row.score,
            required_score=row.required_score,
            reply=reply,
            seconds=seconds,
            symbols=row.symbols,
            note=_note(verdict),
            autolearn=result.autolearn.value if result else "",
        )
        if self.history is not None and keep:
            self.history.record(row)

    def _checks(self, transaction: Transaction, result: ScanResult) -> None:
        message_id = transaction.queue_id or transaction.session.id
        for outcome in result.outcomes:
            self.metrics.check_done(outcome.check, outcome.status.value, outcome.seconds)
            if outcome.status in (Status.FAILED, Status.TIMED_OUT):
                self.log.check_failed(outcome.check, outcome.reason, queue_id=message_id)
        for symbol in result.symbols:
            self.metrics.symbol_fired(symbol.name)

    def _row(
        self, transaction: Transaction, verdict: Verdict, delivery: Delivery, reply: str, size: int, seconds: float
    ) -> HistoryRow:
        result, message = verdict.result, transaction.message
        return HistoryRow(
            time=self.clock.now().timestamp(),
            queue_id=transaction.queue_id,
            session=transaction.session.id,
            listener=delivery.listener,
            client=transaction.client.address,
            client_name=transaction.client.name,
            helo=transaction.helo,
            user=transaction.user,
            mail_from=transaction.envelope.mail_from or "",
            rcpt_to=transaction.envelope.rcpt_to,
            header_from=_header_from(message),
            subject=message.subject if message else "",
            message_id=message.message_id if message else "",
            message_date=message.date.timestamp() if message and message.date else None,
            size=size,
            action=verdict.action.value,
            score=result.score if result else 0.0,
            required_score=result.required_score if result else 0.0,
            reply=reply,
            seconds=seconds,
            symbols=result.symbols if result else (),
        )


def _header_from(message: Message | None) -> str:
    return ", ".join(mailbox.address for mailbox in message.header_from[:5]) if message else ""


def _note(verdict: Verdict) -> str:
    """Return what else decided: a forced action, a failed check, or that the verdict was softened here."""
    result = verdict.result
    if result is None:
        return "the filter could not decide"
    if result.failed_by:
        return f"check {result.failed_by} failed"
    notes = [f"forced by {result.forced_by}"] if result.forced_by else []
    if result.action is not verdict.action:
        notes.append(f"instead of {result.action}")
    if verdict.removed:
        notes.append(f"not for {' '.join(verdict.removed)}")
    return ", ".join(notes)
