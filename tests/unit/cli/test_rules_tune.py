"""`rules stats` and `rules tune` on files: output, what is written where, and what is refused."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy.cli.main import app
from filterproxy.config.yaml_loader import read_yaml
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.services.store.history import HistoryRow
from filterproxy.services.store.sqlite import SqliteStore

CONFIG = """\
# The configuration
actions: {add_header: 3, reject: 15}
scores:
  GTUBE: 900   # ours
checks:
  rules: {files: [own.yml]}
  gtube: {}
store: sqlite:state.db
"""
RULES = """\
rules:
  # Wins
  - name: WON
    score: 2.0   # was 1
    match: {body: {regex: 'you have won'}}
  - {name: "PILLS", score: 2, match: {body: {contains: pills}}}
  - name: MEETING
    score: 1
    match: {body: {contains: meeting}}
  - {name: NEVER, match: {body: {contains: unheard of}}}
composites:
  - {name: BOTH, score: 0.5, description: Both, all: [WON, PILLS]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with own rules, and mail in which WON and PILLS tell spam while MEETING tells ham."""
    (tmp_path / "filterproxy.yml").write_text(CONFIG)
    (tmp_path / "own.yml").write_text(RULES)
    (tmp_path / "mail").mkdir()
    chance, lines = random.Random(5), []
    for number in range(120):
        is_spam = number % 2 == 0
        words = [("You have won.", 0.8, 0.0), ("Buy pills.", 0.6, 0.03), ("A meeting.", 0.05, 0.4)]
        text = " ".join(word for word, spam, ham in words if chance.random() < (spam if is_spam else ham))
        message = f"From: a@b.example\r\nMessage-ID: <{number}@b.example>\r\nSubject: x\r\n\r\n{text}\r\n"
        (tmp_path / "mail" / f"{number}").write_text(message)
        lines.append(f"{'spam' if is_spam else 'ham'} mail/{number}\n")
    (tmp_path / "index").write_text("".join(lines))
    return tmp_path


def run(folder: Path, command: str, *arguments: str):
    base = ["rules", command, "-c", str(folder / "filterproxy.yml"), "--index", str(folder / "index")]
    return CliRunner().invoke(app, [*base, *arguments])


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("filterproxy.yml", "own.yml")}


def test_tune_writes_the_scores_into_the_rules_file(folder):
    before = files(folder)
    result = run(folder, "tune")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"wrote {folder}/own.yml (a running service takes it up by itself)"
    after = files(folder)
    assert after["filterproxy.yml"] == before["filterproxy.yml"]
    changed = [
        (old, new)
        for old, new in zip(before["own.yml"].splitlines(), after["own.yml"].splitlines(), strict=True)
        if old != new
    ]
    assert changed
    assert all(b"score:" in old and old.split(b"score:")[0] == new.split(b"score:")[0] for old, new in changed)
    assert CliRunner().invoke(app, ["rules", "check", "-c", str(folder / "filterproxy.yml")]).exit_code == 0


def test_a_dry_run_shows_the_difference_and_writes_nothing(folder):
    before = files(folder)
    result = run(folder, "tune", "--dry-run")
    assert result.exit_code == 0
    assert files(folder) == before
    assert f"--- {folder}/own.yml" in result.stdout
    assert "-    score: 2.0   # was 1\n+    score: " in result.stdout
    assert "messages that get another action" in result.stdout
    assert "wrote" not in result.stdout


def test_a_second_run_may_find_nothing_more(folder):
    assert run(folder, "tune").exit_code == 0
    before = files(folder)
    result = run(folder, "tune")
    assert result.exit_code == 1
    assert "nothing is changed" in result.stdout
    assert files(folder) == before


def test_write_to_the_configuration(folder):
    before = files(folder)
    result = run(folder, "tune", "--write", "config", "--only", "WON")
    assert result.exit_code == 0
    after = files(folder)
    assert after["own.yml"] == before["own.yml"]
    lines = after["filterproxy.yml"].decode().splitlines()
    added = [line for line in lines if line not in CONFIG.splitlines()]
    assert len(added) == 1
    assert result.stdout.endswith("filterproxy.yml (a running service takes it up at SIGHUP)\n")
    assert added[0].startswith("  WON: ")
    assert [line for line in lines if line not in added] == CONFIG.splitlines()


def test_a_score_that_the_configuration_sets_is_changed_there(folder):
    (folder / "filterproxy.yml").write_text(CONFIG.replace("GTUBE: 900   # ours", "WON: 2   # ours"))
    result = run(folder, "tune", "--only", "WON")
    assert result.exit_code == 0
    assert files(folder)["own.yml"].decode() == RULES
    assert "  WON: 3   # ours\n" in files(folder)["filterproxy.yml"].decode()


def test_a_score_in_an_included_file_is_changed_there(folder):
    (folder / "more.yml").write_text("scores: {WON: 2.0}\n")
    (folder / "filterproxy.yml").write_text("include: [more.yml]\n" + CONFIG)
    result = run(folder, "tune", "--only", "WON")
    assert result.exit_code == 0
    assert (folder / "more.yml").read_text() == "scores: {WON: 3}\n"


def test_scores_of_shipped_rules_go_to_the_configuration(folder):
    (folder / "filterproxy.yml").write_text("actions: {add_header: 1.5}\nchecks: {rules: {}}\nstore: sqlite:state.db\n")
    lines = []
    for number in range(60):
        text = "Compliments of the season to you. Dear friend." if number % 2 == 0 else "See you."
        (folder / "mail" / f"{number}").write_text(
            f"From: Robin <a@b.example>\r\nTo: you@b.example\r\nDate: Mon, 05 Jan 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{number}@b.example>\r\nSubject: x\r\n\r\n{text}\r\n"
        )
        lines.append(f"{'spam' if number % 2 == 0 else 'ham'} mail/{number}\n")
    (folder / "index").write_text("".join(lines))
    result = run(folder, "tune", "--only", "FEE_*")
    assert result.exit_code == 0, result.output
    assert "scores:\n  FEE_" in (folder / "filterproxy.yml").read_text()


def test_json(folder):
    before = files(folder)
    result = run(folder, "tune", "--json", "--dry-run")
    document = json.loads(result.stdout)
    assert document["gain"] is True
    assert {change["name"] for change in document["changes"]} <= {"WON", "PILLS", "MEETING", "BOTH"}
    assert document["held_out"]["spam_missed"]["new"] < document["held_out"]["spam_missed"]["now"]
    assert document["files"] == [str(folder / "own.yml")]
    assert all(item["action"]["now"] != item["action"]["new"] for item in document["moved"])
    assert files(folder) == before


def test_several_processes_give_the_same(folder):
    lines = (folder / "index").read_text() * 2  # so many that processes are worth it
    (folder / "index").write_text(lines)
    one, two = (run(folder, "stats", "--json", "--jobs", jobs).stdout for jobs in "12")
    assert one == two
    assert json.loads(one)["messages"] == {"spam": 120, "ham": 120, "left_out": 0}


def test_stats(folder):
    result = run(folder, "stats")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "120 messages (60 spam, 60 ham)"
    table = {line.split()[-1]: line.split() for line in lines if line.endswith((" WON", " PILLS"))}
    assert table["WON"][3] == "0"
    assert table["WON"][4] == "1.000"
    assert any(line.endswith("MEETING  (fires in ham more often, against its score)") for line in lines)
    assert lines[lines.index("rules that never fired (1):") + 1] == "  NEVER"


def test_stats_as_json(folder):
    document = json.loads(run(folder, "stats", "--json", "--overlap", "0.1").stdout)
    by_name = {symbol["name"]: symbol for symbol in document["symbols"]}
    won = by_name["WON"]
    assert won["hits"]["ham"] == 0
    assert won["s_o"] == 1.0
    assert won["s_o_95"][0] < 1
    assert (won["side"], by_name["MEETING"]["side"]) == ("spam", "ham")
    assert document["never_fired"] == ["NEVER"]
    assert {(pair["first"], pair["second"]) for pair in document["overlaps"]} >= {("PILLS", "WON")}


def test_messages_that_cannot_be_read_are_told_and_left_out(folder):
    with (folder / "index").open("a") as file:
        file.write("spam mail/none\nham mail\n")
    result = run(folder, "stats", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["messages"] == {"spam": 60, "ham": 60, "left_out": 2}
    assert "mail/none: no such file or directory" in result.stderr
    assert "2 could not be read" in result.stderr


@pytest.mark.parametrize("command", ["tune", "stats"])
@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", "the index names no message"),
        ("spam mail/none\n", "none of the 1 messages could be used"),
        ("eggs mail/1\n", "this is no line of an index"),
    ],
)
def test_an_index_that_is_no_use(folder, command, index, words):
    (folder / "index").write_text(index)
    result = run(folder, command)
    assert result.exit_code == 2
    assert words in result.stderr
    assert str(folder / "index") in result.stderr


def test_a_missing_index(folder):
    (folder / "index").unlink()
    result = run(folder, "tune")
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_one_class_only(folder):
    lines = (folder / "index").read_text().splitlines(keepends=True)
    (folder / "index").write_text("".join(line for line in lines if line.startswith("spam")))
    result = run(folder, "tune")
    assert result.exit_code == 2
    assert "0 ham messages could be used; tuning needs at least 10 spam and ham each" in result.stderr


def test_broken_rules(folder):
    (folder / "own.yml").write_text("rules: [\n")
    result = run(folder, "tune")
    assert result.exit_code == 2
    assert f"{folder}/own.yml:2:1: not YAML" in result.stderr


def test_a_read_only_rules_file(folder):
    (folder / "own.yml").chmod(0o444)
    result = run(folder, "tune")
    assert result.exit_code == 2
    assert result.stderr.endswith("own.yml: the file is read-only (chmod u+w, or --write config)\n")
    assert run(folder, "tune", "--write", "config").exit_code == 0
    assert files(folder)["own.yml"].decode() == RULES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--write", "elsewhere"], "'elsewhere' is none of auto, rules, config"),
        (["--only", "NOBODY*"], "no symbol can be tuned"),
        (["--max-false-positives", "101"], "--max-false-positives"),
        (["--max-change", "0"], "--max-change"),
    ],
)
def test_options_that_are_no_use(folder, arguments, words):
    result = run(folder, "tune", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def remember(folder: Path, count: int, symbols) -> None:
    """Write history rows for the first messages, as a running service would; older ones it might remove at once."""
    began = time.time() - count

    async def write() -> None:
        store = SqliteStore(folder / "state.db")
        await store.start()
        for number in range(count):
            row = HistoryRow(
                began + number, "no action", 0, 4, message_id=f"<{number}@b.example>", symbols=symbols(number)
            )
            store.record(row)
        assert await store.flush()
        await store.close()

    asyncio.run(write())


def test_the_history_knows_what_fired_when_the_mail_came_in(folder):
    """The files say nothing of PILLS here; the history says that it fired for all spam."""
    for file in (folder / "mail").iterdir():
        file.write_text(file.read_text().replace("pills", "something"))

    def symbols(number: int) -> tuple[ScoredSymbol, ...]:
        return (ScoredSymbol("PILLS", 2.0, (), ""),) if number % 2 == 0 else ()

    remember(folder, 110, symbols)
    result = run(folder, "stats", "--history", "--json")
    document = json.loads(result.stdout)
    assert document["messages"] == {"spam": 55, "ham": 55, "left_out": 10}
    assert "mail/119: the history does not know its Message-ID" in result.stderr
    by_name = {symbol["name"]: symbol for symbol in document["symbols"]}
    assert by_name["PILLS"]["hits"] == {"spam": 55, "ham": 0}
    tuned = run(folder, "tune", "--history", "--max-change", "3")
    assert tuned.exit_code == 0
    assert read_yaml(folder / "own.yml").data["rules"][1]["score"] >= 3


def test_no_history(folder):
    result = run(folder, "tune", "--history")
    assert result.exit_code == 75
    assert "state.db: no such file" in result.stderr
