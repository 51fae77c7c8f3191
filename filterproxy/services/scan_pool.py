"""Where long CPU work runs so that the event loop stays free for other sessions.

The rule: the pool is bounded, and so is its queue; work beyond that is refused at once rather than piled up, because a
message that waits past its deadline is lost work anyway. A running function cannot be stopped, only abandoned.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from filterproxy.core.errors import CheckError

P = ParamSpec("P")
T = TypeVar("T")

_WAITING_A_THREAD = 64


class ThreadScanPool:
    """A core.ports.ScanPool of threads: libraries that release the interpreter lock run in parallel in it."""

    def __init__(self, workers: int = 0) -> None:
        """Make a pool of `workers` threads; 0 is two more than there are cores, at least four."""
        count = workers or max(4, (os.cpu_count() or 1) + 2)
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="scan")
        self._room = count * (1 + _WAITING_A_THREAD)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result, or raise what it raised; raise CheckError when the pool is full.

        Cancelling gives up the wait; the function itself runs to its end unless it has not begun.
        """
        if self._room <= 0:
            raise CheckError("the scan pool is full")
        self._room -= 1
        loop = asyncio.get_running_loop()
        try:
            future = self._executor.submit(partial(function, *args, **kwargs))
        except RuntimeError as error:
            self._room += 1
            raise CheckError("the scan pool is closed") from error
        future.add_done_callback(partial(self._done, loop))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Refuse new work and drop what has not begun; does not wait for what is running."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _done(self, loop: asyncio.AbstractEventLoop, _: Future[Any]) -> None:
        # The count belongs to the loop's thread; a loop that is closed has no more use for it.
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._give_back)

    def _give_back(self) -> None:
        self._room += 1
