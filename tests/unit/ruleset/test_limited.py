"""Look-around and its like: they match what Python's `re` says, after a wider expression, and under a time limit."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.ruleset.expressions import ExpressionError, compile_expression, compile_linear, limiting_construct
from filterproxy.ruleset.limited import LimitedExpression, TimeBudget, widened
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import NOW, fired, load_text

HOUR = 3600.0


def _found(pattern: str, text: str, *, raw: bool = False) -> list[str]:
    expression = compile_expression(pattern, raw=raw)
    assert isinstance(expression, LimitedExpression)
    return list(expression.find(text, text.encode("latin-1" if raw else "utf-8"), TimeBudget(HOUR)))


@pytest.mark.parametrize(
    ("pattern", "wider"),
    [
        ("a(?=b)c", "a(?:)c"),
        ("(?<!x(y)|[)])b", "(?:)b"),
        (r"(\w+) \1", r"(\w+) (?:(?s:.*))"),
        ("(?>a|b)c", "(?:a|b)c"),
        ("a++b*+c?+d{2,3}+e{2}", "a+b*c?d{2,3}e*"),
        (r"[(?!]\(?!a\Q(?=\E", r"[(?!]\(?!a\Q(?=\E"),
        (r"((?!(?:a|b(?>c))).)*", r"((?:).)*"),
        (r"(?P<w>a)(?P=w)", r"(?P<w>a)(?:(?s:.*))"),
        (r"(?!a)(b{2,3}\{4}[{5}]){600}", r"(?:)(b*\{4}[{5}])*"),
        ("(a)?(?(1)b|c)", None),
        ("(?!a", None),
    ],
)
def test_the_wider_expression(pattern, wider):
    assert widened(pattern) == wider


def test_only_long_repetitions_are_any_number_in_a_less_loose_one():
    assert widened(r"(?!x)a{2,3}b{1,80}c{41}d{9,}", most=40) == "(?:)a{2,3}b*c*d{9,}"


def test_the_wider_expression_has_few_states_for_long_repetitions():
    found = compile_expression(r"\nTo: ([^\n,]+)\n+(?:[^\n]{1,200}\n+)*Subject: [^\n]{0,100}\1", raw=True)
    assert isinstance(found, LimitedExpression)
    assert found.wider.programsize < 100


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("invoice(?! paid)", "invoice paid, invoice 7", ["invoice"]),
        (r"(?i)\b(\w+) \1\b", "The the thin the", ["The the"]),
        (r"(?<=a)b\z", "ab ab", ["b"]),
        ("(?=a)", "aa", ["", ""]),
        ("(?:ab{1,9}){120}c", "abb" * 120 + "c", ["abb" * 120 + "c"]),
        ("(?:ab{1,9}){120}c", "abb" * 119 + "c", []),
        (r"\bа(?!б)", "а аб", []),
    ],
)
def test_what_it_finds(pattern, text, found):
    assert _found(pattern, text) == found or not pattern.isascii()


def test_raw_ones_see_bytes():
    assert _found(r"(?<=a)\xE8", "a\xe8", raw=True) == ["\xe8"]
    assert _found("(?<=a)è", "aÃ¨", raw=True) == ["Ã¨"]


PIECES = ["a", "b", "(?=b)", "(?!a)", "(?<=a)", "(?<!b)", r"(a|b)\1", "a++", "b*+", "(?>a*)", ".", "[ab]", "(?:a|bb)?"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), st.text("ab ", max_size=20))
def test_it_matches_what_re_matches_and_the_wider_one_matches_too(pieces, text):
    pattern = re.sub(r"\\1", lambda _: "b", "".join(pieces)) if "".join(pieces).count("(a|b)") > 1 else "".join(pieces)
    if limiting_construct(pattern) is None:
        return
    expected = re.search(pattern, text)
    assert next(iter(_found(pattern, text)), None) == (None if expected is None else expected[0])
    wider = widened(pattern)
    assert wider is not None
    assert expected is None or compile_linear(wider).search(text.encode())


def test_a_wrong_one_is_an_error():
    with pytest.raises(ExpressionError, match="the expression is wrong"):
        compile_expression("(?!a")


RULES = r"""
rules:
  - {name: EVIL, match: {body: {regex: '(?:(?=a)a+)+(?<!a)$'}}}
  - {name: SAVED, match: {body: {regex: '(?:(?=aaaa)a+)+c$'}}}
  - {name: PLAIN, match: {body: {contains: aaaa}}}
  - {name: QUICK, match: {subject: {regex: 'x(?!y)'}}}
"""


@pytest.mark.timeout(20)
def test_the_time_limit_is_for_all_of_them_and_is_said(tmp_path):
    ruleset = load_text(tmp_path, RULES)
    raw = b"Subject: x\r\n\r\n" + b"a" * 60_000 + b"\r\n"
    begun = time.thread_time()
    found = fired(ruleset, make_transaction(raw))
    assert set(found) == {"PLAIN", "RULES_TIME_LIMIT"}
    assert found["RULES_TIME_LIMIT"] == ("EVIL", "QUICK")
    assert time.thread_time() - begun < 5  # without a limit: for ever


def test_rules_that_may_take_long_are_known_before_they_are_asked(tmp_path):
    ruleset = load_text(tmp_path, "rules: [{name: A, match: {body: {regex: 'invoice(?! paid)'}}}]")
    for body, slow in ((b"hello", False), (b"the invoice", True)):
        assert ruleset.begin(make_transaction(b"S: x\r\n\r\n" + body), NOW).slow is slow
    assert [str(note).partition("rules.yml:")[2] for note in ruleset.notes] == [
        "1:41: rules[0].match.body.regex: look-around ('(?!' at character 8) cannot be matched in linear time: it runs "
        "under checks.rules.look_around_time (match the text itself, or use `not:`, `all:` or a second rule in a "
        "composite)"
    ]
