"""One deadline for a transaction; everything else nests inside it. The clock is handed in, never looked up."""

from __future__ import annotations

from dataclasses import dataclass

from filterproxy.core.ports import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Return the deadline that many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.at - self.clock.monotonic())

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and one that many seconds from now."""
        return Deadline(self.clock, min(self.at, self.clock.monotonic() + seconds))
