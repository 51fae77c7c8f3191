"""The rules that ship: they load, they do what their own tests say, and they cost little."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.config.paths import installed_data
from filterproxy.ruleset import loader
from filterproxy.ruleset.samples import run_tests

FOLDER = installed_data() / "rules"


@pytest.fixture(scope="module")
def ruleset():
    return loader.load(loader.find_files(["rules/*.yml"], Path("/nonexistent")), Path("/nonexistent"))


def test_their_own_tests_pass(ruleset):
    assert [str(error) for error in run_tests(ruleset)] == []


def test_every_rule_has_samples_and_a_description(ruleset):
    assert len(ruleset.tests) >= 150
    assert [item.name for item in ruleset.tests if not (item.samples.match or item.samples.no_match)] == []
    descriptions = {symbol.name: symbol.description for symbol in ruleset.symbols}
    assert [name for name, text in descriptions.items() if text == f"The rule {name}"] == []


def test_composites_name_only_rules_that_ship(ruleset):
    """A composite over another check's symbol would keep the service from starting when that check is off."""
    assert ruleset.unknown_symbols(()) == []


def test_no_single_rule_rejects_and_scores_are_moderate(ruleset):
    assert max(symbol.score for symbol in ruleset.symbols) <= 4
    assert set(ruleset.forced_actions) == {"ALLOW_LIST", "DENY_LIST"}


def test_the_shipped_lists_are_empty_of_senders():
    for name in ("allow.txt", "deny.txt"):
        lines = (FOLDER / "lists" / name).read_text().splitlines()
        assert [line for line in lines if line and not line.startswith("#")] == []


def test_few_expressions_have_to_be_tried_on_every_body(ruleset):
    unaided = [
        p for p in ruleset.patterns if not p.literals.texts and p.field.key.startswith(("body", "html", "raw_body"))
    ]
    assert len(unaided) <= 15
