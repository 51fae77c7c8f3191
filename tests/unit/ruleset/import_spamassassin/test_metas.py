"""Expressions of meta rules: read with Perl's precedence, said as matches."""

from __future__ import annotations

import pytest

from filterproxy.ruleset.import_spamassassin.metas import MetaError, Number, names, parse, to_match, without


def match(text: str, *off: str):
    meta = without(parse(text), lambda name: name in off)
    return meta.value if isinstance(meta, Number) else to_match(meta, lambda name: {"rule": name})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", {"rule": "A"}),
        ("A && !B", {"all": [{"rule": "A"}, {"not": {"rule": "B"}}]}),
        ("A && B && C", {"all": [{"rule": "A"}, {"rule": "B"}, {"rule": "C"}]}),
        ("A || B && C", {"any": [{"rule": "A"}, {"all": [{"rule": "B"}, {"rule": "C"}]}]}),
        ("(A + B + C) > 1", {"sum": {"of": ["A", "B", "C"], "is": "> 1"}}),
        ("(A+A+B) >= 2", {"sum": {"of": [{"rule": "A", "times": 2.0}, "B"], "is": ">= 2"}}),
        ("2 < A + B", {"sum": {"of": ["A", "B"], "is": "> 2"}}),
        ("A == 1", {"sum": {"of": ["A"], "is": "= 1"}}),
        ("A > B", {"sum": {"of": ["A", {"rule": "B", "times": -1.0}], "is": "> 0"}}),
        ("A + B", {"sum": {"of": ["A", "B"], "is": "> 0", "as_hits": True}}),
        ("(A || B) + C > 1", {"sum": {"of": [{"match": {"any": [{"rule": "A"}, {"rule": "B"}]}}, "C"], "is": "> 1"}}),
        ("A > (B * 14) / 10", {"sum": {"of": ["A", {"rule": "B", "times": -1.4}], "is": "> 0"}}),
    ],
)
def test_expressions(text, expected):
    assert match(text) == expected


@pytest.mark.parametrize(
    ("text", "off", "expected"),
    [
        ("A && OFF", ["OFF"], 0.0),
        ("A || OFF", ["OFF"], {"rule": "A"}),
        ("A && !OFF", ["OFF"], {"rule": "A"}),
        ("OFF + A > 0", ["OFF"], {"sum": {"of": ["A"], "is": "> 0"}}),
        ("OFF + OFF", ["OFF"], 0.0),
        ("!OFF", ["OFF"], 1.0),
    ],
)
def test_names_that_are_off_are_left_out(text, off, expected):
    assert match(text, *off) == expected


@pytest.mark.parametrize("text", ["", "A &&", "(A", "A)", "A B", "f(A)", "A * B > 1", "A / 0 > 1", "&& A", "1", "A;"])
def test_what_cannot_be_said_is_refused(text):
    with pytest.raises(MetaError):
        to_match(parse(text), lambda name: {"rule": name})


def test_the_names_it_reads():
    assert list(names(parse("A && (B + !C) > 1"))) == ["A", "B", "C"]
