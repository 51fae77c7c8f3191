"""One ruleset for all workers: loaded once while the files say the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filterproxy.checks.rules import RulesCheck, RulesConfig
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset import shared
from filterproxy.ruleset.facts import DEFAULT_LIMITS, TextLimits
from filterproxy.testing import make_context, make_site

RULE = "rules:\n- name: R1\n  score: 1\n  match: {subject: {contains: offer}}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yml"
    path.write_text(RULE)
    return path


def load(folder: Path, limits: TextLimits = DEFAULT_LIMITS):
    return shared.load(("rules.yml",), folder, limits)


def test_the_same_files_are_loaded_once(rules: Path, tmp_path: Path) -> None:
    assert load(tmp_path) is load(tmp_path)


def test_a_change_is_seen_even_when_size_and_time_are_the_same(rules: Path, tmp_path: Path) -> None:
    before, status = load(tmp_path), rules.stat()
    rules.write_text(RULE.replace("R1", "R2"))
    os.utime(rules, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [symbol.name for symbol in before.symbols] == ["R1"]
    assert [symbol.name for symbol in load(tmp_path).symbols] == ["R2"]


def test_other_limits_are_another_ruleset(rules: Path, tmp_path: Path) -> None:
    assert load(tmp_path, TextLimits(text=2048)).limits.text == 2048
    assert load(tmp_path).limits == DEFAULT_LIMITS


def test_what_cannot_be_loaded_is_an_error_each_time(rules: Path, tmp_path: Path) -> None:
    good = load(tmp_path)
    rules.write_text("rules: 3\n")
    for _ in range(2):
        with pytest.raises(ConfigError):
            load(tmp_path)
    rules.write_text(RULE)
    assert [symbol.name for symbol in load(tmp_path).symbols] == [symbol.name for symbol in good.symbols]


def test_lists_are_as_they_are_now(rules: Path, tmp_path: Path) -> None:
    listed = tmp_path / "senders.txt"
    listed.write_text("a.example\n")
    rules.write_text("lists:\n- name: L1\n  score: 1\n  description: Listed\n  file: senders.txt\n  of: [mail_from]\n")
    before = load(tmp_path)
    listed.write_text("other.example\n")
    assert load(tmp_path) is before
    assert before.list_files[0].entries.has_word("other.example")
    listed.unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"senders\.txt"):
            load(tmp_path)


def test_the_check_takes_what_was_loaded_ahead(rules: Path, tmp_path: Path) -> None:
    config = RulesConfig(files=("rules.yml",))
    config.load_ahead(tmp_path)
    ahead = load(tmp_path, config.limits)
    assert RulesCheck(config, make_context(site=make_site(base_dir=tmp_path))).ruleset is ahead
