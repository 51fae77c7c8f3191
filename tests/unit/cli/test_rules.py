"""`rules check`, `test`, `explain` and `schema`: output and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy.cli.main import app

RULES = """\
rules:
  - name: WON
    score: 2
    match: {body: {regex: "you have won"}}
    tests: {match: [You have won!], no_match: [You lost.]}
  - name: NO_ID
    match: {header: {name: Message-ID, absent: true}}
composites:
  - {name: BOTH, score: 1.5, description: Both of them, all: [WON, NO_ID]}
  - {name: FORGED, all: [WON, SPF_FAIL]}
"""
SPAM = b"From: a@example.org\r\nSubject: x\r\n\r\nYou have\r\nwon \x1b[31m!\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "filterproxy.yml").write_text("checks: {rules: {files: [own.yml]}, spf: {}}\n")
    (tmp_path / "own.yml").write_text(RULES)
    return tmp_path


def run(folder: Path, command: str, *arguments: str, stdin: bytes | None = None):
    return CliRunner().invoke(app, ["rules", command, "-c", str(folder / "filterproxy.yml"), *arguments], input=stdin)


def test_check_says_what_was_checked(folder):
    result = run(folder, "check")
    assert (result.exit_code, result.stdout) == (0, "2 rules and lists, 2 composites: OK\n")


def test_check_lists_every_error(folder):
    (folder / "own.yml").write_text(RULES.replace("body", "bdy").replace("score: 1.5", "score: much"))
    result = run(folder, "check")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{folder}/own.yml:4:13: rules[0].match.bdy: unknown key (did you mean 'body'?)",
        f"{folder}/own.yml:9:25: composites[0].score: must be a valid number (got 'much')",
    ]


def test_check_knows_the_symbols_of_the_enabled_checks_only(folder):
    (folder / "filterproxy.yml").write_text("checks: {rules: {files: [own.yml]}, gtube: {}}\n")
    result = run(folder, "check")
    assert result.exit_code == 1
    assert result.stderr == (
        f"{folder}/own.yml:10:31: composites[1].all[1]: composite FORGED names SPF_FAIL, which nothing declares\n"
    )


def test_check_other_files(folder):
    (folder / "other.yml").write_text("rules: [{name: X, match: {size: big}}]")
    result = run(folder, "check", str(folder / "other.yml"))
    assert result.exit_code == 1
    assert "other.yml:1:33: rules[0].match.size: 'big' is no comparison" in result.stderr


def test_check_a_pattern_without_files(folder):
    (folder / "own.yml").unlink()
    result = run(folder, "check")
    assert (result.exit_code, result.stderr) == (1, f"checks.rules.files: no rules file: {folder}/own.yml\n")


def test_a_wrong_configuration_is_wrong_usage(folder):
    (folder / "filterproxy.yml").write_text("cheks: {}\n")
    assert run(folder, "check").exit_code == 2


def test_the_tests_of_rules(folder):
    result = run(folder, "test")
    assert (result.exit_code, result.stdout) == (0, "2 samples of 2 rules: OK (1 rules have none that must match)\n")
    (folder / "own.yml").write_text(RULES.replace("You lost.", "you have won"))
    result = run(folder, "test")
    assert result.exit_code == 1
    assert result.stderr == f"{folder}/own.yml:5:48: rules[0].tests.no_match[0]: WON matches this: you have won\n"


def test_explain_shows_the_texts_that_rules_see(folder):
    result = run(folder, "explain", "-", stdin=SPAM)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "-: 3 rules, 4.5 points",
        "    2.00  WON: The rule WON",
        "          body: You have won",
        "    1.00  NO_ID: The rule NO_ID",
        "          header message-id: not there",
        "    1.50  BOTH: Both of them",
        "          because of WON, NO_ID",
    ]


def test_explain_knows_the_envelope_and_prints_no_control_characters(folder):
    (folder / "own.yml").write_text(
        'rules: [{name: A, match: {envelope: {mail_from: a@b.example}}}, {name: B, match: {body: {regex: "won.+"}}}]'
    )
    result = run(folder, "explain", "--mail-from", "a@b.example", "-", stdin=SPAM)
    assert "          envelope mail_from: a@b.example\n" in result.stdout
    assert "          body: won \\x1b[31m!\n" in result.stdout


@pytest.mark.parametrize(
    ("match", "place", "text"),
    [
        ("header: {name: From, part: domain, ends_with: .org}", "header from domain", ".org"),
        ("subject: {contains: final}", "subject", "Final"),
        ("url: {host: {starts_with: pay}}", "url host", "pay"),
        ("attachment: {extension: html}", "attachment extension", "html"),
        ("html: {hidden: {contains: weather}}", "html hidden", "weather"),
        ("html: {tags: {form: '>= 1'}}", "form", "form 1"),
        ("body: {regex: '[0-9]+', count: '>= 2'}", "body", "12"),
        ("any: [{subject: {contains: nothing}}, {raw_body: {contains: '<form'}}]", "raw_body", "<form"),
        ("differ: [from.site, reply_to.site]", "from site, reply_to site", "example.org other.example"),
        ("size: '> 10'", "size", "size"),
    ],
)
def test_explain_tells_the_place_of_each_text(folder, match, place, text):
    (folder / "own.yml").write_text(f"rules: [{{name: A, match: {{{match}}}}}]")
    message = (
        b"From: a@mail.example.org\r\nReply-To: b@other.example\r\nSubject: Final notice\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n'
        b'<p>12 of 34 http://pay.example/x</p><form></form><div style="display:none">the weather</div>\r\n'
        b"--b\r\nContent-Disposition: attachment; filename=bill.html\r\n\r\nx\r\n--b--\r\n"
    )
    (folder / "mail.eml").write_bytes(message)
    document = json.loads(run(folder, "explain", "--json", str(folder / "mail.eml")).stdout)
    (rule,) = document["rules"]
    assert rule["name"] == "A"
    assert (rule["matched"][0]["place"], rule["matched"][0]["text"][: len(text)]) == (place, text)


def test_explain_takes_off_what_a_group_is_over_its_limit(folder):
    (folder / "own.yml").write_text(
        "rules:\n  - {name: A, score: 2, group: g, match: {body: {contains: have}}}\n"
        "  - {name: B, score: 2, group: g, match: {body: {contains: won}}}\ngroups: [{name: g, max_score: 2.5}]\n"
    )
    result = run(folder, "explain", "-", stdin=SPAM)
    assert "-: 2 rules, 2.5 points\n" in result.stdout
    assert result.stdout.endswith("   -1.50  taken off: the group g is over its limit\n")
    document = json.loads(run(folder, "explain", "--json", "-", stdin=SPAM).stdout)
    assert (document["score"], document["over_group_limits"]) == (2.5, {"g": 1.5})


def test_explain_uses_the_scores_of_the_configuration(folder):
    with (folder / "filterproxy.yml").open("a") as file:
        file.write("scores: {WON: 0.5}\n")
    assert "  0.50  WON: " in run(folder, "explain", "-", stdin=SPAM).stdout


def test_explain_what_cannot_be_read(folder):
    result = run(folder, "explain", str(folder / "none.eml"))
    assert result.exit_code == 75
    assert "none.eml" in result.stderr


def test_schema():
    result = CliRunner().invoke(app, ["rules", "schema"])
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)["properties"]) == {"rules", "composites", "lists", "groups"}


def import_rules(folder: Path, *arguments: str):
    return run(folder, "import-spamassassin", *arguments, str(folder / "cf"), "-o", str(folder / "imported.yml"))


@pytest.fixture
def cf_folder(folder: Path) -> Path:
    (folder / "cf").mkdir()
    (folder / "cf" / "20_own.cf").write_text(
        "body WON /you have won/i\nbody LOST /you (have )?lost/\nbody ODD eval:odd()\nfreemail_domains gratis.example\n"
        "header FREE eval:check_freemail_from()\n"
    )
    return folder


def test_import_spamassassin_writes_rules_lists_and_a_report(cf_folder):
    result = import_rules(cf_folder, "--report", str(cf_folder / "report.json"), "--verbose")
    assert result.exit_code == 0, result.output
    assert "4 rules\n      3  translated (75.0 %)" in result.output
    assert "20_own.cf:3: ODD: left out: the eval function odd (odd)" in result.output
    assert (cf_folder / "spamassassin-freemail.txt").read_text().endswith("\ngratis.example\n")
    outcomes = json.loads((cf_folder / "report.json").read_text())["outcomes"]
    assert outcomes[0]["written_as"] == "SA_WON"
    checked = run(cf_folder, "check", str(cf_folder / "imported.yml"), str(cf_folder / "own.yml"))
    assert checked.exit_code == 0, checked.output
    assert import_rules(cf_folder).exit_code == 0


def test_import_spamassassin_replaces_no_file_of_others(cf_folder):
    (cf_folder / "imported.yml").write_text("rules: []\n")
    result = import_rules(cf_folder)
    assert result.exit_code == 1
    assert (
        "exists already, and this command did not write it (choose another --output, or say --force)" in result.stderr
    )
    assert (cf_folder / "imported.yml").read_text() == "rules: []\n"
    assert import_rules(cf_folder, "--force").exit_code == 0


def test_import_spamassassin_tells_lines_that_are_wrong(cf_folder):
    (cf_folder / "cf" / "30_bad.cf").write_text("score WON much\n")
    result = import_rules(cf_folder)
    assert result.exit_code == 1
    assert "30_bad.cf:1: score WON: write one number or four" in result.stderr
    assert (cf_folder / "imported.yml").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cf: cannot read: No such file or directory"),
        (lambda path: path.mkdir(), "cf: no .cf file in this folder"),
        (lambda path: path.write_text("required_score 5\n"), "cf: no rule in these files"),
    ],
)
def test_import_spamassassin_without_rules(folder, make, message):
    make(folder / "cf")
    result = import_rules(folder, "--dry-run")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (folder / "imported.yml").exists()
