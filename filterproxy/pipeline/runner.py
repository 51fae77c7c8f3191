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
from filterproxy.pipeline.step_guard import StepGuard, StepOverrun

Inspect = Callable[[Transaction], Coroutine[Any, Any, Sequence[SymbolResult]]]


class Runner:
    """The checks of one transaction, from its first stage to its outcomes."""

    def __init__(self, checks: CheckSet, transaction: Transaction, clock: Clock, guard: StepGuard) -> None:
        self._checks = checks
        self._transaction = transaction
        self._clock = clock
        self._guard = guard
        self._tasks: dict[str, asyncio.Task[CheckOutcome]] = {}
        self._started_at: dict[str, float] = {}

    def reached(self, stage: Stage) -> None:
        """Start every check whose stage has come and that has not been started."""
        for check in self._checks.checks:
            if self._checks.stages[check.name] <= stage and check.name not in self._tasks:
                self._start(check, check.inspect)

    def _start(self, check: Check[Any], inspect: Inspect) -> None:
        self._started_at[check.name] = self._clock.monotonic()
        self._tasks[check.name] = asyncio.create_task(self._run(check, inspect), name=f"check {check.name}")

    def reached_rcpt_alone(self) -> None:
        """Start every check for an answer without the message: of checks for later, what they say of an envelope."""
        self.reached(Stage.RCPT)
        for check in self._checks.checks:
            if check.name not in self._tasks and type(check).inspect_envelope is not Check.inspect_envelope:
                self._start(check, check.inspect_envelope)

    async def finish_envelope(self, seconds: float) -> tuple[CheckOutcome, ...]:
        """Wait for what is known without the message, at most that many seconds; return the outcomes."""
        self.reached_rcpt_alone()
        return await self._ended(seconds)

    async def finish(self, seconds: float) -> tuple[CheckOutcome, ...]:
        """Wait for all checks, at most that many seconds; return one outcome for each, in the checks' order."""
        self.reached(Stage.MESSAGE)
        return await self._ended(seconds)

    async def _ended(self, seconds: float) -> tuple[CheckOutcome, ...]:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        outcomes = tuple(self._outcome(name, task) for name, task in self._tasks.items())
        self.cancel()
        self._transaction.outcomes.update({outcome.check: outcome for outcome in outcomes})
        return outcomes

    def cancel(self) -> None:
        """Drop what still runs; a check that ignores its cancellation is not waited for."""
        for task in self._tasks.values():
            task.cancel()

    def _outcome(self, name: str, task: asyncio.Task[CheckOutcome]) -> CheckOutcome:
        if task.done() and not task.cancelled():
            return task.result()
        seconds = self._clock.monotonic() - self._started_at[name]
        return CheckOutcome(name, Status.TIMED_OUT, reason="the message's deadline came first", seconds=seconds)

    async def _run(self, check: Check[Any], inspect: Inspect) -> CheckOutcome:
        outcome = await self._answer(check, inspect)
        self._transaction.outcomes[check.name] = outcome
        return outcome

    async def _answer(self, check: Check[Any], inspect: Inspect) -> CheckOutcome:
        config = check.config
        if (self._transaction.user and not config.authenticated) or (self._transaction.local and not config.local):
            return CheckOutcome(check.name, Status.SKIPPED)
        earlier = [task for name in check.after if (task := self._tasks.get(name)) is not None and not task.done()]
        if earlier:
            await asyncio.wait(earlier)
        started = self._clock.monotonic()
        status, results, reason = await self._inspect(check, inspect)
        return CheckOutcome(check.name, status, results, reason, self._clock.monotonic() - started)

    async def _inspect(self, check: Check[Any], inspect: Inspect) -> tuple[Status, tuple[SymbolResult, ...], str]:
        try:
            async with asyncio.timeout(check.config.timeout):
                results = await self._guard.run(inspect(self._transaction))
        except TimeoutError:
            return Status.TIMED_OUT, (), f"no answer within {check.config.timeout:g} s"
        except StepOverrun as error:
            return Status.TIMED_OUT, (), str(error)
        except FilterproxyError as error:
            return Status.FAILED, (), error.reason
        except Exception as error:  # noqa: BLE001 - a check's bug is an outcome with its reason in the log
            return Status.FAILED, (), f"{type(error).__name__}: {error}"
        return _verified(results, self._checks.declared[check.name])


def _verified(results: Any, declared: frozenset[str]) -> tuple[Status, tuple[SymbolResult, ...], str]:
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
