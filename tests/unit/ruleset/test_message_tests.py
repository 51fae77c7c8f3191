"""Folders of messages with expected symbols: what differs is placed in expected.yml."""

from __future__ import annotations

import pytest

from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.message_tests import run_messages
from tests.unit.ruleset.loading import load_text

RULES = """
rules:
  - {name: PRIZE, score: 3, match: {subject: {contains: prize}}}
  - {name: BANK, score: 2, match: {body: {contains: bank}}}
  - {name: NEAR, score: -1, match: {client: {ip: 198.51.100.7}}}
composites:
  - {name: BOTH, score: 1, all: [PRIZE, BANK]}
"""
RIGHT = """
messages:
  - {file: spam.eml, match: [PRIZE, BOTH], min_score: 6}
  - {file: ham/*.eml, no_match: PRIZE, max_score: 2}
  - {file: ham/1.eml, match: NEAR, only: true, client: 198.51.100.7}
"""
WRONG = """
messages:
  - file: spam.eml
    match: [NEAR]
    no_match: [PRIZE, PRISE]
  - {file: none.eml}
  - {file: ham/*.eml, only: true, max_score: 1, min_score: 5}
"""


@pytest.fixture
def ruleset(tmp_path):
    (tmp_path / "ham").mkdir()
    (tmp_path / "spam.eml").write_bytes(b"Subject: A prize\r\n\r\nfrom the bank\r\n")
    (tmp_path / "ham" / "1.eml").write_bytes(b"Subject: x\n\nhello\n")
    (tmp_path / "ham" / "2.eml").write_bytes(b"Subject: x\n\nthe bank\n")
    return load_text(tmp_path, RULES)


def test_a_folder_that_is_as_expected(ruleset, tmp_path):
    (tmp_path / "expected.yml").write_text(RIGHT)
    outcome = run_messages(ruleset, tmp_path)
    assert [str(error) for error in outcome.errors] == []
    assert outcome.messages == 4


def test_differences_are_placed(ruleset, tmp_path):
    (tmp_path / "expected.yml").write_text(WRONG)
    lines = [str(error).rpartition("/expected.yml:")[2] for error in run_messages(ruleset, tmp_path).errors]
    assert [line.replace(str(tmp_path), "FOLDER") for line in lines] == [
        "5:15: messages[0].no_match: no rule is called PRISE (did you mean 'PRIZE'?)",
        "4:12: messages[0].match: spam.eml: NEAR does not match",
        "5:15: messages[0].no_match: spam.eml: PRIZE matches: prize",
        "6:12: messages[1].file: no message: none.eml (there is no FOLDER/none.eml)",
        "7:60: messages[2].min_score: 1.eml: the scores add up to 0: nothing matches",
        "7:29: messages[2].only: 2.eml: BANK matches: bank",
        "7:46: messages[2].max_score: 2.eml: the scores add up to 2: BANK",
        "7:60: messages[2].min_score: 2.eml: the scores add up to 2: BANK",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("messages: []", "messages"),
        ("mesages: [{file: x}]", "did you mean 'messages'?"),
        ("messages: [{file: x, match: [lower]}]", "no symbol name"),
        ("messages: [{}]", "file"),
    ],
)
def test_a_wrong_file_is_explained(ruleset, tmp_path, text, reason):
    (tmp_path / "expected.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"expected\.yml:1") as caught:
        run_messages(ruleset, tmp_path)
    assert reason in str(caught.value)


def test_a_folder_without_expectations_is_an_error(ruleset, tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        run_messages(ruleset, tmp_path)
