"""The rules that ship: they load, they do what their own tests say, and they cost little."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from filterproxy.config.paths import installed_data
from filterproxy.core.envelope import Envelope
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.ruleset import loader
from filterproxy.ruleset.samples import run_tests

FOLDER = installed_data() / "rules"
DATA = Path(__file__).parents[2] / "data"
POINTS = 3.0


@pytest.fixture(scope="module")
def ruleset():
    return loader.load(loader.find_files(["rules/*.yml"], Path("/nonexistent")), Path("/nonexistent"))


def test_their_own_tests_pass(ruleset):
    assert [str(error) for error in run_tests(ruleset)] == []


def test_every_rule_has_samples_and_a_description(ruleset):
    assert len(ruleset.tests) >= 150
    assert [item.name for item in ruleset.tests if not (item.samples.match and item.samples.no_match)] == []
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


def points(ruleset, file: Path) -> dict[str, float]:
    """Return what the rules alone give a message, by rule; nothing is known of client, envelope or authentication."""
    transaction = Transaction.begin(Session("test", "test", Client("")))
    transaction.envelope = Envelope("")
    transaction.message = Message(file.read_bytes())
    scores = {symbol.name: symbol.score for symbol in ruleset.symbols}
    fired = {hit.name: scores[hit.name] for hit in ruleset.match(transaction, datetime.now(UTC)) if hit.name in scores}
    for composite in ruleset.composites:
        if composite.expression.matches(fired):
            fired[composite.name] = composite.score
    groups = {symbol.name: symbol.group for symbol in ruleset.symbols}
    for group, limit in ruleset.group_limits.items():
        excess = sum(score for name, score in fired.items() if groups.get(name) == group) - limit
        if excess > 0:
            fired[f"over {group}"] = -excess
    return {name: score for name, score in fired.items() if score}


def test_wanted_mail_that_looks_like_what_spam_imitates_stays_clean(ruleset):
    files = sorted((DATA / "transactional").glob("*/*.eml"))
    assert len(files) >= 80
    found = {str(file.relative_to(DATA)): points(ruleset, file) for file in files}
    assert {name: fired for name, fired in found.items() if sum(fired.values()) >= POINTS} == {}


@pytest.mark.parametrize(("folder", "share"), [("spam-2026", 0.9), ("spam-2023-2025", 0.9)])
def test_most_spam_of_these_years_gets_three_points_from_rules_alone(ruleset, folder, share):
    files = sorted((DATA / "messages" / folder).glob("*.eml"))
    reached = [file for file in files if sum(points(ruleset, file).values()) >= POINTS]
    assert len(reached) >= share * len(files)


def test_ham_of_another_filters_tests_stays_clean(ruleset):
    files = [file for file in sorted((DATA / "messages" / "spamassassin-nice").iterdir()) if file.is_file()]
    assert len(files) >= 40
    assert [file.name for file in files if sum(points(ruleset, file).values()) >= POINTS] == []
