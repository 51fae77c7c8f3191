"""Answers kept for as long as their TTL says, within bounds, least recently used first out.

The one rule: memory is bounded by the number of entries and by their size, time by the bounds, whatever a TTL says.
"""

from __future__ import annotations

from dataclasses import dataclass

from filterproxy.core.ports import Clock, DnsAnswer, DnsStatus

Key = tuple[bytes, int]

_OVERHEAD = 600  # octets of an entry beside its records: key, answer, tuples


@dataclass(frozen=True, slots=True)
class TtlBounds:
    """Seconds an answer is kept: at least `least`, at most `most` (`most_negative` for 'does not exist').

    A failure is kept for `failure` seconds (RFC 9520 section 3.2 asks for at least one).
    """

    least: float = 1.0
    most: float = 3600.0
    most_negative: float = 300.0
    failure: float = 5.0

    def apply(self, answer: DnsAnswer, ttl: float) -> float:
        """Return the seconds to keep the answer."""
        if answer.status is DnsStatus.TEMPERROR:
            return self.failure
        most = self.most if answer.status is DnsStatus.FOUND else self.most_negative
        return min(max(ttl, self.least), most)


class AnswerCache:
    """A bounded dictionary of answers; the clock decides what is stale. `size` is in octets, about."""

    def __init__(self, entries: int, clock: Clock, bounds: TtlBounds | None = None, *, size: int = 1 << 25) -> None:
        self._entries, self._size, self._clock = entries, size, clock
        self._bounds = bounds or TtlBounds()
        self._answers: dict[Key, tuple[DnsAnswer, float, int]] = {}
        self._used = 0

    def __len__(self) -> int:
        """Return the number of answers kept, stale ones included."""
        return len(self._answers)

    def get(self, key: Key) -> DnsAnswer | None:
        """Return the answer, or None when there is none that still holds."""
        entry = self._answers.pop(key, None)
        if entry is None:
            return None
        if entry[1] <= self._clock.monotonic():
            self._used -= entry[2]
            return None
        self._answers[key] = entry  # now the most recently used
        return entry[0]

    def put(self, key: Key, answer: DnsAnswer, ttl: float) -> None:
        """Keep the answer for its TTL within the bounds; the oldest entries go when there is too much."""
        self._drop(key)
        size = _OVERHEAD + sum(map(len, answer.records))
        if not self._entries or size > self._size:
            return
        while len(self._answers) >= self._entries or self._used + size > self._size:
            self._drop(next(iter(self._answers)))
        self._used += size
        self._answers[key] = (answer, self._clock.monotonic() + self._bounds.apply(answer, ttl), size)

    def _drop(self, key: Key) -> None:
        entry = self._answers.pop(key, None)
        if entry is not None:
            self._used -= entry[2]
