"""Labelled messages through all configured checks, by several processes: rows for `rules stats` and `rules tune`.

The rule: rows come in the order of the index, however many processes there are; a message that cannot be read or
scanned is told and left out.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from filterproxy.app.compose import OpenPipeline
    from filterproxy.core.scan_result import ScanResult
    from filterproxy.pipeline import Pipeline
    from filterproxy.ruleset.rows import Known, Row
    from filterproxy.services.corpus import IndexLine

Scanned = tuple[str, "Row | str"]

_BATCH = 32
_AHEAD = 3
_TOGETHER = 8
# Starting a process costs as much as scanning so many messages.
_WORTH_IT = 200


@dataclass(frozen=True, slots=True)
class Way:
    """How a corpus is replayed: by which configuration, whether DNS is asked, by how many processes (0: one a core)."""

    config: Path | None = None
    offline: bool = True
    jobs: int = 0


def replay(lines: Sequence[IndexLine], way: Way, complain: Callable[[str, str], None]) -> Iterator[Row]:
    """Yield the row of each message that can be scanned; `complain(name, why)` is called for the others."""
    for name, scanned in _scan(lines, way):
        if isinstance(scanned, str):
            complain(name, scanned)
        else:
            yield scanned


def known_symbols(way: Way) -> dict[str, Known]:
    """Return what the enabled checks declare, with the scores in use; raise ConfigError when something is wrong."""
    scanner = _Scanner(way)
    try:
        return _known(scanner.opened.pipeline)
    finally:
        scanner.close()


def _scan(lines: Sequence[IndexLine], way: Way) -> Iterator[Scanned]:
    jobs = way.jobs or len(os.sched_getaffinity(0))
    if jobs == 1 or len(lines) < _WORTH_IT:
        scanner = _Scanner(way)
        try:
            for begin in range(0, len(lines), _TOGETHER):
                yield from scanner.scan(lines[begin : begin + _TOGETHER])
        finally:
            scanner.close()
        return
    # Not forked: this process may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(way,)) as pool:
        pending: deque[Future[list[Scanned]]] = deque()
        for begin in range(0, len(lines), _BATCH):
            pending.append(pool.submit(_scan_batch, lines[begin : begin + _BATCH]))
            if len(pending) > jobs * _AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


class _Scanner:
    """A pipeline with an event loop of its own, for code that is not asynchronous."""

    def __init__(self, way: Way) -> None:
        from filterproxy.app.compose import open_pipeline

        self._loop = asyncio.new_event_loop()
        self._context: AbstractAsyncContextManager[OpenPipeline] = open_pipeline(way.config, offline=way.offline)
        self.opened = self._loop.run_until_complete(self._context.__aenter__())

    def scan(self, lines: Sequence[IndexLine]) -> list[Scanned]:
        """Return name and row of each message, or why there is none."""
        return self._loop.run_until_complete(self._scan(lines))

    def close(self) -> None:
        """Close the pipeline and the loop."""
        self._loop.run_until_complete(self._context.__aexit__(None, None, None))
        self._loop.close()

    async def _scan(self, lines: Sequence[IndexLine]) -> list[Scanned]:
        scanned: list[Scanned] = []
        for begin in range(0, len(lines), _TOGETHER):
            scanned += await asyncio.gather(*map(self._scan_one, lines[begin : begin + _TOGETHER]))
        return scanned

    async def _scan_one(self, line: IndexLine) -> Scanned:
        from filterproxy.cli.scanning import Sender, scan_one

        result = await scan_one(self.opened, line.read(), Sender())
        return line.path, result if isinstance(result, str) else row_of(line, result)


def row_of(line: IndexLine, result: ScanResult) -> Row:
    """Return the row of a scan."""
    from filterproxy.ruleset.rows import Row

    fired = {symbol.name: 1.0 for symbol in result.symbols}
    weights: dict[str, float] = {}
    for firing in (firing for outcome in result.outcomes for firing in outcome.results):
        weights[firing.name] = max(weights.get(firing.name, 0.0), firing.weight, key=abs)
    return Row(line.path, line.judge == "spam", fired | weights, bool(result.forced_by or result.failed_by))


def _known(pipeline: Pipeline) -> dict[str, Known]:
    from filterproxy.ruleset.rows import Known

    checks, policy = pipeline.checks, pipeline.policy
    composites = {item.name for item in policy.composites}
    owners = {name: check for check, names in checks.declared.items() for name in names}
    owners |= {item.name: check.name for check in checks.checks for item in check.composites()}
    return {
        name: Known(
            name, policy.score_of(name), symbol.description, owners.get(name, ""), symbol.group,
            policy.group_limits.get(symbol.group, math.inf), name in policy.forced_actions, name in composites,
        )
        for name, symbol in policy.symbols.items()
    }  # fmt: skip


_scanner: _Scanner | None = None


def _start(way: Way) -> None:
    global _scanner
    _scanner = _Scanner(way)
    atexit.register(_scanner.close)


def _scan_batch(lines: Sequence[IndexLine]) -> list[Scanned]:
    assert _scanner is not None
    return _scanner.scan(lines)
