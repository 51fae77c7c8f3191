"""The pipeline: a transaction and its bytes in, one verdict out. Listeners know nothing else of checks or policy.

The rule: `finish` never raises; when the filter itself cannot decide, the administrator's `failure_policy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from filterproxy.core.action import Action
from filterproxy.core.check import LearningCheck, Stage
from filterproxy.core.composite import Composite
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.ports import Clock, ScanPool
from filterproxy.core.reply import Reply
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.pipeline.authentication_results import authentication_results_value
from filterproxy.pipeline.autolearn import Autolearning
from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.pipeline.headers import forged_fields, verdict_edits
from filterproxy.pipeline.policy import ScoringPolicy, decide
from filterproxy.pipeline.profile import Profile, Profiles
from filterproxy.pipeline.record import Recorder
from filterproxy.pipeline.registry import CheckSet, defect_symbol
from filterproxy.pipeline.reply import Delivery, Mode, effective_action, failure_reply, reply_for, spare
from filterproxy.pipeline.runner import Runner
from filterproxy.pipeline.step_guard import StepGuard
from filterproxy.pipeline.symbol_names import translate

if TYPE_CHECKING:
    from filterproxy.services.signatures import Sealer  # loads dkimpy and OpenSSL, which many commands do not need


# What can be decided at RCPT: what is milder needs a message to mark.
_AT_RCPT = Action.QUARANTINE.severity


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Settings of the pipeline as a whole; times in seconds, sizes in bytes.

    A message larger than `pool_size` is parsed in the scan pool, so that the event loop stays free.
    """

    hostname: str
    deadline: float = 20.0
    mode: Mode = "enforce"
    failure_policy: Literal["tempfail", "accept"] = "tempfail"
    max_scan_size: int = 10_000_000
    subject: str = "***SPAM*** %s"
    step_limit: float = 2.0
    pool_size: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a message here and now.

    `action` is after observe mode and fallbacks: pass on with `edits`, hold, answer `reply` and drop, or accept and
    drop (`discard`). `removed` are recipients that do not get the message when it passes. `result` is None when the
    filter itself failed.
    """

    action: Action
    reply: Reply | None = None
    edits: HeaderEdits = field(default_factory=HeaderEdits)
    result: ScanResult | None = None
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvelopeRules:
    """How an answer at RCPT differs from that to a message: other thresholds, and more forced actions."""

    thresholds: Mapping[Action, float] | None = None
    forced_actions: Mapping[str, Action] = field(default_factory=dict)


class Pipeline:
    """Checks, policy and records of one configuration; a reload makes a new one."""

    def __init__(
        self,
        checks: CheckSet,
        policy: ScoringPolicy,
        options: PipelineOptions,
        *,
        clock: Clock,
        scan_pool: ScanPool,
        recorder: Recorder,
        profiles: Profiles | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self.checks = checks
        self.policy = policy
        self.profiles = profiles or Profiles.standard(policy)
        self.sealer = sealer
        self.options = options
        self.clock = clock
        self.scan_pool = scan_pool
        self.recorder = recorder
        self.guard = StepGuard(options.step_limit)
        self.autolearning = Autolearning(checks, recorder.log)

    async def start(self) -> None:
        """Start the checks; raise ConfigError naming the one that cannot."""
        await self.checks.start()

    async def close(self) -> None:
        """Close the checks."""
        await self.checks.close()

    async def teach(self, raw: bytes, label: str) -> bool:
        """Have every check that learns learn a message as `spam` or `ham`, or `forget` it; tell whether one did.

        Raises FilterproxyError when there is none, or it cannot.
        """
        learners = [check for check in self.checks.checks if isinstance(check, LearningCheck)]
        if not learners:
            raise FilterproxyError("no enabled check learns: enable checks.bayes")
        changed = [await check.teach(raw, label) for check in learners]
        return any(changed)

    @property
    def learns(self) -> bool:
        """Tell whether `teach` has anybody to teach."""
        return any(isinstance(check, LearningCheck) for check in self.checks.checks)

    def learned(self) -> tuple[int, int]:
        """Return how many spam and ham messages the checks that learn have learned."""
        counts = [check.learned for check in self.checks.checks if isinstance(check, LearningCheck)]
        return sum(spam for spam, _ in counts), sum(ham for _, ham in counts)

    @cached_property
    def envelope_composites(self) -> tuple[Composite, ...]:
        """Return the composites over what is known before the message: the others would take 'not yet' for 'not'."""
        checks, found = self.checks, []
        known = {
            name for check, stage in checks.stages.items() if stage <= Stage.RCPT for name in checks.declared[check]
        }
        for composite in checks.composites:  # each comes after those it reads
            if known.issuperset(composite.expression.names()):
                known.add(composite.name)
                found.append(composite)
        return tuple(found)

    def begin(self, transaction: Transaction, delivery: Delivery) -> Scan:
        """Return the scan of a transaction that has just begun."""
        return Scan(self, transaction, delivery)


class Scan:
    """One transaction's way through the pipeline."""

    def __init__(self, pipeline: Pipeline, transaction: Transaction, delivery: Delivery) -> None:
        self._pipeline = pipeline
        self._transaction = transaction
        self._delivery = delivery
        self._started = pipeline.clock.monotonic()
        self._runner = Runner(pipeline.checks, transaction, pipeline.clock, pipeline.guard)
        self._size = 0

    @property
    def id(self) -> str:
        """Return what a reply and the log call this message: its queue id, or the session's id."""
        return self._transaction.queue_id or self._transaction.session.id

    @property
    def wants(self) -> int:
        """Return how many octets of a message `finish` can make use of: with them it knows whether there are more."""
        return self._pipeline.options.max_scan_size + 1

    def reached(self, stage: Stage) -> None:
        """Start the checks that need no more than this stage's data; MESSAGE belongs to `finish`."""
        self._runner.reached(min(stage, Stage.RCPT))

    def cancel(self) -> None:
        """Drop the running checks: the client went away or began anew."""
        self._runner.cancel()

    async def finish(self, raw: bytes, size: int | None = None) -> Verdict:
        """Return the verdict on the whole message; never raises, except when the caller itself is cancelled.

        `raw` may be the beginning of a message of `size` octets: its header section, and more than max_scan_size.
        """
        self._size = len(raw) if size is None else size
        try:
            result = await self.scan(raw)
            chosen = self._pipeline.autolearning.choose(self._transaction, result)
            return await self._sealed(raw, self._verdict(raw, replace(result, autolearn=chosen)))
        except Exception as error:  # noqa: BLE001 - a bug of ours must not become the sender's bounce
            self.cancel()
            self._pipeline.recorder.failure(self.id, error)
            return self._failure(raw)

    async def scan(self, raw: bytes) -> ScanResult:
        """Run the checks on the whole message and decide; may raise what a bug of ours raises."""
        options = self._pipeline.options
        began = self._pipeline.clock.monotonic()
        truncated = len(raw) > options.max_scan_size
        message = Message(raw[: options.max_scan_size] if truncated else raw, truncated=truncated)
        self._transaction.message = message
        if len(message.raw) > options.pool_size:
            await self._pipeline.scan_pool.run(_parse, message)
        outcomes = await self._runner.finish(options.deadline - (self._pipeline.clock.monotonic() - began))
        result = decide((*outcomes, _structure(message)), self._profile().policy)
        return replace(result, seconds=self._pipeline.clock.monotonic() - self._started)

    async def finish_envelope(self, rules: EnvelopeRules) -> Verdict:
        """Return the verdict on one recipient before the message is there; never raises, except when cancelled.

        Its action is `no action`, `quarantine`, `soft reject` or `reject`: milder ones need the message, and a
        `discard` becomes a reject, for it would drop the message for the other recipients too.
        """
        try:
            return self._envelope_verdict(await self._scan_envelope(rules))
        except Exception as error:  # noqa: BLE001 - a bug of ours must not become the sender's bounce
            self.cancel()
            self._pipeline.recorder.failure(self.id, error)
            return self._failure(b"")

    async def _scan_envelope(self, rules: EnvelopeRules) -> ScanResult:
        outcomes = await self._runner.finish_envelope(self._pipeline.options.deadline)
        policy = self._profile().policy
        thresholds = policy.thresholds if rules.thresholds is None else rules.thresholds
        policy = replace(
            policy,
            thresholds={action: score for action, score in thresholds.items() if action.severity >= _AT_RCPT},
            forced_actions={**policy.forced_actions, **rules.forced_actions},
            composites=self._pipeline.envelope_composites,
        )
        return replace(decide(outcomes, policy), seconds=self._pipeline.clock.monotonic() - self._started)

    def _envelope_verdict(self, result: ScanResult) -> Verdict:
        failed = bool(result.failed_by)
        action = effective_action(result.action, self._delivery, self._pipeline.options.mode, failed=failed)
        if not (action is Action.SOFT_REJECT and failed):
            action, _ = spare(action, self._transaction.envelope.rcpt_to, self._delivery)
        if action is Action.DISCARD:
            action = Action.REJECT
        if action.severity < _AT_RCPT:
            action = Action.NO_ACTION
        return Verdict(action, reply_for(action, result, self.id), result=result)

    def record(self, verdict: Verdict, reply: str) -> None:
        """Write log line, metrics and history row; `reply` is what the client was told. Never waits."""
        seconds = self._pipeline.clock.monotonic() - self._started
        self._pipeline.recorder.message(self._transaction, verdict, self._delivery, reply, self._size, seconds)
        if verdict.result is not None:
            self._pipeline.autolearning.learn(self._transaction, verdict.result.autolearn)

    def record_envelope(self, verdict: Verdict, reply: str) -> None:
        """Write log line and metrics of an answer at RCPT, and a history row when it lets no mail through."""
        seconds = self._pipeline.clock.monotonic() - self._started
        passes = verdict.action is Action.NO_ACTION
        self._pipeline.recorder.message(self._transaction, verdict, self._delivery, reply, 0, seconds, keep=not passes)

    def _verdict(self, raw: bytes, result: ScanResult) -> Verdict:
        options = self._pipeline.options
        action = effective_action(result.action, self._delivery, options.mode, failed=bool(result.failed_by))
        removed: tuple[str, ...] = ()
        if not (action is Action.SOFT_REJECT and result.failed_by):
            action, removed = spare(action, self._transaction.envelope.rcpt_to, self._delivery)
        reply = reply_for(action, result, self.id)
        if reply is not None or action is Action.DISCARD:
            return Verdict(action, reply, result=result)
        edits = verdict_edits(
            raw,
            self._transaction,
            translate(_as_marked(result, action), self._delivery.compat),
            action,
            hostname=options.hostname,
            fields=self._delivery.header_profile,
            subject=options.subject,
            profile=self._profile(),
        )
        return Verdict(action, None, edits, result, removed)

    async def _sealed(self, raw: bytes, verdict: Verdict) -> Verdict:
        """Return the verdict with an ARC set on top of its edits, where one is wanted and possible."""
        sealer, result = self._pipeline.sealer, verdict.result
        outside = self._profile() is self._pipeline.profiles.outside
        if sealer is None or result is None or verdict.reply or verdict.action is Action.DISCARD or not outside:
            return verdict
        validity = next((found.result for found in result.authentication if found.method == "arc"), "")
        results = authentication_results_value(self._pipeline.options.hostname, result.authentication)

        def seal() -> tuple[tuple[str, str], ...]:
            return sealer.seal(verdict.edits.apply(raw), results, validity, self._pipeline.clock.now())

        try:
            large = len(raw) > self._pipeline.options.pool_size
            fields = await self._pipeline.scan_pool.run(seal) if large else seal()
        except Exception as error:  # noqa: BLE001 - the message is as good without a seal
            self._pipeline.recorder.failure(self.id, error)
            return verdict
        return replace(verdict, edits=replace(verdict.edits, insert=(*fields, *verdict.edits.insert)))

    def _profile(self) -> Profile:
        return self._pipeline.profiles.of(self._transaction)

    def _failure(self, raw: bytes) -> Verdict:
        if self._pipeline.options.failure_policy == "accept":
            # Unscanned, but a forged verdict or Authentication-Results of ours must not get through even so.
            with suppress(Exception):
                return Verdict(Action.NO_ACTION, edits=HeaderEdits(forged_fields(raw, self._pipeline.options.hostname)))
        return Verdict(Action.SOFT_REJECT, failure_reply(self.id))


def _parse(message: Message) -> None:
    """Touch what checks read, so that a large message is parsed off the event loop."""
    _ = (message.headers, message.parts, message.text, message.html, message.urls, message.attachments)


def _as_marked(result: ScanResult, action: Action) -> ScanResult:
    """Return what the headers tell: a soft reject that is only marked here is marked like a reject.

    One that a failed check asked for is no evidence against the message.
    """
    if action is Action.ADD_HEADER and result.action is Action.SOFT_REJECT and not result.failed_by:
        return replace(result, action=action)
    return result


def _structure(message: Message) -> CheckOutcome:
    """Return the parser's defects as symbols: what was not scanned is said, never passed over."""
    results = tuple(SymbolResult(defect_symbol(name).name) for name in sorted(message.defects))
    return CheckOutcome("message", Status.OK, results)
