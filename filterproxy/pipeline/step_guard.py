"""A hard limit on how long one step of a check may hold the event loop.

asyncio cannot interrupt a coroutine that computes without awaiting; an interval timer's signal can. The rule: the
signal raises only while a guarded step is running, and both happen in the main thread, so it never hits other code.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class StepOverrun(Exception):
    """A step of a check held the event loop longer than the limit."""


class StepGuard:
    """Steps coroutines under a limit in seconds; without a main thread or with limit 0 it only passes through."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._running = False
        self._installed = False

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the coroutine's result; raise StepOverrun inside it (and from here) when a step takes too long."""
        if not self._usable():
            return await coroutine
        result: T = await _Stepped(coroutine, self)
        return result

    def _usable(self) -> bool:
        if self._limit <= 0 or threading.current_thread() is not threading.main_thread():
            return False
        if not self._installed:
            signal.signal(signal.SIGALRM, self._on_alarm)
            self._installed = True
        return True

    def enter(self) -> None:
        """Arm the timer; it repeats, in case the step swallows the first exception."""
        self._running = True
        signal.setitimer(signal.ITIMER_REAL, self._limit, self._limit)

    def leave(self) -> None:
        """Disarm the timer."""
        self._running = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, _signum: int, _frame: FrameType | None) -> None:
        if self._running:
            raise StepOverrun(f"held the event loop for more than {self._limit:g} s")


class _Stepped:
    """An awaitable that drives a coroutine step by step, each step between `enter` and `leave`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], guard: StepGuard) -> None:
        self._coroutine = coroutine
        self._guard = guard

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            self._guard.enter()
            try:
                waiting_for = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self._guard.leave()
            try:
                value, error = (yield waiting_for), None
            except BaseException as raised:  # noqa: BLE001 - cancellation too belongs to the guarded coroutine
                error = raised
