"""Learning beside the mail: messages wait in a short queue and are learned one after another in the scan pool.

The rule: nothing here waits for the disk or raises on the way of a message; what cannot be learned is told in the log,
once for each reason, and is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from filterproxy.classifier.feedback import Feedback
from filterproxy.core.errors import FilterproxyError
from filterproxy.core.ports import Log, ScanPool


class BackgroundLearner:
    """Learns on top of whichever model is in use when a message's turn comes."""

    def __init__(self, model: Callable[[], Path], state_dir: Path, pool: ScanPool, log: Log, room: int) -> None:
        self._model, self._state_dir, self._pool, self._log, self._room = model, state_dir, pool, log, room
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._feedback: tuple[Path, Feedback] | None = None
        self._complaint = ""

    @property
    def is_full(self) -> bool:
        """Tell whether another message would not be taken."""
        return len(self._waiting) >= self._room

    def add(self, raw: bytes, is_spam: bool) -> None:
        """Take a message to learn; drop it when the queue is full."""
        if self.is_full:
            return
        self._waiting.append((raw, is_spam))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="autolearn")

    async def close(self) -> None:
        """Learn what is waiting, and close the files."""
        if self._task is not None:
            await self._task
        if self._feedback is not None:
            self._feedback[1].close()
            self._feedback = None

    async def _work(self) -> None:
        while self._waiting:
            raw, is_spam = self._waiting.popleft()
            try:
                await self._pool.run(self._learn, raw, is_spam)
                self._complaint = ""
            except Exception as error:  # noqa: BLE001 - one that cannot be learned must not stop the next
                self._complain(error)

    def _learn(self, raw: bytes, is_spam: bool) -> None:
        path = self._model()
        if self._feedback is None or self._feedback[0] != path:
            if self._feedback is not None:
                self._feedback[1].close()
                self._feedback = None
            self._feedback = path, Feedback(path, self._state_dir)
        self._feedback[1].learn(raw, is_spam, automatic=True)

    def _complain(self, error: Exception) -> None:
        text = str(error) if isinstance(error, FilterproxyError) else f"{type(error).__name__}: {error}"
        if text != self._complaint:
            self._complaint = text
            self._log.warning("a message could not be learned: %s", text)
