"""Runs checks for one transaction: each starts when its stage's data exists, all end under one deadline.

The rule: whatever a check does (raises, sleeps, burns CPU, returns garbage) becomes an outcome, never an exception
here and never silence.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from filterproxy.core.check import Check, Stage
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.ports import Clock
from filterproxy.core.symbol import SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline.registry import CheckSet
from filterproxy.pipeline.step_guard import Guarded, StepGuard, StepOverrun

# Seconds that checks may be stepped at once, one after the other; what is left then gets tasks, so that others come in.
_AT_ONCE = 0.005

_Found = tuple[Status, tuple[SymbolResult, ...], str]
_Inspect = Callable[[Transaction], Coroutine[Any, Any, Sequence[SymbolResult]]]


class Runner:
    """The checks of one transaction, from its first stage to its outcomes.

    A check that is `immediate` begins without a task of its own, and needs none when it never waits.
    """

    def __init__(self, checks: CheckSet, transaction: Transaction, clock: Clock, guard: StepGuard) -> None:
        self._checks = checks
        self._transaction = transaction
        self._clock = clock
        self._guard = guard
        self._begun: dict[str, asyncio.Task[CheckOutcome] | CheckOutcome] = {}
        self._started_at: dict[str, float] = {}

    def reached(self, stage: Stage) -> None:
        """Start every check whose stage has come and that has not been started."""
        started = now = self._clock.monotonic()
        for check in self._checks.checks:
            if self._checks.stages[check.name] > stage or check.name in self._begun:
                continue
            self._started_at[check.name] = now
            if check.immediate and now - started < _AT_ONCE and not self._earlier(check):
                self._begun[check.name] = self._begin(check, now)
                now = self._clock.monotonic()
            else:
                self._begun[check.name] = self._task(check, self._run(check, check.inspect))

    def reached_rcpt_alone(self) -> None:
        """Start every check for an answer without the message: of checks for later, what they say of an envelope."""
        self.reached(Stage.RCPT)
        for check in self._checks.checks:
            if check.name not in self._begun and type(check).inspect_envelope is not Check.inspect_envelope:
                self._started_at[check.name] = self._clock.monotonic()
                self._begun[check.name] = self._task(check, self._run(check, check.inspect_envelope))

    async def finish_envelope(self, seconds: float) -> tuple[CheckOutcome, ...]:
        """Wait for what is known without the message, at most that many seconds; return the outcomes."""
        self.reached_rcpt_alone()
        return await self._ended(seconds)

    async def finish(self, seconds: float) -> tuple[CheckOutcome, ...]:
        """Wait for all checks, at most that many seconds; return one outcome for each, in the checks' order."""
        self.reached(Stage.MESSAGE)
        return await self._ended(seconds)

    async def _ended(self, seconds: float) -> tuple[CheckOutcome, ...]:
        tasks = [entry for entry in self._begun.values() if not isinstance(entry, CheckOutcome)]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        outcomes = tuple(self._outcome(name, entry) for name, entry in self._begun.items())
        self.cancel()
        self._transaction.outcomes.update({outcome.check: outcome for outcome in outcomes})
        return outcomes

    def cancel(self) -> None:
        """Drop what still runs; a check that ignores its cancellation is not waited for."""
        for entry in self._begun.values():
            if not isinstance(entry, CheckOutcome):
                entry.cancel()

    def _outcome(self, name: str, entry: asyncio.Task[CheckOutcome] | CheckOutcome) -> CheckOutcome:
        if isinstance(entry, CheckOutcome):
            return entry
        if entry.done() and not entry.cancelled():
            return entry.result()
        seconds = self._clock.monotonic() - self._started_at[name]
        return CheckOutcome(name, Status.TIMED_OUT, reason="the message's deadline came first", seconds=seconds)

    def _earlier(self, check: Check[Any]) -> list[asyncio.Task[CheckOutcome]]:
        """Return the checks that this one comes after and that are not done."""
        entries = [self._begun[name] for name in check.after if name in self._begun]
        return [entry for entry in entries if not isinstance(entry, CheckOutcome) and not entry.done()]

    def _task(self, check: Check[Any], coroutine: Coroutine[Any, Any, CheckOutcome]) -> asyncio.Task[CheckOutcome]:
        return asyncio.create_task(coroutine, name=f"check {check.name}")

    def _begin(self, check: Check[Any], started: float) -> asyncio.Task[CheckOutcome] | CheckOutcome:
        """Take the check's first step; return its outcome, or the task in which it goes on."""
        if self._is_skipped(check):
            return self._done(CheckOutcome(check.name, Status.SKIPPED))
        try:
            inspecting = self._guard.guarded(check.inspect(self._transaction))
            if not inspecting.begin():
                return self._task(check, self._finish(check, inspecting, started))
            found = _verified(inspecting.result, self._checks.declared[check.name])
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - nobody cancels what has no task
            found = _failure(check, error)
        return self._done(CheckOutcome(check.name, *found, self._clock.monotonic() - started))

    async def _run(self, check: Check[Any], inspect: _Inspect) -> CheckOutcome:
        """Inspect in a task, once those have ended that the check comes after."""
        if self._is_skipped(check):
            return self._done(CheckOutcome(check.name, Status.SKIPPED))
        earlier = self._earlier(check)
        if earlier:
            await asyncio.wait(earlier)
        inspecting = self._guard.guarded(self._asked(inspect))
        return await self._finish(check, inspecting, self._clock.monotonic())

    async def _asked(self, inspect: _Inspect) -> Any:
        return await inspect(self._transaction)  # which may be no coroutine at all, and fail here

    async def _finish(self, check: Check[Any], inspecting: Guarded[Any], started: float) -> CheckOutcome:
        """Inspect, or go on with it, inside the check's time-out."""
        try:
            async with asyncio.timeout(check.config.timeout):
                found = _verified(await inspecting, self._checks.declared[check.name])
        except Exception as error:  # noqa: BLE001 - a check's bug is an outcome with its reason in the log
            found = _failure(check, error)
        return self._done(CheckOutcome(check.name, *found, self._clock.monotonic() - started))

    def _is_skipped(self, check: Check[Any]) -> bool:
        config, transaction = check.config, self._transaction
        return bool((transaction.user and not config.authenticated) or (transaction.local and not config.local))

    def _done(self, outcome: CheckOutcome) -> CheckOutcome:
        self._transaction.outcomes[outcome.check] = outcome
        return outcome


