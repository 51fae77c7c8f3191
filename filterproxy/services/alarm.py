"""One timer for a connection that sets a new deadline with every command.

The rule: setting a deadline costs an assignment; the event loop's timer is moved only when it fires too early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` once the seconds of the latest `set` have passed, unless `clear` came first."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._deadline: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def set(self, seconds: float) -> None:
        """Ring in that many seconds from now."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + seconds
        if self._handle is None or self._fires_at > self._deadline:
            self._schedule(loop, self._deadline)

    def clear(self) -> None:
        """Do not ring."""
        self._deadline = None

    def close(self) -> None:
        """Give the timer back."""
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _schedule(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = when
        self._handle = loop.call_at(when, self._fired)

    def _fired(self) -> None:
        self._handle = None
        if self._deadline is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._schedule(loop, self._deadline)
        else:
            self._deadline = None
            self._ring()
