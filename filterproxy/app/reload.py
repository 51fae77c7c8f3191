"""A reload in two phases: every worker builds the new configuration, and only when all could does any of them use it.

The rule: whatever goes wrong, the configuration in use stays in use.
"""

from __future__ import annotations

from collections.abc import Iterable

from filterproxy.app.control import ControlMessage, Word
from filterproxy.config.loader import Loaded

ANSWER_TIMEOUT = 60.0

# Taken at the start only: they are bound, forked or opened before a worker exists.
_START_ONLY = ("workers", "store", "log", "user", "group")


class Reload:
    """The answers of the workers to one `prepare`."""

    def __init__(self, generation: int, config: Loaded, pids: Iterable[int], deadline: float) -> None:
        self.generation = generation
        self.config = config
        self.deadline = deadline
        self.faults: list[str] = []
        self._waiting = set(pids)

    @property
    def complete(self) -> bool:
        """Tell whether every worker has answered, or one has refused."""
        return bool(self.faults) or not self._waiting

    def answer(self, pid: int, message: ControlMessage) -> None:
        """Take a worker's answer; one to an earlier reload is not for us."""
        if message.generation != self.generation or message.word not in (Word.PREPARED, Word.REFUSED):
            return
        self._waiting.discard(pid)
        if message.word is Word.REFUSED:
            self.faults.extend(message.lines)

    def ended(self, pid: int) -> None:
        """Take note that a worker died before it answered."""
        if pid in self._waiting:
            self._waiting.discard(pid)
            self.faults.append(f"worker {pid} ended while it built the new configuration")

    def expire(self, now: float) -> None:
        """Give up on workers that have not answered by the deadline."""
        if self._waiting and now >= self.deadline:
            self.faults.append(f"workers did not answer within {ANSWER_TIMEOUT:g} s")


def needs_restart(old: Loaded, new: Loaded) -> list[str]:
    """Return the changed keys that only a restart takes up; of the listeners those that came, went or moved."""
    changed = [key for key in _START_ONLY if getattr(old.settings, key) != getattr(new.settings, key)]
    before, after = ({f"{item.type} {item.address}" for item in loaded.settings.listeners} for loaded in (old, new))
    return [f"listeners: {name}" for name in sorted(before ^ after)] + changed
