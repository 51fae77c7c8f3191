"""Watches how long the event loop is held: while one session's work runs, no other session moves on.

The rule: cheap enough to be always on: the clock is read twice each time the loop looks for events, nothing else.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics

T = TypeVar("T")

# Seconds; more than this is counted.
LIMIT = 0.01
# Seconds between two warnings.
_WARNING_INTERVAL = 60.0


class WatchedSelector(selectors.DefaultSelector):
    """A selector that tells `held` the seconds between two questions for events when they are more than LIMIT."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.held: Callable[[float], None] | None = None
        self._monotonic = monotonic
        self._woke = monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, as the base class does."""
        seconds = self._monotonic() - self._woke
        if seconds > LIMIT and self.held is not None:
            self.held(seconds)
        events = super().select(timeout)
        self._woke = self._monotonic()
        return events


class LoopWatch:
    """Counts in the metrics what a WatchedSelector tells, and warns of it at most once a minute.

    Nothing is counted before `begin`: until then nobody is served.
    """

    def __init__(self, metrics: Metrics, log: MailLog, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._log, self._monotonic = metrics, log, monotonic
        self._count, self._longest = 0, 0.0
        self._next_warning = monotonic()
        self._begun = False

    def begin(self) -> None:
        """Count from now on, but for the step that is being taken."""
        asyncio.get_running_loop().call_soon(setattr, self, "_begun", True)

    def held(self, seconds: float) -> None:
        """Count it."""
        if not self._begun:
            return
        self._metrics.event_loop_held(seconds)
        self._count += 1
        self._longest = max(self._longest, seconds)
        now = self._monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _WARNING_INTERVAL
            self._log.warning(
                "event loop", f"held longer than {LIMIT * 1000:g} ms: times={self._count} longest={self._longest:.3f}"
            )
            self._count, self._longest = 0, 0.0


def run_watched(main: Coroutine[Any, Any, T], watch: LoopWatch) -> T:
    """Run a coroutine as asyncio.run does, on an event loop that is watched."""
    selector = WatchedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        selector.held = watch.held
        return runner.run(main)
