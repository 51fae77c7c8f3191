"""CPU of one thread by stage: each stage counts what it does itself, without the stages inside it.

The rule: every moment belongs to exactly one stage, so that the stages sum up to the whole.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Clock = Callable[[], int]


class Meter:
    """A stack of stages; `spent` holds nanoseconds of this thread's CPU by stage, `entered` how often each began."""

    def __init__(self, outermost: str) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self.entered: dict[str, int] = defaultdict(int)
        self._stack = [outermost]
        self._since = time.thread_time_ns()

    @property
    def stage(self) -> str:
        """Return the stage that is counted now."""
        return self._stack[-1]

    def reset(self) -> None:
        """Forget what was counted."""
        self.spent.clear()
        self.entered.clear()
        self._since = time.thread_time_ns()

    def enter(self, stage: str) -> None:
        """Begin a stage inside the present one."""
        self._book()
        self._stack.append(stage)
        self.entered[stage] += 1

    def leave(self) -> None:
        """End the innermost stage."""
        self._book()
        self._stack.pop()

    def _book(self) -> None:
        now = time.thread_time_ns()
        self.spent[self._stack[-1]] += now - self._since
        self._since = now

    def function(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, counted as that stage."""

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return counted

    def coroutine_function(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the coroutine function, every step of which is counted as that stage."""

        @functools.wraps(function)
        async def counted(*args: Any, **kwargs: Any) -> Any:
            return await _Steps(self, stage, function(*args, **kwargs))

        return counted

    def task_factory(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Make a task whose steps belong to the stage that made it."""
        return asyncio.Task(self.coroutine_function(self.stage, lambda: coroutine)(), loop=loop, **options)


class _Steps:
    """An awaitable that drives a coroutine and counts each of its steps."""

    def __init__(self, meter: Meter, stage: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._meter, self._stage, self._coroutine = meter, stage, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            self._meter.enter(self._stage)
            try:
                waiting_for = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self._meter.leave()
            try:
                value, error = (yield waiting_for), None
            except BaseException as raised:  # cancellation belongs to the coroutine
                error = raised
