"""Rules that read other rules: parts, sums, and what is wrong with them."""

from __future__ import annotations

import pytest

from filterproxy.core.errors import ConfigErrors
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import fired, load_text

PARTS = """
  - {name: _MONEY, match: {body: {contains: million dollars}}}
  - {name: _SECRET, match: {body: {contains: confidential}}}
  - {name: _ABROAD, match: {body: {contains: foreign account}}}
"""
MESSAGE = b"Subject: Urgent\r\n\r\n%s\r\n"


def load_rules(folder, *rules):
    return load_text(folder, "rules:" + PARTS + "".join(f"  - {rule}\n" for rule in rules))


def hits(ruleset, body):
    return fired(ruleset, make_transaction(raw=MESSAGE % body.encode()))


def test_a_rule_reads_parts_that_nobody_sees(tmp_path):
    ruleset = load_rules(tmp_path, "{name: FRAUD, match: {all: [{rule: _MONEY}, {not: {rule: _SECRET}}]}}")
    assert [symbol.name for symbol in ruleset.symbols] == ["FRAUD"]
    assert hits(ruleset, "two million dollars") == {"FRAUD": ("million dollars",)}
    assert hits(ruleset, "two million dollars, confidential") == {}
    assert hits(ruleset, "confidential") == {}


def test_a_rule_reads_a_rule_that_stands_below_it(tmp_path):
    ruleset = load_rules(
        tmp_path,
        "{name: TOP, match: {rule: MIDDLE, subject: {contains: urgent}}}",
        "{name: MIDDLE, match: {not: {rule: _MONEY}}}",
    )
    assert set(hits(ruleset, "nothing")) == {"TOP", "MIDDLE"}
    assert hits(ruleset, "two million dollars") == {}


@pytest.mark.parametrize(
    ("of", "numbers", "body", "expected"),
    [
        ("[_MONEY, _SECRET, _ABROAD]", '">= 2"', "million dollars, confidential", True),
        ("[_MONEY, _SECRET, _ABROAD]", '">= 2"', "million dollars", False),
        ("[_MONEY, _SECRET, _ABROAD]", "1", "million dollars", True),
        ("[_MONEY, _SECRET]", '"< 1"', "nothing", True),
        ("[{rule: _MONEY, times: 3}, {rule: _SECRET, times: -1}]", '"> 2"', "million dollars", True),
        ("[{rule: _MONEY, times: 3}, {rule: _SECRET, times: -1}]", '"> 2"', "million dollars, confidential", False),
        ("[{rule: _SECRET, times: -1}]", '"< 0"', "confidential", True),
        ("[{rule: _SECRET, times: -1}]", '">= -0.5"', "nothing", True),
        ('[{match: {subject: {contains: urgent}}}, _SECRET]', '">= 2"', "confidential", True),
    ],
)  # fmt: skip
def test_sums(tmp_path, of, numbers, body, expected):
    ruleset = load_rules(tmp_path, f"{{name: SUM, match: {{sum: {{of: {of}, is: {numbers}}}}}}}")
    assert ("SUM" in hits(ruleset, body)) is expected


def test_a_rule_is_asked_only_when_one_of_its_expressions_may_match(tmp_path):
    ruleset = load_rules(
        tmp_path,
        '{name: SUM, match: {sum: {of: [_MONEY, _SECRET], is: "> 1"}}}',
        "{name: BOTH, match: {all: [{rule: _ABROAD}, {not: {rule: _SECRET}}]}}",
        '{name: FEW, match: {sum: {of: [_MONEY, _SECRET], is: "< 1"}}}',
    )
    wakes = {rule.name: rule.node.wake() for rule in ruleset.rules}
    assert {name: wake and len(wake) for name, wake in wakes.items()} == {"SUM": 2, "BOTH": 1, "FEW": None}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{name: A, match: {rule: _MONY}}", "5:29: rules[3].match.rule: A names the rule _MONY, which is not there "
         "(did you mean '_MONEY'?)"),
        ("{name: A, match: {sum: {of: [_MONEY, NONE_SUCH], is: 1}}}", "A names the rule NONE_SUCH, which is not there"),
        ("{name: A, match: {not: {rule: A}}}", "rules refer to each other in a circle: A -> A"),
        ("{name: A, match: {sum: {of: [{times: 2}], is: 1}}}", "write either `rule:` or `match:`"),
        ("{name: _A, action: reject, match: {rule: _MONEY}}", "a part has no `action:`"),
        ("{name: '_A-B', match: {rule: _MONEY}}", "'_A-B' is no name of a part"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(tmp_path, rule, message):
    with pytest.raises(ConfigErrors) as caught:
        load_rules(tmp_path, rule)
    assert any(message in str(error) for error in caught.value.errors), str(caught.value)
