"""A store that is locked, full, damaged or gone: recording never waits, never raises, and what is lost is counted."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from filterproxy.core.errors import ConfigError
from filterproxy.observability.metrics import Metrics
from filterproxy.services.store import writer
from filterproxy.services.store.connection import StoreError
from filterproxy.services.store.history import HistoryRow
from filterproxy.services.store.sqlite import SqliteStore
from filterproxy.services.store.writer import WriterOptions
from tests.unit.observability.log_reader import memory_log

FAST = WriterOptions(retention=10**10, busy_seconds=0.05, retry_seconds=0.05, batch_seconds=0.01, queue_rows=100)


def row(number: int = 1, subject: str = "") -> HistoryRow:
    return HistoryRow(1e6 + number, "no action", 0.0, 6.0, queue_id=str(number), subject=subject)


class Opened:
    """A store with a log and metrics to look at."""

    def __init__(self, path: Path, options: WriterOptions = FAST) -> None:
        self.log, self.sink = memory_log()
        self.metrics = Metrics()
        self.store = SqliteStore(path, log=self.log, metrics=self.metrics, options=options)

    async def __aenter__(self) -> Opened:
        await self.store.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        self.log.close()

    async def saw(self, text: str) -> bool:
        """Wait until the log says it."""
        return await asyncio.to_thread(self.sink.wait_for, lambda: any(text in line for line in self.sink.texts))


async def test_recording_into_a_locked_database_does_not_wait(tmp_path):
    async with Opened(tmp_path / "s.db") as opened:
        blocker = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        for number in range(50):
            opened.store.record(row(number))
        assert time.perf_counter() - began < 0.5
        assert await opened.saw("database is locked; mail flows on without history")
        with pytest.raises(StoreError):
            await opened.store.put("n", "k", b"1")
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await opened.store.flush()
        assert await opened.saw("can be written again")
        assert len(await opened.store.history(limit=1000)) == 50
        assert opened.store.dropped == 0


async def test_rows_beyond_the_queue_are_counted_and_told_once_a_period(tmp_path):
    async with Opened(tmp_path / "s.db") as opened:
        blocker = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for number in range(1000):
            opened.store.record(row(number))
        assert await opened.saw("database is locked")
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await opened.store.flush()
        kept = len(await opened.store.history(limit=10_000))
        assert 100 <= kept < 1000
        assert await opened.saw("can be written again")
    assert opened.store.dropped == 1000 - kept
    assert f"filterproxy_history_dropped_total {1000 - kept:.1f}".encode() in opened.metrics.render()
    assert len(opened.sink.warnings) <= 2


async def test_a_full_disk(tmp_path, monkeypatch):
    """The page limit of the writing connection stands in for the disk; lifting it is somebody making room."""
    limit = 60
    honest = writer.open_for_writing

    def limited(path, **options):
        connection = honest(path, **options)
        connection.execute(f"PRAGMA max_page_count = {limit}")
        return connection

    monkeypatch.setattr(writer, "open_for_writing", limited)
    options = WriterOptions(retention=10**10, retry_seconds=0.05, batch_seconds=0.01, batch_rows=20, queue_rows=5000)
    async with Opened(tmp_path / "s.db", options) as opened:
        for number in range(1000):
            opened.store.record(row(number, "x" * 400))
        assert await opened.saw("database or disk is full; mail flows on without history")
        written = len(await opened.store.history(limit=10_000))
        assert 0 < written < 1000
        limit = 100_000
        assert await opened.store.flush()
        assert sorted(int(found.queue_id) for found in await opened.store.history(limit=10_000)) == list(range(1000))
        assert opened.store.dropped == 0


async def test_a_damaged_database_at_the_start(tmp_path):
    path = tmp_path / "s.db"
    path.write_bytes(b"this is no database at all, " * 1000)
    async with Opened(path) as opened:
        assert await opened.saw("file is not a database; mail flows on without history")
        opened.store.record(row())
        with pytest.raises(StoreError):
            await opened.store.get("n", "k")
        with pytest.raises(StoreError):
            await opened.store.put("n", "k", b"")
        path.unlink()
        assert await opened.store.flush()
        assert [found.queue_id for found in await opened.store.history()] == ["1"]
        await opened.store.put("n", "k", b"1")
        assert await opened.store.get("n", "k") == b"1"


async def test_a_database_damaged_while_it_is_used(tmp_path):
    path = tmp_path / "s.db"
    async with Opened(path) as opened:
        for number in range(50):
            opened.store.record(row(number, "x" * 400))
        assert await opened.store.flush()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (size - 100))
        opened.store.record(row(99))
        assert await opened.saw("malformed")
        with pytest.raises(StoreError):
            await opened.store.history()
    assert opened.store.dropped == 1
    assert any("1 history rows were lost at shutdown" in line for line in opened.sink.warnings)


async def test_a_folder_that_is_a_file_stops_the_start_with_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "s.db")
    with pytest.raises(ConfigError) as caught:
        await store.start()
    assert str(caught.value) == (
        f"{tmp_path}/file/s.db: cannot write the store: File exists (set 'store:' to a file this user may write)"
    )
    await store.close()


async def test_a_folder_in_place_of_the_file_stops_the_start(tmp_path):
    store = SqliteStore(tmp_path)
    with pytest.raises(ConfigError, match="cannot write the store: it is not a file"):
        await store.start()
    await store.close()


async def test_a_database_that_is_moved_away_or_removed_with_its_folder(tmp_path):
    folder = tmp_path / "state"
    async with Opened(folder / "s.db") as opened:
        opened.store.record(row(1))
        assert await opened.store.flush()
        folder.rename(tmp_path / "moved")
        opened.store.record(row(2))
        assert await opened.store.flush()
        assert [found.queue_id for found in await opened.store.history()] == ["2"]
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        opened.store.record(row(3))
        assert await opened.store.flush()
        assert [found.queue_id for found in await opened.store.history()] == ["3"]
    assert opened.store.dropped == 0


async def test_a_locked_database_at_the_start(tmp_path):
    path = tmp_path / "s.db"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    async with Opened(path) as opened:
        assert await opened.saw("database is locked")
        opened.store.record(row())
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await opened.store.flush()
        assert len(await opened.store.history()) == 1


async def test_closing_while_the_database_is_locked_does_not_hang(tmp_path):
    opened = Opened(tmp_path / "s.db")
    await opened.store.start()
    blocker = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(10):
        opened.store.record(row(number))
    waiting = asyncio.ensure_future(opened.store.put("n", "k", b""))
    await asyncio.wait_for(opened.store.close(), 20)
    with pytest.raises(StoreError):
        await waiting
    blocker.close()
    opened.log.close()
    assert opened.store.dropped == 10


async def test_hostile_keys_and_filters_are_only_data(tmp_path):
    async with Opened(tmp_path / "s.db") as opened:
        evil = "'; DROP TABLE history; --"
        await opened.store.put(evil, evil, b"1")
        opened.store.record(row(1))
        assert await opened.store.flush()
        assert await opened.store.get(evil, evil) == b"1"
        for name in ("action", "sender", "recipient", "queue_id"):
            assert await opened.store.history(**{name: evil}) == []
        assert len(await opened.store.history()) == 1
