"""`scan` and `explain` on files: output, order and exit status."""

from __future__ import annotations

import json
import mailbox
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy.cli.main import app
from filterproxy.core.action import Action
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HAM = b"From: a@example.org\r\nSubject: lunch\r\n\r\nAt noon?\r\n"
SPAM = b"From: a@example.org\r\nSubject: test\r\n\r\n" + GTUBE + b"\r\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "filterproxy.yml"
    path.write_text("hostname: mx.example.org\nchecks:\n  gtube: {}\n  spf: {}\n")
    return path


def run(*arguments: str, stdin: bytes | None = None):
    return CliRunner().invoke(app, list(arguments), input=stdin)


def scan_json(*arguments: str, stdin: bytes | None = None):
    result = run("scan", "--json", "--offline", *arguments, stdin=stdin)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_one_json_line_a_message_in_order(config, tmp_path):
    box = mailbox.mbox(tmp_path / "box")
    for raw in (HAM, SPAM, HAM):
        box.add(mailbox.mboxMessage(raw))
    box.flush()
    status, lines = scan_json("-c", str(config), str(tmp_path / "box"))
    assert status == 1
    assert [line["file"] for line in lines] == [f"{tmp_path}/box:{number}" for number in (1, 2, 3)]
    assert [line["action"] for line in lines] == ["no action", "reject", "no action"]
    spam = lines[1]
    assert spam["required_score"] == 6.0
    assert [item["name"] for item in spam["symbols"]] == ["GTUBE"]
    assert spam["symbols"][0].keys() == {"name", "score", "options", "description"}
    assert spam["authentication"] == {"spf": "none", "dkim": "none", "dmarc": "none", "arc": "none"}


@pytest.mark.parametrize(("raw", "expected"), [(HAM, 0), (SPAM, 1), (b"", 0), (b"\xff\x00", 0)])
def test_standard_input_and_exit_status(config, raw, expected):
    status, lines = scan_json("-c", str(config), "-", stdin=raw)
    assert (status, [line["file"] for line in lines]) == (expected, ["-"])


def test_a_message_that_cannot_be_read_is_said_and_the_others_are_scanned(config, tmp_path):
    (tmp_path / "ham.eml").write_bytes(HAM)
    status, lines = scan_json("-c", str(config), str(tmp_path / "missing.eml"), str(tmp_path / "ham.eml"))
    assert status == 75
    assert lines[0].keys() == {"file", "error"}
    assert lines[1]["action"] == "no action"


def test_the_table_is_for_people(config, tmp_path):
    (tmp_path / "spam.eml").write_bytes(SPAM)
    result = run("scan", "--offline", "-c", str(config), str(tmp_path / "spam.eml"))
    assert result.exit_code == 1
    assert "spam.eml: reject (forced by GTUBE)" in result.stdout


def test_a_missing_configuration_is_a_usage_error(tmp_path):
    result = run("scan", "-c", str(tmp_path / "missing.yml"), "-", stdin=HAM)
    assert result.exit_code == 2
    assert "missing.yml: no such file" in result.stderr


def test_explain_a_symbol(config):
    result = run("explain", "-c", str(config), "SPF_FAIL")
    assert result.exit_code == 0
    assert "fired by the check spf" in result.stdout


def test_explain_an_unknown_symbol_names_the_nearest(config):
    result = run("explain", "-c", str(config), "SPF_FAILS")
    assert result.exit_code == 2
    assert "did you mean SPF_FAIL?" in result.stderr


def test_explain_a_message(config, tmp_path):
    (tmp_path / "spam.eml").write_bytes(SPAM)
    result = run("explain", "--offline", "-c", str(config), str(tmp_path / "spam.eml"))
    assert "The action comes from GTUBE, which forces it" in result.stdout


def test_what_would_change_an_action_by_score():
    from filterproxy.cli.explain import what_would_change
    from filterproxy.pipeline import ScoringPolicy

    symbols = (ScoredSymbol("BIG", 5.0, (), ""), ScoredSymbol("SMALL", 1.5, (), ""), ScoredSymbol("GOOD", -0.2, (), ""))
    result = ScanResult(Action.ADD_HEADER, 6.3, 6.0, 15.0, symbols)
    policy = ScoringPolicy(thresholds={Action.ADD_HEADER: 6.0, Action.REJECT: 15.0})
    assert list(what_would_change(result, policy)) == [
        "8.70 more would make it reject (from 15).",
        "Without BIG (5.00) the score would be 1.30: not add header.",
        "Without SMALL (1.50) the score would be 4.80: not add header.",
    ]


def test_a_symbol_that_holds_an_action_back_is_named():
    from filterproxy.cli.explain import what_would_change
    from filterproxy.pipeline import ScoringPolicy

    policy = ScoringPolicy(thresholds={Action.ADD_HEADER: 6.0, Action.REJECT: 15.0})
    symbols = (ScoredSymbol("A", 8.0, (), ""), ScoredSymbol("BAYES_HAM", -2.5, (), ""), ScoredSymbol("B", -0.1, (), ""))
    result = ScanResult(Action.NO_ACTION, 5.4, 6.0, 15.0, symbols=symbols)
    assert list(what_would_change(result, policy)) == [
        "0.60 more would make it add header (from 6).",
        "Without BAYES_HAM (-2.50) the score would be 7.90: add header.",
    ]


def test_many_messages_come_in_order_from_all_processes(config, tmp_path, monkeypatch):
    monkeypatch.setattr("filterproxy.cli.scan_parallel.processes", lambda: 3)
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number:03}.eml").write_bytes(SPAM if number % 7 == 0 else HAM)
    status, documents = scan_json("-c", str(config), str(folder), str(tmp_path / "absent"))
    assert status == 75
    assert [document["file"] for document in documents[:-1]] == [str(path) for path in sorted(folder.iterdir())]
    spam = [number for number, document in enumerate(documents[:-1]) if document["action"] != "no action"]
    assert spam == list(range(0, 250, 7))
    assert "error" in documents[-1]


def test_what_keeps_all_processes_from_starting_is_said_once(config, tmp_path, monkeypatch):
    monkeypatch.setattr("filterproxy.cli.scan_parallel.processes", lambda: 3)
    config.write_text("checks: {bayes: {model: nowhere}}\n")
    for number in range(120):
        (tmp_path / f"{number:03}.eml").write_bytes(HAM)
    done = subprocess.run(
        [Path(sys.executable).with_name("filterproxy"), "scan", "-c", config, "--offline", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("nowhere") == 1
