"""The SQLite store: values, history, queries, purging, migrations."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import ConfigError
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.observability.metrics import Metrics
from filterproxy.services.store import schema
from filterproxy.services.store.connection import StoreError, open_for_writing
from filterproxy.services.store.history import COLUMNS, HistoryRow, decode, encode, to_json
from filterproxy.services.store.sqlite import SqliteStore
from filterproxy.services.store.writer import WriterOptions
from filterproxy.testing import FakeClock
from tests.unit.observability.log_reader import memory_log

SYMBOLS = (
    ScoredSymbol("SPF_FAIL", 2.0, ("example.org",), "SPF says fail"),
    ScoredSymbol("ZERO", 0.0, (), "Fired without a score"),
)


# The rows below are from 1970.
FOREVER = WriterOptions(retention=10**10)


def row(number: int = 1, **changes) -> HistoryRow:
    defaults = {
        "time": 1_000_000.0 + number,
        "action": "reject",
        "score": 15.25,
        "required_score": 6.0,
        "queue_id": f"4X{number}",
        "mail_from": "sender@example.org",
        "rcpt_to": ("a@example.net", "b@example.net"),
        "symbols": SYMBOLS,
    }
    return HistoryRow(**(defaults | changes))


@pytest.fixture
async def store(tmp_path: Path):
    clock = FakeClock()
    store = SqliteStore(tmp_path / "new" / "state.db", clock=clock, options=FOREVER)
    await store.start()
    yield store
    await store.close()


async def test_a_row_comes_back_whole(store):
    written = row(
        session="s1",
        listener="smtp",
        client="192.0.2.1",
        client_name="mail.example.org",
        helo="mail",
        user="u",
        header_from="x@example.org",
        subject="Grüße",
        message_id="1@x",
        size=1234,
        reply="554 5.7.1 no",
        seconds=0.25,
    )
    store.record(written)
    assert await store.flush()
    assert await store.history() == [written]


async def test_history_is_newest_first_and_limited(store):
    for number in range(20):
        store.record(row(number))
    assert await store.flush()
    assert [found.queue_id for found in await store.history(limit=3)] == ["4X19", "4X18", "4X17"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"since": 1_000_002.0}, ["4X3", "4X2"]),
        ({"action": "reject"}, ["4X3", "4X1"]),
        ({"sender": "EXAMPLE.org"}, ["4X3", "4X1"]),
        ({"sender": "100%"}, ["4X2"]),
        ({"sender": "_"}, []),
        ({"recipient": "only@"}, ["4X3"]),
        ({"queue_id": "4X2"}, ["4X2"]),
        ({"queue_id": "' OR 1=1 --"}, []),
        ({"symbol": "SPF_FAIL"}, ["4X3", "4X1"]),
        ({"symbol": "SPF"}, []),
        ({"action": "reject", "recipient": "a@example.net"}, ["4X1"]),
    ],
)
async def test_filters(store, filters, expected):
    store.record(row(1))
    store.record(row(2, action="no action", mail_from="100%@x.example", symbols=()))
    store.record(row(3, rcpt_to=("only@example.net",)))
    assert await store.flush()
    assert [found.queue_id for found in await store.history(**filters)] == expected
    assert [found.queue_id for _, found in await store.history_page(limit=100, **filters)] == expected


async def test_pages_by_id(store):
    for number in range(5):
        store.record(row(number))
    assert await store.flush()
    first = await store.history_page(limit=2)
    assert [found.queue_id for _, found in first] == ["4X4", "4X3"]
    last = first[-1][0]
    assert [found.queue_id for _, found in await store.history_page(limit=9, before=last)] == ["4X2", "4X1", "4X0"]
    assert await store.history_page(limit=9, row_id=last) == [first[-1]]
    assert await store.history_page(limit=9, row_id=last, action="discard") == []
    assert await store.history_page(limit=9, before=1) == []


async def test_values(store):
    assert await store.get("n", "k") is None
    await store.put("n", "k", b"1")
    await store.put("other", "k", b"2")
    assert (await store.get("n", "k"), await store.get("other", "k")) == (b"1", b"2")
    await store.put("n", "k", b"3")
    assert await store.get("n", "k") == b"3"


async def test_values_expire(store):
    await store.put("n", "k", b"1", ttl=10)
    await store._clock.sleep(9)
    assert await store.get("n", "k") == b"1"
    await store._clock.sleep(2)
    assert await store.get("n", "k") is None


async def test_a_cancelled_put_does_no_harm(store):
    task = asyncio.ensure_future(store.put("n", "k", b"1"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.put("n", "other", b"2")
    assert await store.get("n", "other") == b"2"


async def test_two_processes_share_a_file(tmp_path):
    first, second = (SqliteStore(tmp_path / "s.db", options=FOREVER) for _ in range(2))
    await asyncio.gather(first.start(), second.start())
    for number in range(50):
        first.record(row(number))
        second.record(row(100 + number))
    await asyncio.gather(first.put("n", "a", b"1"), second.put("n", "b", b"2"))
    assert await first.flush()
    assert await second.flush()
    assert (await first.get("n", "b"), await second.get("n", "a")) == (b"2", b"1")
    await asyncio.gather(first.close(), second.close())
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("SELECT count(*) FROM history").fetchone() == (100,)
    connection.close()


async def test_many_workers_make_the_database_at_once(tmp_path):
    log, sink = memory_log()
    stores = [SqliteStore(tmp_path / "s.db", log=log) for _ in range(8)]
    await asyncio.gather(*(store.start() for store in stores))
    await asyncio.gather(*(store.put("n", str(number), b"") for number, store in enumerate(stores)))
    await asyncio.gather(*(store.close() for store in stores))
    assert log.flush()
    assert sink.texts == []
    log.close()


async def test_closing_writes_what_is_queued(tmp_path):
    store = SqliteStore(tmp_path / "s.db", options=FOREVER)
    await store.start()
    for number in range(1200):
        store.record(row(number))
    await store.close()
    again = SqliteStore(tmp_path / "s.db", options=FOREVER)
    await again.start()
    assert len(await again.history(limit=5000)) == 1200
    await again.close()


async def test_old_rows_and_expired_values_are_purged_in_batches(tmp_path):
    clock = FakeClock()
    now = clock.now().timestamp()
    filling = SqliteStore(tmp_path / "s.db", clock=clock, options=FOREVER)
    await filling.start()
    for number in range(25):
        filling.record(row(number, time=now - 3600))
    filling.record(row(99, time=now - 10))
    await filling.put("n", "old", b"1", ttl=-1)
    await filling.put("n", "kept", b"2", ttl=100)
    await filling.close()

    purging = SqliteStore(tmp_path / "s.db", clock=clock, options=WriterOptions(retention=60, purge_rows=10))
    await purging.start()
    await purging.put("n", "wakes", b"")
    while len(left := await purging.history()) > 1:
        await purging.put("n", "wakes", b"")
    assert [found.queue_id for found in left] == ["4X99"]
    await purging.close()
    connection = sqlite3.connect(tmp_path / "s.db")
    assert connection.execute("SELECT key FROM state ORDER BY key").fetchall() == [("kept",), ("wakes",)]
    connection.close()


async def test_no_retention_keeps_no_history(tmp_path):
    store = SqliteStore(tmp_path / "s.db", options=WriterOptions(retention=0))
    await store.start()
    store.record(row())
    assert await store.flush()
    assert await store.history() == []
    await store.close()


async def test_only_owner_and_group_may_read_the_file(store):
    assert store.path.stat().st_mode & 0o007 == 0


async def test_a_newer_database_is_refused_untouched(tmp_path):
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE future (x)")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    with pytest.raises(ConfigError, match="the store has version 99, this program knows 2"):
        await store.start()
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("future",)]
    connection.close()


@pytest.mark.parametrize("version", range(len(schema.MIGRATIONS) + 1))
def test_every_older_version_is_brought_up_to_date(tmp_path, version):
    """From each version a database may have, including none, the tables end up the same."""
    fresh = open_for_writing(tmp_path / "fresh.db")
    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    schema.migrate(old, "old.db", schema.MIGRATIONS[:version])
    if version >= 1:
        there = [known for _, known, *_ in old.execute("PRAGMA table_info(history)") if known in COLUMNS]
        values = [value for name, value in zip(COLUMNS, encode(row()), strict=True) if name in there]
        columns = [name for name in COLUMNS if name in there]
        old.execute(f"INSERT INTO history ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values)
    old.close()
    upgraded = open_for_writing(tmp_path / "old.db")
    tables = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert upgraded.execute(tables).fetchall() == fresh.execute(tables).fetchall()
    assert upgraded.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    if version >= 1:
        assert decode(upgraded.execute(f"SELECT {', '.join(COLUMNS)} FROM history").fetchone()) == row()
    upgraded.close()
    fresh.close()


def test_a_further_step_keeps_the_rows(tmp_path):
    connection = open_for_writing(tmp_path / "s.db")
    connection.execute(
        f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", encode(row())
    )
    steps = (*schema.MIGRATIONS, ("ALTER TABLE history ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",))
    schema.migrate(connection, "s.db", steps)
    assert connection.execute("SELECT queue_id, tenant FROM history").fetchall() == [("4X1", "")]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
    connection.close()


def test_a_failing_step_changes_nothing(tmp_path):
    connection = open_for_writing(tmp_path / "s.db")
    steps = (*schema.MIGRATIONS, ("CREATE TABLE half (x)", "CREATE TABLE history (x)"))
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, "s.db", steps)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    connection.close()


async def test_a_full_queue_loses_rows_and_counts_them(tmp_path):
    metrics = Metrics()
    store = SqliteStore(tmp_path / "s.db", metrics=metrics, options=WriterOptions(queue_rows=10))
    for number in range(25):
        store.record(row(number))
    await store.start()
    assert await store.flush()
    await store.close()
    assert store.dropped == 15
    assert b"filterproxy_history_dropped_total 15.0" in metrics.render()


async def test_reading_without_a_database_is_a_store_error(tmp_path):
    store = SqliteStore(tmp_path / "none.db")
    with pytest.raises(StoreError, match="cannot read"):
        await store.get("n", "k")
    await store.close()


async def test_a_closed_store_takes_no_values(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    await store.start()
    await store.close()
    with pytest.raises(StoreError):
        await store.put("n", "k", b"")
    store.record(row())


texts = st.text(st.characters(), max_size=600)


@given(
    st.builds(
        HistoryRow,
        time=st.floats(),
        action=texts,
        score=st.floats(),
        required_score=st.floats(),
        subject=texts,
        mail_from=st.binary(max_size=50).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        rcpt_to=st.tuples(texts),
        size=st.integers(0),
        symbols=st.tuples(
            st.builds(ScoredSymbol, st.just("A"), st.floats(), st.tuples(texts), texts),
        ),
    )
)
def test_any_row_can_be_stored(written):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection, "memory")
    connection.execute(
        f"INSERT INTO history ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", encode(written)
    )
    read = decode(connection.execute(f"SELECT {', '.join(COLUMNS)} FROM history").fetchone())
    assert encode(read) == encode(read)
    assert len(read.subject) <= 500 * 10
    connection.close()


def test_json_holds_every_column():
    data = to_json(row())
    assert tuple(data) == COLUMNS
    assert data["symbols"][0] == {
        "name": "SPF_FAIL",
        "score": 2.0,
        "options": ["example.org"],
        "description": "SPF says fail",
    }
