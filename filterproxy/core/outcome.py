"""What became of a check: it answered, it ran out of time, or it failed. None of these is silence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from filterproxy.core.symbol import SymbolResult


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A check's end: its results (empty unless OK), the private reason otherwise, and its seconds."""

    check: str
    status: Status
    results: tuple[SymbolResult, ...] = ()
    reason: str = ""
    seconds: float = 0.0
