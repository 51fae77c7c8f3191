"""`history`: filters, table, JSON lines, and nothing untrusted on the terminal."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy.cli.history import parse_since
from filterproxy.cli.main import app
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.services.store.history import HistoryRow
from filterproxy.services.store.sqlite import SqliteStore

NOW = datetime.now(UTC).timestamp()

ROWS = (
    HistoryRow(
        NOW - 7200,
        "reject",
        15.5,
        6.0,
        queue_id="4Xold",
        mail_from="spam@bad.example",
        rcpt_to=("a@example.org", "b@example.org"),
        subject="Buy\x1b[2J\nnow",
        reply="554 5.7.1 no",
        symbols=(ScoredSymbol("ZERO", 0.0, (), "z"), ScoredSymbol("SPF_FAIL", 15.5, ("bad.example",), "SPF fail")),
    ),
    HistoryRow(
        NOW - 60, "no action", -1.0, 6.0, queue_id="4Xnew", mail_from="", rcpt_to=("b@example.org",), subject="Hi"
    ),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "filterproxy.yml"
    path.write_text("store: sqlite:state.db\nchecks: {gtube: {}}\n")
    return path


@pytest.fixture
def filled(config: Path) -> Path:
    async def fill():
        store = SqliteStore(config.parent / "state.db")
        await store.start()
        for row in ROWS:
            store.record(row)
        await store.close()

    asyncio.run(fill())
    return config


def run(config: Path, *arguments: str):
    return CliRunner().invoke(app, ["history", "-c", str(config), *arguments])


def ids(config: Path, *arguments: str) -> list[str]:
    result = run(config, "--json", *arguments)
    assert result.exit_code == 0
    return [json.loads(line)["queue_id"] for line in result.stdout.splitlines()]


def test_json_lines_hold_the_whole_row(filled):
    lines = [json.loads(line) for line in run(filled, "--json").stdout.splitlines()]
    assert [line["queue_id"] for line in lines] == ["4Xnew", "4Xold"]
    old = lines[1]
    assert old["unix_time"] == ROWS[0].time
    assert datetime.fromisoformat(old["time"]).timestamp() == pytest.approx(ROWS[0].time, abs=0.001)
    assert old["subject"] == "Buy\x1b[2J\nnow"
    assert old["symbols"] == [
        {"name": "ZERO", "score": 0.0, "options": [], "description": "z"},
        {"name": "SPF_FAIL", "score": 15.5, "options": ["bad.example"], "description": "SPF fail"},
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "1"], ["4Xnew"]),
        (["--since", "1h"], ["4Xnew"]),
        (["--since", "1d"], ["4Xnew", "4Xold"]),
        (["--action", "no_action"], ["4Xnew"]),
        (["--action", "reject"], ["4Xold"]),
        (["--from", "BAD.example"], ["4Xold"]),
        (["--to", "a@example"], ["4Xold"]),
        (["--queue-id", "4Xold"], ["4Xold"]),
        (["--symbol", "spf_fail"], ["4Xold"]),
        (["--from", "nobody"], []),
    ],
)
def test_filters(filled, arguments, expected):
    assert ids(filled, *arguments) == expected


def test_the_table_shows_symbols_strongest_first_and_is_safe(filled):
    result = run(filled)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["time", "queue", "id", "action", "score", "from", "->", "to:", "subject"]
    assert "4Xold" in lines[3]
    assert "15.50/6" in lines[3]
    assert r"<spam@bad.example> -> <a@example.org> and 1 more: Buy\x1b[2J\x0anow" in lines[3]
    assert lines[4] == "    SPF_FAIL(15.5) ZERO(0)"
    assert "<> -> <b@example.org>: Hi" in lines[1]
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", result.stdout)


def test_nothing_found_is_said(filled):
    result = run(filled, "--from", "nobody")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no such messages\n")


def test_no_store_yet(config):
    result = run(config)
    assert result.exit_code == 75
    assert "state.db: no such file" in result.stderr


def test_a_damaged_store(config):
    (config.parent / "state.db").write_bytes(b"no database " * 100)
    result = run(config)
    assert result.exit_code == 75
    assert "cannot read" in result.stderr


@pytest.mark.parametrize("arguments", [["--action", "eat"], ["--since", "yore"], ["--limit", "0"]])
def test_wrong_options_are_usage_errors(filled, arguments):
    assert run(filled, *arguments).exit_code == 2


def test_since():
    now = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert parse_since("", now) is None
    assert parse_since("30m", now) == now.timestamp() - 1800
    assert parse_since("2030-01-31T10:00+00:00", now) == now.timestamp() - 7200
    with pytest.raises(ValueError, match="duration"):
        parse_since("3 fortnights", now)
