"""The CPU time of a process and everything below it, from /proc (Linux).

The rule: nothing is counted twice or lost: living processes count themselves and the children they have reaped.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def end_with_all() -> None:
    """Let SIGTERM end this program as an error does, so that what it has started ends too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return user and system seconds so far of these processes, their living descendants and their reaped children."""
    times, children = _snapshot()
    return sum(times.get(pid, 0) for pid in _below(roots, children)) / _TICK


def descendants(roots: Iterable[int]) -> list[int]:
    """Return these processes and everything living below them."""
    return sorted(_below(roots, _snapshot()[1]))


def _below(roots: Iterable[int], children: dict[int, list[int]]) -> set[int]:
    pending, seen = list(roots), set[int]()
    while pending:
        pid = pending.pop()
        if pid not in seen:
            seen.add(pid)
            pending += children.get(pid, [])
    return seen


def _snapshot() -> tuple[dict[int, int], dict[int, list[int]]]:
    """Return ticks by process, and children by parent."""
    times: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything, so count from its end: state is field 3, ppid 4, utime 14.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(folder.name)
        times[pid] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(pid)
    return times, children


def pss_mib(root: int) -> float:
    """Return the proportional set size of a process and everything living below it, in MiB."""
    total = 0
    for pid in descendants([root]):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024
