"""A ruleset: the prefilter and the waking of rules change nothing but the time."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filterproxy.ruleset.facts import DEFAULT_LIMITS, Facts
from filterproxy.ruleset.limited import TimeBudget
from filterproxy.ruleset.nodes import Run
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import NOW, fired, load_text

WORDS = ("lottery", "won", "bank", "account", "prize", "x", "ⱥprize", "ẞbank")
CONDITIONS = st.one_of(
    st.builds(lambda word: {"contains": word}, st.sampled_from(WORDS)),
    st.builds(lambda word, n: {"regex": word, "count": n}, st.sampled_from(WORDS), st.sampled_from(["> 1", "< 2", 0])),
    st.builds(lambda a, b: {"contains": a, "not": {"contains": b}}, st.sampled_from(WORDS), st.sampled_from(WORDS)),
    st.builds(lambda a, b: {"regex": [a, f"{b}.*{a}"]}, st.sampled_from(WORDS), st.sampled_from(WORDS)),
    st.builds(
        lambda a, b, c: {"regex": rf"\b{a}\b.{{0,{c}}}{b}\b", "normalize": c != 5},
        st.sampled_from(WORDS),
        st.sampled_from(WORDS),
        st.sampled_from([0, 5, 20]),
    ),
)
MATCHES = st.recursive(
    st.one_of(
        st.builds(
            lambda key, condition: {key: condition}, st.sampled_from(["subject", "body", "raw_body"]), CONDITIONS
        ),
        st.builds(
            lambda word, count: {"url": {"host": {"contains": word}, "count": count}},
            st.sampled_from(WORDS),
            st.sampled_from([">= 1", 0, "< 2", "> 1"]),
        ),
        st.builds(lambda word: {"header": {"name": "X-A", "absent": True}}, st.sampled_from(WORDS)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda matches: {"all": matches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda matches: {"any": matches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda matches: {"at_least": {"n": 2, "of": matches}}, st.lists(inner, min_size=2, max_size=4)),
        st.builds(lambda match: {"not": match}, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(MATCHES, min_size=1, max_size=6),
    st.lists(st.sampled_from(WORDS), max_size=4),
    st.lists(st.sampled_from((*WORDS, "ȺPRIZE", "ẞBANK", "İ", "http://bank.example/", "\r\n")), max_size=20),
)
def test_the_same_rules_match_as_when_every_expression_is_tried(tmp_path, matches, subject, body):
    rules = [{"name": f"R{number}", "match": match} for number, match in enumerate(matches)]
    ruleset = load_text(tmp_path, json.dumps({"rules": rules}))
    raw = f"Subject: {' '.join(subject)}\r\n\r\n{' '.join(body)}\r\n".encode()
    everything = {pattern.number: None for pattern in ruleset.patterns}
    run = Run(Facts(make_transaction(raw), NOW, DEFAULT_LIMITS), everything, TimeBudget(1))
    expected = {rule.name for rule in ruleset.rules if rule.node.matches(run) is not None}
    assert set(fired(ruleset, make_transaction(raw))) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "Subject: x\r\n\r\n" + "Ⱥ" * 500 + " you have won",
        "Subject: x\r\n\r\n" + "ẞ" * 500 + " you have won " + "Ⱥ" * 500,
        "Subject: " + "x" * 500 + "\r\nSubject: you have won\r\n\r\nx",
    ],
)
def test_a_match_is_found_wherever_it_stands(tmp_path, raw):
    rules = [{"name": key.upper(), "match": {key: {"regex": "you have won"}}} for key in ("subject", "body")]
    ruleset = load_text(tmp_path, json.dumps({"rules": rules}))
    transaction = make_transaction(
        raw.replace("\r\n\r\n", "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n").encode()
    )
    assert list(fired(ruleset, transaction).values()) == [("you have won",)]


def test_rules_that_share_an_expression_share_its_work(tmp_path):
    rules = [{"name": f"R{number}", "match": {"body": {"contains": "prize"}}} for number in range(3)]
    ruleset = load_text(tmp_path, json.dumps({"rules": rules}))
    assert len(ruleset.patterns) == 1
    assert set(fired(ruleset, make_transaction(b"S: x\r\n\r\na prize\r\n"))) == {"R0", "R1", "R2"}


def test_hostile_expressions_and_texts_take_no_time(tmp_path):
    rules = [
        {"name": "A", "match": {"body": {"regex": "(a+)+$"}}},
        {"name": "B", "match": {"raw_body": {"regex": r"\s+$", "normalize": False}}},
        {"name": "C", "match": {"body": {"regex": "(x+x+)+y", "count": ">= 5"}}},
    ]
    ruleset = load_text(tmp_path, json.dumps({"rules": rules}))
    for body in (b"a" * 100_000 + b"!", b" " * 80_000 + b"x", b"x" * 100_000):
        transaction = make_transaction(b"Subject: x\r\n\r\n" + body)
        start = time.process_time()
        assert fired(ruleset, transaction) == {}
        assert time.process_time() - start < 1


WHEN = """
rules:
  - {name: IN, when: {direction: incoming}, match: {body: {contains: hello}}}
  - {name: OUT, when: {direction: outgoing}, match: {body: {contains: hello}}}
  - {name: AUTH, when: {authenticated: true}, match: {size: "> 0"}}
  - {name: NO_AUTH, when: {authenticated: false, rcpt_domain: [a.example, b.example]}, match: {size: "> 0"}}
  - {name: ANNA, when: {rcpt_domain: {ends_with: .example}}, match: {envelope: {rcpt_to: {starts_with: anna@}}}}
lists:
  - {name: LISTED, when: {direction: incoming}, file: l.txt, of: mail_from}
"""


@pytest.mark.parametrize(
    ("sender", "rcpt_to", "expected"),
    [
        ({}, "anna@B.example", {"IN", "NO_AUTH", "ANNA", "LISTED"}),
        ({"user": "karl"}, "anna@b.example", {"OUT", "AUTH", "ANNA"}),
        ({"local": True}, "karl@a.example", {"OUT", "NO_AUTH"}),
        ({}, "anna@example.org", {"IN", "LISTED"}),
    ],
)
def test_circumstances_decide_whether_a_rule_is_asked(tmp_path, sender, rcpt_to, expected):
    ruleset = load_text(tmp_path, WHEN, l_txt="x.example")
    transaction = make_transaction(b"S: x\r\n\r\nhello\r\n", rcpt_to=[rcpt_to], mail_from="a@x.example")
    transaction.session.user = sender.get("user", "")
    transaction.session.local = sender.get("local", False)
    found = fired(ruleset, transaction)
    assert set(found) == expected
    assert all("direction" not in evidence for evidence in found.values())
