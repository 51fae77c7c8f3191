"""The one thread of a process that writes to the database: batches of history rows, single values, purging.

The rule: nobody on the mail path waits for the disk. While the database cannot be written, rows wait in a bounded
queue; beyond the bound they are counted as lost, and the operator is told once a period, not once a message.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from filterproxy.core.errors import ConfigError
from filterproxy.core.ports import Clock
from filterproxy.services.store.connection import BUSY_SECONDS, StoreError, file_identity, open_for_writing
from filterproxy.services.store.history import COLUMNS, HistoryRow, encode

_INSERT = f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_PUT = "INSERT OR REPLACE INTO state (namespace, key, value, expires) VALUES (?, ?, ?, ?)"
_PURGE_HISTORY = "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE time < ? ORDER BY time LIMIT ?)"
_PURGE_STATE = (
    "DELETE FROM state WHERE (namespace, key) IN (SELECT namespace, key FROM state WHERE expires < ? LIMIT ?)"
)


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Bounds and intervals in seconds; `retention` is the age at which history rows are removed."""

    retention: float = 30 * 86400.0
    queue_rows: int = 10_000
    batch_rows: int = 500
    batch_seconds: float = 0.2
    busy_seconds: float = BUSY_SECONDS
    retry_seconds: float = 5.0
    warn_seconds: float = 60.0
    purge_seconds: float = 3600.0
    purge_rows: int = 1000


@dataclass(slots=True)
class Put:
    """A value on its way to the database; `done` gets None, or StoreError."""

    values: tuple[str, str, bytes, float | None]
    done: Future[None] = field(default_factory=Future)


