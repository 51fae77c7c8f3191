"""Labelled messages as they were seen when they came in: labels from an index, everything else from the history.

The rule: a message of the index that the history does not know is told and left out; a file alone cannot say which
client sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filterproxy.ruleset.rows import Known, Row
    from filterproxy.services.corpus import IndexLine
    from filterproxy.services.store.history import HistoryRow

_ALL = 10_000_000


def from_history(
    lines: Sequence[IndexLine],
    config: Path | None,
    known: Mapping[str, Known],
    complain: Callable[[str, str], None],
) -> Iterator[Row]:
    """Yield rows in order of delivery, for the messages of the index that the history knows by their Message-ID."""
    from filterproxy.message import Message

    rows = {row.message_id: row for row in asyncio.run(_read(config)) if row.message_id}
    found: list[tuple[float, IndexLine, HistoryRow]] = []
    for line in lines:
        item = line.read()
        row = rows.get(Message(item.raw).message_id) if item.raw is not None else None
        if row is None:
            complain(line.path, item.error or "the history does not know its Message-ID")
        else:
            found.append((row.time, line, row))
    for _, line, row in sorted(found, key=lambda entry: entry[0]):
        yield _row(line, row, known)


async def _read(config: Path | None) -> list[HistoryRow]:
    """Return the whole history; raise FilterproxyError when there is none."""
    from filterproxy.app.compose import load_config
    from filterproxy.core.errors import FilterproxyError
    from filterproxy.services.store.sqlite import SqliteStore

    path = load_config(config).store_path
    if not path.exists():
        raise FilterproxyError(f"{path}: no such file; is 'store:' right, and has the service run?")
    store = SqliteStore(path)
    try:
        return await store.history(limit=_ALL)
    finally:
        await store.close()


def _row(line: IndexLine, row: HistoryRow, known: Mapping[str, Known]) -> Row:
    """Return the row; what fired is taken with the score it had then, in shares of today's."""
    from filterproxy.ruleset.rows import Row

    fired = {item.name: _weight(item.score, known.get(item.name)) for item in row.symbols}
    forced = any(known[name].forces for name in fired if name in known)
    return Row(line.path, line.judge == "spam", fired, forced)


def _weight(score: float, symbol: Known | None) -> float:
    """Return how strongly a symbol fired; rules fire wholly, so a score that was another one then does not matter."""
    if symbol is None or not symbol.score or symbol.check == "rules":
        return 1.0
    return min(1.0, max(0.0, score / symbol.score))
