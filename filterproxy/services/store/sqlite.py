"""The store on SQLite: history and small values, shared by all workers through one file in WAL mode.

The rule: writing happens in the writer's thread, reading in another one, and neither ever in the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from filterproxy.core.ports import Clock
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics
from filterproxy.services.clock import SystemClock
from filterproxy.services.store.connection import StoreError, file_identity, open_for_reading
from filterproxy.services.store.history import COLUMNS, HistoryRow, decode
from filterproxy.services.store.writer import Put, StoreWriter, WriterOptions

T = TypeVar("T")

_GET = "SELECT value FROM state WHERE namespace = ? AND key = ? AND (expires IS NULL OR expires > ?)"


class SqliteStore:
    """A core.ports.Store that also keeps the history.

    Without `log` and `metrics` what is lost is still counted in `dropped`. `retention` 0 keeps no history.
    """

    def __init__(
        self,
        path: Path,
        *,
        log: MailLog | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        options: WriterOptions | None = None,
    ) -> None:
        self.path = path
        self.dropped = 0
        self._log, self._metrics = log, metrics
        self._clock = clock or SystemClock()
        self._options = options or WriterOptions()
        self._writer = StoreWriter(
            path, self._options, self._clock, warn=self._warn, recovered=self._recovered, lost=self._lost
        )
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    async def start(self) -> None:
        """Open the database; raise ConfigError when its place or its version is wrong.

        A database that cannot be used at the moment (locked, full, damaged) is a warning: mail comes first.
        """
        await self._read(self._writer.start)

    async def close(self) -> None:
        """Write what is queued and close."""
        await self._read(lambda: self._writer.close(self._options.busy_seconds + 5))
        await self._read(self._disconnect)
        self._reader.shutdown()

    def record(self, row: HistoryRow) -> None:
        """Queue a row of the history; returns at once and never raises."""
        if self._options.retention > 0:
            self._writer.record(row)

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything recorded so far is written or lost; return False when that takes longer."""
        return await asyncio.to_thread(self._writer.flush, timeout)

    async def get(self, namespace: str, key: str) -> bytes | None:
        """Return the value, or None when it is absent or expired; raise StoreError."""
        values = (namespace, key, self._clock.now().timestamp())
        rows = await self._read(lambda: self._select(_GET, values))
        return bytes(rows[0][0]) if rows else None

    async def put(self, namespace: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store the value, for `ttl` seconds or for good; returns when it is on disk; raise StoreError."""
        expires = None if ttl is None else self._clock.now().timestamp() + ttl
        put = Put((namespace, key, value, expires))
        self._writer.put(put)
        await asyncio.wrap_future(put.done)

    async def history(
        self,
        *,
        limit: int = 100,
        since: float | None = None,
        action: str = "",
        sender: str = "",
        recipient: str = "",
        queue_id: str = "",
        symbol: str = "",
    ) -> list[HistoryRow]:
        """Return rows, newest first; raise StoreError.

        `since` is in seconds since the epoch; `sender` and `recipient` match any part of an address, ignoring case;
        `action`, `queue_id` and `symbol` (one that fired) match exactly.
        """
        query, values = _history_query(limit, since, action, sender, recipient, queue_id, symbol)
        return [decode(row) for row in await self._read(lambda: self._select(query, values))]

    async def history_page(
        self, *, limit: int, before: int | None = None, row_id: int | None = None, **filters: Any
    ) -> list[tuple[int, HistoryRow]]:
        """Return rows with their ids, the newest id first; raise StoreError.

        `before` leaves out this id and newer ones, `row_id` all but one; `filters` are those of `history`.
        """
        query, values = _page_query(limit, before, row_id, **filters)
        return [(row[0], decode(row[1:])) for row in await self._read(lambda: self._select(query, values))]

    async def _read(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, function)

    def _select(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None or file_identity(self.path) != self._file:
                self._disconnect()
                self._connection = open_for_reading(self.path, busy_seconds=self._options.busy_seconds)
                self._file = file_identity(self.path)
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreError(f"cannot read {self.path}: {error}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _warn(self, text: str) -> None:
        if self._log is not None:
            self._log.warning("store", text)

    def _recovered(self, text: str) -> None:
        if self._log is not None:
            self._log.info("store", text)

    def _lost(self, count: int) -> None:
        self.dropped += count
        if self._metrics is not None:
            self._metrics.history_dropped(count)


def _history_query(limit: int, *filters: Any) -> tuple[str, tuple[Any, ...]]:
    where, values = _where(_filters(*filters))
    # Only constants of this module are put together here; every value is bound.
    query = f"SELECT {', '.join(COLUMNS)} FROM history {where} ORDER BY time DESC, id DESC LIMIT ?"  # noqa: S608
    return query, (*values, limit)


def _page_query(
    limit: int,
    before: int | None,
    row_id: int | None,
    since: float | None = None,
    action: str = "",
    sender: str = "",
    recipient: str = "",
    queue_id: str = "",
    symbol: str = "",
) -> tuple[str, tuple[Any, ...]]:
    filters = _filters(since, action, sender, recipient, queue_id, symbol)
    where, values = _where([("id < ?", before), ("id = ?", row_id), *filters])
    query = f"SELECT id, {', '.join(COLUMNS)} FROM history {where} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return query, (*values, limit)


def _filters(
    since: float | None, action: str, sender: str, recipient: str, queue_id: str, symbol: str
) -> list[tuple[str, Any]]:
    return [
        ("time >= ?", since),
        ("action = ?", action or None),
        ("queue_id = ?", queue_id or None),
        ("mail_from LIKE ? ESCAPE '\\'", _like(sender)),
        ("EXISTS (SELECT 1 FROM json_each(rcpt_to) WHERE value LIKE ? ESCAPE '\\')", _like(recipient)),
        ("EXISTS (SELECT 1 FROM json_each(symbols) WHERE json_extract(value, '$[0]') = ?)", symbol or None),
    ]


def _where(filters: list[tuple[str, Any]]) -> tuple[str, tuple[Any, ...]]:
    used = [(condition, value) for condition, value in filters if value is not None]
    where = "WHERE " + " AND ".join(condition for condition, _ in used) if used else ""
    return where, tuple(value for _, value in used)


def _like(part: str) -> str | None:
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if part else None