class StoreWriter:
    """The queue, the thread and its connection. `warn`, `recovered` and `lost` are called from that thread."""

    def __init__(
        self,
        path: Path,
        options: WriterOptions,
        clock: Clock,
        *,
        warn: Callable[[str], None],
        recovered: Callable[[str], None],
        lost: Callable[[int], None],
    ) -> None:
        self._path, self._options, self._clock = path, options, clock
        self._warn, self._recovered, self._lost = warn, recovered, lost
        self._changed = threading.Condition()
        self._rows: deque[HistoryRow] = deque()
        self._puts: deque[Put] = deque()
        self._busy = self._closing = self._gathering = False
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._overflow = 0
        self._lost_since_warning = 0
        self._failing = False
        self._next_warning = 0.0
        self._next_purge = 0.0

    def start(self) -> None:
        """Open the database and start the thread; raise ConfigError when the configuration is what is wrong."""
        try:
            self._connect()
        except sqlite3.Error as error:
            self._failed(error)
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def record(self, row: HistoryRow) -> None:
        """Queue a row, or count it as lost when the queue is full."""
        with self._changed:
            if len(self._rows) >= self._options.queue_rows or self._closing:
                self._overflow += 1
            else:
                self._rows.append(row)
            # While rows gather to a batch, waking the thread for each would cost more than the row.
            if not self._gathering or len(self._rows) >= self._options.batch_rows:
                self._changed.notify_all()

    def put(self, put: Put) -> None:
        """Queue a value; its future says what became of it."""
        with self._changed:
            if self._closing or len(self._puts) >= self._options.queue_rows:
                put.done.set_exception(StoreError("the store is closed or overloaded"))
                return
            self._puts.append(put)
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued is written or lost; return False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._rows or self._puts or self._busy), timeout)

    def close(self, timeout: float) -> None:
        """Write what is queued, once, and stop."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while not self._closing:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(self._has_work, max(0.0, self._next_purge - time.monotonic()))
                self._gather()
                self._busy = True
            self._work()
            if self._failing:
                self._pause()
        self._work()
        self._finish()

    def _has_work(self) -> bool:
        return bool(self._rows or self._puts or self._overflow or self._closing)

    def _gather(self) -> None:
        """Give rows a moment to become a batch, unless somebody waits for a value."""
        if self._rows and not self._puts:
            self._gathering = True
            self._changed.wait_for(
                lambda: self._puts or self._closing or len(self._rows) >= self._options.batch_rows,
                self._options.batch_seconds,
            )
            self._gathering = False

    def _work(self) -> None:
        try:
            connection = self._connect()
            self._write_puts(connection)
            while self._write_rows(connection):
                pass
            self._purge(connection)
        except (sqlite3.Error, ConfigError) as error:
            self._disconnect()
            self._failed(error)
        else:
            self._succeeded()
        self._count_overflow()

    def _connect(self) -> sqlite3.Connection:
        """Return the open connection, or a new one: SQLite goes on writing to a file that was moved away."""
        if self._connection is not None and file_identity(self._path) != self._file:
            self._disconnect()
        if self._connection is None:
            self._connection = open_for_writing(self._path, busy_seconds=self._options.busy_seconds)
            self._file = file_identity(self._path)
        return self._connection

    def _write_puts(self, connection: sqlite3.Connection) -> None:
        puts = self._take_puts()
        if not puts:
            return
        try:
            _transact(connection, lambda: connection.executemany(_PUT, [put.values for put in puts]))
        except sqlite3.Error as error:
            for put in puts:
                put.done.set_exception(StoreError(f"cannot write the store: {error}"))
            raise
        for put in puts:
            put.done.set_result(None)

    def _write_rows(self, connection: sqlite3.Connection) -> bool:
        """Write one batch; tell whether more is waiting. Rows leave the queue only when they are written."""
        with self._changed:
            batch = [self._rows[number] for number in range(min(len(self._rows), self._options.batch_rows))]
        if not batch:
            return False
        _transact(connection, lambda: connection.executemany(_INSERT, [encode(row) for row in batch]))
        with self._changed:
            for _ in batch:
                self._rows.popleft()
            return bool(self._rows)

    def _purge(self, connection: sqlite3.Connection) -> None:
        """Remove one batch of what is too old; come back at once while there is more."""
        if time.monotonic() < self._next_purge:
            return
        now, limit = self._clock.now().timestamp(), self._options.purge_rows
        removed = 0
        for statement, before in ((_PURGE_HISTORY, now - self._options.retention), (_PURGE_STATE, now)):
            cursor = connection.execute(statement, (before, limit))
            removed = max(removed, cursor.rowcount)
        more = removed >= limit
        connection.execute("PRAGMA incremental_vacuum(1000)").fetchall()
        self._next_purge = 0.0 if more else time.monotonic() + self._options.purge_seconds

    def _pause(self) -> None:
        """Wait before the next try; values asked for meanwhile fail at once rather than late."""
        until = time.monotonic() + self._options.retry_seconds
        while not self._closing and (left := until - time.monotonic()) > 0:
            self._fail_puts("the store cannot be written now")
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closing or self._puts, left)

    def _take_puts(self) -> list[Put]:
        """Return the values that somebody still waits for."""
        with self._changed:
            puts = [put for put in self._puts if put.done.set_running_or_notify_cancel()]
            self._puts.clear()
        return puts

    def _fail_puts(self, reason: str) -> None:
        for put in self._take_puts():
            put.done.set_exception(StoreError(reason))

    def _failed(self, error: sqlite3.Error | ConfigError) -> None:
        self._failing = True
        self._next_purge = max(self._next_purge, time.monotonic() + self._options.retry_seconds)
        self._tell(f"cannot write {self._path}: {getattr(error, 'reason', error)}; mail flows on without history")

    def _succeeded(self) -> None:
        if self._failing:
            self._failing = False
            self._next_warning = 0.0
            self._recovered(f"{self._path} can be written again")

    def _count_overflow(self) -> None:
        with self._changed:
            count, self._overflow = self._overflow, 0
        if count:
            self._lost(count)
            self._lost_since_warning += count
            self._tell("history rows come faster than they can be written")

    def _tell(self, text: str) -> None:
        """Warn, at most once a period."""
        if time.monotonic() < self._next_warning:
            return
        self._next_warning = time.monotonic() + self._options.warn_seconds
        lost, self._lost_since_warning = self._lost_since_warning, 0
        self._warn(f"{text} ({len(self._rows)} rows wait, {lost} lost)")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _finish(self) -> None:
        self._fail_puts("the store is closed")
        with self._changed:
            count = len(self._rows)
            self._rows.clear()
            self._busy = False
            self._changed.notify_all()
        if count:
            self._lost(count)
            self._warn(f"{count} history rows were lost at shutdown: {self._path} cannot be written")
        self._disconnect()


def _transact(connection: sqlite3.Connection, write: Callable[[], object]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        write()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
