"""Expressions without literals: tried together they match the same as by themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.ruleset.facts import TextLimits
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import fired, load_text

EXPRESSIONS = [
    r"\d{4}", r"\S", "^a", "b$", r"a\w?b", "[xyz]{2}", r"\bx\b", "(?i)Q.r", r"é\d", "a(?!b)", r"(\w)\1", r"\d\.\d",
    "a.c", "^$", r"\Ay", r"[^\x00-\x7f]", "z+", r"b\n?c", "..q", "o[^ ]o",
]  # fmt: skip
PLACES = [
    {}, {"normalize": False}, {"per": "paragraph"}, {"per": "paragraph", "normalize": False},
]  # fmt: skip


def _rules(expressions):
    rules = [
        {"name": f"R{number}_{place}", "match": {"body": {"regex": expression, "ignore_case": False, **options}}}
        for number, expression in expressions
        for place, options in enumerate(PLACES)
    ]
    return json.dumps({"rules": rules})


@pytest.fixture(scope="module")
def rulesets(tmp_path_factory):
    """Return all expressions in one ruleset, and each in one of its own."""
    folder = tmp_path_factory.mktemp("rules")
    patient = TextLimits(seconds=60)
    together = load_text(folder, _rules(list(enumerate(EXPRESSIONS))), patient)
    return together, [load_text(folder, _rules([pair]), patient) for pair in enumerate(EXPRESSIONS)]


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.text("abcqxyzé123. \n", max_size=12), max_size=8))
def test_together_they_match_what_they_match_alone(rulesets, lines):
    together, alone = rulesets
    assert len(together._matcher._unaided.numbers) >= 50
    transaction = make_transaction(b"S: x\r\n\r\n" + "\r\n".join(lines).encode())
    expected = {}
    for ruleset in alone:
        expected |= fired(ruleset, transaction)
    assert fired(together, transaction) == expected


def test_a_large_expression_is_tried_alone(tmp_path):
    rules = [{"name": f"R{n}", "match": {"body": {"regex": rf"[a-z]{{{n}}}\d"}}} for n in (3, 4, 5, 990)]
    ruleset = load_text(tmp_path, json.dumps({"rules": rules}))
    assert len(ruleset._matcher._unaided.numbers) == 3
    assert set(fired(ruleset, make_transaction(b"S: x\r\n\r\n" + b"a" * 990 + b"7\r\n"))) == {"R3", "R4", "R5", "R990"}
