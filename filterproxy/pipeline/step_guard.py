"""A hard limit on how long one step of a check may hold the event loop.

asyncio cannot interrupt a coroutine that computes without awaiting; an interval timer's signal can. The rule: the
signal raises only while a guarded step is overdue, and both happen in the main thread, so it never hits other code.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# How often the timer looks while guarded coroutines exist, as a share of the limit.
_TICKS_A_LIMIT = 4


class StepOverrun(Exception):
    """A step of a check held the event loop longer than the limit."""


class _Alarm:
    """The process's one interval timer: ticks while any guarded coroutine is alive.

    It stops itself at the first tick without one, so that a busy filter does not arm it anew for every check.
    """

    def __init__(self) -> None:
        self._alive = 0
        self._installed = False
        self._ticking = False
        self.step_began = 0.0
        self.limit = 0.0

    def acquire(self, limit: float) -> None:
        if not self._installed:
            self._install()
        self._alive += 1
        if not self._ticking:
            self._ticking = True
            signal.setitimer(signal.ITIMER_REAL, limit / _TICKS_A_LIMIT, limit / _TICKS_A_LIMIT)

    def release(self) -> None:
        self._alive -= 1

    def stop(self) -> None:
        """Disarm the timer; the next guarded coroutine arms it again."""
        self._ticking = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _install(self) -> None:
        signal.signal(signal.SIGALRM, self._on_tick)
        # At its end the interpreter gives signals back their default, which for this one is to die.
        atexit.register(self.stop)
        # A child does not inherit the timer, only the belief that it ticks.
        os.register_at_fork(after_in_child=self.stop)
        self._installed = True

    def _on_tick(self, _signum: int, _frame: FrameType | None) -> None:
        if self._alive == 0:
            self.stop()
        elif self.step_began and time.monotonic() - self.step_began > self.limit:
            raise StepOverrun(f"held the event loop for more than {self.limit:g} s")


_ALARM = _Alarm()


class StepGuard:
    """Steps coroutines under a limit in seconds; outside the main thread or with limit 0 it only passes through."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the coroutine's result; raise StepOverrun inside it (and from here) when a step takes too long."""
        if self._limit <= 0 or threading.current_thread() is not threading.main_thread():
            return await coroutine
        _ALARM.acquire(self._limit)
        try:
            result: T = await _Stepped(coroutine, self._limit)
        finally:
            _ALARM.release()
        return result


class _Stepped:
    """An awaitable that drives a coroutine step by step and says when each step began."""

    __slots__ = ("_coroutine", "_limit")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], limit: float) -> None:
        self._coroutine = coroutine
        self._limit = limit

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            _ALARM.limit, _ALARM.step_began = self._limit, time.monotonic()
            try:
                waiting_for = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                _ALARM.step_began = 0.0
            try:
                value, error = (yield waiting_for), None
            except BaseException as raised:  # noqa: BLE001 - cancellation too belongs to the guarded coroutine
                error = raised
