"""Composites: expressions, order, unknown names."""

from __future__ import annotations

import pytest

from filterproxy.core.composite import AtLeast, Has, Not
from tests.unit.ruleset.loading import load_text

RULES = """
rules:
  - {name: ONE, match: {body: {contains: one}}}
composites:
  - {name: LAST, score: 2, description: At the end, all: [MIDDLE, ONE]}
  - {name: MIDDLE, any: [ONE, {all: [SPF_FAIL, {not: DKIM_PASS}]}]}
  - {name: SOME, at_least: {n: 2, of: [ONE, SPF_FAIL, RBL]}, not: [HAM, ALLOW]}
"""


@pytest.fixture
def ruleset(tmp_path):
    return load_text(tmp_path, RULES)


def test_expressions(ruleset):
    found = {composite.name: composite for composite in ruleset.composites}
    assert found["LAST"].expression == AtLeast(2, (Has("MIDDLE"), Has("ONE")))
    assert found["SOME"].expression.matches({"ONE", "RBL"})
    assert not found["SOME"].expression.matches({"ONE", "RBL", "ALLOW"})
    assert not found["SOME"].expression.matches({"ONE"})
    assert found["MIDDLE"].expression.matches({"SPF_FAIL"})
    assert not found["MIDDLE"].expression.matches({"SPF_FAIL", "DKIM_PASS"})
    assert found["MIDDLE"].expression == AtLeast(1, (Has("ONE"), AtLeast(2, (Has("SPF_FAIL"), Not(Has("DKIM_PASS"))))))


def test_a_composite_comes_after_what_it_reads(ruleset):
    names = [composite.name for composite in ruleset.composites]
    assert names.index("MIDDLE") < names.index("LAST")


def test_descriptions_are_given_or_made(ruleset):
    found = {composite.name: composite.description for composite in ruleset.composites}
    assert found["LAST"] == "At the end"
    assert found["MIDDLE"] == "any of (ONE, all of (SPF_FAIL, not DKIM_PASS))"
    assert found["SOME"] == "all of (not any of (HAM, ALLOW), at least 2 of (ONE, SPF_FAIL, RBL))"


def test_a_composite_knows_where_it_is_written(ruleset, tmp_path):
    origins = {composite.name: composite.origin for composite in ruleset.composites}
    assert origins["SOME"] == f"{tmp_path}/rules.yml:7:12"


def test_unknown_symbols_are_placed_and_the_nearest_is_named(ruleset):
    errors = ruleset.unknown_symbols({"SPF_FAIL", "DKIM_PASS", "RBL", "ALLOW_LIST"})
    assert [str(error).rpartition("/")[2] for error in errors] == [
        "rules.yml:7:68: composites[2].not[0]: composite SOME names HAM, which nothing declares",
        "rules.yml:7:73: composites[2].not[1]: composite SOME names ALLOW, which nothing declares "
        "(did you mean 'ALLOW_LIST'?)",
    ]
    assert ruleset.unknown_symbols({"SPF_FAIL", "DKIM_PASS", "RBL", "ALLOW", "HAM"}) == []


def test_sums(tmp_path):
    text = """
    composites:
      - {name: SUM, sum: {of: [A, {symbol: B, times: 2}, {all: [C, D], times: -1.5}], is: [">= 2", "< 3"]}}
    """
    (composite,) = load_text(tmp_path, text).composites
    assert composite.description == "sum of (1 × A, 2 × B, -1.5 × all of (C, D))"
    assert set(composite.expression.names()) == {"A", "B", "C", "D"}
    for fired, holds in (("B", True), ("BC", True), ("A", False), ("AB", False), ("ABCD", False), ("", False)):
        assert composite.expression.matches(set(fired)) is holds


def test_a_sum_names_only_known_symbols(tmp_path):
    ruleset = load_text(tmp_path, "composites: [{name: SUM, sum: {of: [A, {symbol: SPF_FIAL}], is: 1}}]")
    (error,) = ruleset.unknown_symbols({"A", "SPF_FAIL"})
    assert "composites[0].sum.of[1]" in str(error)
    assert "did you mean 'SPF_FAIL'?" in str(error)
