"""How long to wait before a crashed worker is started again: not at all at first, longer when it keeps crashing."""

from __future__ import annotations

STABLE_SECONDS = 10.0
LONGEST_WAIT = 30.0


class Backoff:
    """The waits of one worker, in seconds: 0, 1, 2, 4 … 30; it starts over after a stable run."""

    def __init__(self) -> None:
        self._crashes = 0

    def crashed(self, lifetime: float) -> float:
        """Return the wait after a crash of a process that had lived that long."""
        self._crashes = 1 if lifetime >= STABLE_SECONDS else self._crashes + 1
        return 0.0 if self._crashes == 1 else min(LONGEST_WAIT, 2.0 ** (self._crashes - 2))
