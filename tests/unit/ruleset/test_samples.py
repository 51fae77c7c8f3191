"""The tests that rules carry: where a bare text is put, and what is said when one fails."""

from __future__ import annotations

import pytest

from filterproxy.ruleset.samples import make_transaction, run_tests
from filterproxy.ruleset.schema import Match, Sample
from tests.unit.ruleset.loading import load_text

RULES = """
rules:
  - name: RIGHT
    match: {any: [{subject: {contains: prize}}, {body: {contains: prize}}, {url: {host: prize.example}}]}
    tests:
      match:
        - a prize
        - http://prize.example/
        - {subject: Prize}
        - {html: "<b>prize</b>"}
        - {message: "Subject: prize\\n\\nx"}
      no_match: [nothing, {headers: {X-Prize: prize}}]
  - name: WRONG
    match: {body: {contains: prize}}
    tests:
      match: [a price]
      no_match: [a prize]
  - name: NO_TEXT
    match: {size: "> 1MB"}
    tests:
      match: [text]
  - name: UNTESTED
    match: {size: "> 1MB"}
"""


def test_failing_samples_are_placed(tmp_path):
    errors = [str(error).rpartition("/")[2] for error in run_tests(load_text(tmp_path, RULES))]
    assert errors == [
        "rules.yml:16:15: rules[1].tests.match[0]: WRONG does not match this",
        "rules.yml:17:18: rules[1].tests.no_match[0]: WRONG matches this: prize",
        "rules.yml:21:15: rules[2].tests.match[0]: the rule looks at no text: write the sample as a map, "
        "such as {headers: {…}, body: …}",
    ]


def _match(**keys):
    return Match.model_validate(keys)


@pytest.mark.parametrize(
    ("match", "read"),
    [
        (_match(subject={"contains": "x"}), lambda t: t.message.subject),
        (_match(body={"contains": "x"}), lambda t: t.message.text.strip()),
        (_match(raw_body={"contains": "x"}), lambda t: t.message.text.strip()),
        (_match(html={"visible": {"contains": "x"}}), lambda t: t.message.html[0].visible),
        (_match(html={"hidden": {"contains": "x"}}), lambda t: t.message.html[0].hidden),
        (_match(header={"name": "X-Y", "contains": "x"}), lambda t: t.message.headers.first("x-y").value),
        (_match(attachment={"filename": "x"}), lambda t: t.message.attachments[0].filename),
        (_match(envelope={"mail_from": "x"}), lambda t: t.envelope.mail_from),
        (_match(client={"name": "x"}), lambda t: t.client.name),
        (_match(client={"helo": "x"}), lambda t: t.helo),
        (_match(all=[{"any": [{"at_least": {"n": 1, "of": [{"client": {"helo": "x"}}]}}]}]), lambda t: t.helo),
    ],
)
def test_a_bare_text_is_put_where_the_rule_looks(match, read):
    assert read(make_transaction(Sample(text="the text"), match)) == "the text"


def test_what_must_not_be_there_is_no_place():
    match = _match(subject={"contains": "x"}, **{"not": {"body": {"contains": "x"}}})
    transaction = make_transaction(Sample(text="the text"), match)
    assert transaction.message.subject == "the text"
    assert "the text" not in transaction.message.text


def test_a_sample_says_only_what_is_unusual():
    sample = Sample.model_validate(
        {
            "body": "one\n",
            "html": "<p>two</p>",
            "repeat": 2,
            "headers": {"message-id": None, "X-A": "b"},
            "attachments": [{"filename": "a.pdf", "type": "application/pdf", "text": "%PDF-1"}],
            "mail_from": "",
            "rcpt_to": ["a@example.org", "b@example.org"],
            "client": "198.51.100.7",
            "client_name": "host.example",
            "helo": "helo.example",
            "user": "anna",
            "authentication": {"spf": "fail", "dkim": "pass"},
        }
    )
    transaction = make_transaction(sample, _match(size="> 1"))
    message = transaction.message
    assert message.text.split() == ["one", "one", "two", "two"]
    assert message.headers.first("message-id") is None
    assert message.headers.first("x-a").value == "b"
    assert message.attachments[0].detected_type == "application/pdf"
    assert (transaction.envelope.mail_from, transaction.envelope.rcpt_to) == ("", ("a@example.org", "b@example.org"))
    assert (transaction.client.address, transaction.client.name) == ("198.51.100.7", "host.example")
    assert (transaction.helo, transaction.user) == ("helo.example", "anna")
    assert [(m.method, m.result) for m in transaction.methods()] == [("spf", "fail"), ("dkim", "pass")]
    assert not message.defects