def _failure(check: Check[Any], error: BaseException) -> _Found:
    """Return what an exception says of a check, for the log."""
    if isinstance(error, TimeoutError):
        return Status.TIMED_OUT, (), f"no answer within {check.config.timeout:g} s"
    if isinstance(error, StepOverrun):
        return Status.TIMED_OUT, (), str(error)
    if isinstance(error, FilterproxyError):
        return Status.FAILED, (), error.reason
    return Status.FAILED, (), f"{type(error).__name__}: {error}"


def _verified(results: Any, declared: frozenset[str]) -> _Found:
    """Return the results as a tuple, or a failure that says what about them is not as the interface wants it."""
    if not isinstance(results, Sequence) or not all(isinstance(item, SymbolResult) for item in results):
        return Status.FAILED, (), f"inspect() returned {_shorten(results)} instead of SymbolResults"
    for item in results:
        if item.name not in declared:
            return Status.FAILED, (), f"fired {item.name}, which it does not declare"
        if not isinstance(item.weight, int | float) or not math.isfinite(item.weight):
            return Status.FAILED, (), f"{item.name} has the weight {item.weight!r}"
        if not all(isinstance(option, str) for option in item.options):
            return Status.FAILED, (), f"{item.name} has options that are not text"
    return Status.OK, tuple(results), ""


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
