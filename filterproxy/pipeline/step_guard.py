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
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# How often the timer looks while guarded coroutines exist, as a share of the limit.
_TICKS_A_LIMIT = 4


class StepOverrun(Exception):
    """A step of a check held the event loop longer than the limit."""


class _Alarm:
    """The process's one interval timer: ticks while guarded steps are taken.

    It stops itself at the first tick between steps, so that a busy filter does not arm it anew for every check.
    """

    def __init__(self) -> None:
        self._installed = False
        self._ticking = False
        self._began = 0.0
        self._limit = 0.0

    def begin(self, limit: float) -> None:
        """Watch the step that begins now."""
        self._limit, self._began = limit, time.monotonic()
        if not self._ticking:
            self._tick(limit / _TICKS_A_LIMIT)

    def end(self) -> None:
        """Watch no more: the step is over."""
        self._began = 0.0

    def stop(self) -> None:
        """Disarm the timer; the next guarded step arms it again."""
        self._ticking = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tick(self, seconds: float) -> None:
        if not self._installed:
            self._install()
        self._ticking = True
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    def _install(self) -> None:
        signal.signal(signal.SIGALRM, self._on_tick)
        # At its end the interpreter gives signals back their default, which for this one is to die.
        atexit.register(self.stop)
        # A child does not inherit the timer, only the belief that it ticks.
        os.register_at_fork(after_in_child=self.stop)
        self._installed = True

    def _on_tick(self, _signum: int, _frame: FrameType | None) -> None:
        if not self._began:
            self.stop()
        elif time.monotonic() - self._began > self._limit:
            raise StepOverrun(f"held the event loop for more than {self._limit:g} s")


_ALARM = _Alarm()


class StepGuard:
    """Steps coroutines under a limit in seconds; outside the main thread or with limit 0 it only passes through."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def guarded(self, coroutine: Coroutine[Any, Any, T]) -> Guarded[T]:
        """Return what steps the coroutine; StepOverrun is raised inside it, and from there, when a step is too long."""
        watched = self._limit > 0 and threading.current_thread() is threading.main_thread()
        return Guarded(coroutine, self._limit if watched else 0.0)


class Guarded(Generic[T]):
    """An awaitable that drives a coroutine step by step; its first step may be taken ahead, outside any task."""

    __slots__ = ("_begun", "_coroutine", "_limit", "_waiting_for", "ended", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T], limit: float) -> None:
        self._coroutine = coroutine
        self._limit = limit
        self._waiting_for: Any = None
        self._begun = self.ended = False
        self.result: T

    def begin(self) -> bool:
        """Take the first step; tell whether it was the last, `result` is then there. Raises what the coroutine does."""
        self._begun = True
        self._waiting_for = self._step(None, None)
        return self.ended

    def __await__(self) -> Generator[Any, Any, T]:
        """Drive the coroutine to its end."""
        if not self._begun:
            self.begin()
        while not self.ended:
            try:
                value, error = (yield self._waiting_for), None
            except BaseException as raised:  # noqa: BLE001 - cancellation too belongs to the guarded coroutine
                value, error = None, raised
            self._waiting_for = self._step(value, error)
        return self.result

    def _step(self, value: Any, error: BaseException | None) -> Any:
        """Return what the coroutine waits for after the step."""
        if self._limit:
            _ALARM.begin(self._limit)
        try:
            return self._coroutine.send(value) if error is None else self._coroutine.throw(error)
        except StopIteration as stop:
            self.ended, self.result = True, stop.value
            return None
        finally:
            _ALARM.end()
