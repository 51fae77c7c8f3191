"""Allow and deny lists: an allow entry for a sender counts only when somebody vouches for the sender."""

from __future__ import annotations

import pytest

from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.testing import make_transaction
from tests.unit.ruleset.loading import fired, load_text, with_results

RULES = """
lists:
  - name: ALLOW
    file: allow.txt
    of: [mail_from, header_from, client]
    action: no action
  - name: TRUSTING
    file: allow.txt
    of: [header_from]
    action: no action
    authenticated: false
  - name: GOOD
    file: allow.txt
    of: [header_from]
    score: -3
  - name: DENY
    file: allow.txt
    of: [mail_from, header_from, sender, reply_to, rcpt_to, client, client_name, url]
    action: reject
"""
LISTED = "friend@example.org\nexample.com\n192.0.2.0/24\nhost.example.net\nbad.example\n"

SPF = MethodResult("spf", "pass", (("smtp.mailfrom", "friend@example.org"),))
SPF_DOMAIN = MethodResult("spf", "pass", (("smtp.mailfrom", "example.org"),))
SPF_FAIL = MethodResult("spf", "fail", (("smtp.mailfrom", "friend@example.org"),))
SPF_OTHER = MethodResult("spf", "pass", (("smtp.mailfrom", "x@evil.example"),))
DKIM = MethodResult("dkim", "pass", (("header.d", "mail.example.org"),))
DKIM_OTHER = MethodResult("dkim", "pass", (("header.d", "evil.example"),))
DMARC = MethodResult("dmarc", "pass", (("header.from", "example.org"),))
DMARC_FAIL = MethodResult("dmarc", "fail", (("header.from", "example.org"),))


def _message(header_from: str = "friend@example.org", extra: str = "") -> bytes:
    return f"From: {header_from}\r\n{extra}Subject: x\r\n\r\nx\r\n".encode()


@pytest.fixture
def ruleset(tmp_path):
    return load_text(tmp_path, RULES, allow_txt=LISTED)


def test_actions_are_forced(ruleset):
    assert ruleset.forced_actions == {
        "ALLOW": Action.NO_ACTION,
        "TRUSTING": Action.NO_ACTION,
        "DENY": Action.REJECT,
    }


@pytest.mark.parametrize(
    ("results", "allowed"),
    [
        ([], False),
        ([SPF], True),
        ([SPF_DOMAIN], True),
        ([SPF_FAIL], False),
        ([SPF_OTHER], False),
        ([DKIM], True),
        ([DKIM_OTHER], False),
        ([DMARC], True),
        ([DMARC_FAIL], False),
        ([SPF_OTHER, DKIM_OTHER, DMARC_FAIL], False),
    ],
)
def test_header_from_counts_only_when_vouched_for(ruleset, results, allowed):
    transaction = with_results(make_transaction(_message(), mail_from="x@evil.example"), *results)
    found = fired(ruleset, transaction)
    assert ("ALLOW" in found, "GOOD" in found) == (allowed, allowed)
    assert found["TRUSTING"] == ("friend@example.org",)
    assert found["DENY"] == ("friend@example.org",)


def test_mail_from_counts_only_when_spf_passed_for_it(ruleset):
    raw = _message("x@evil.example")
    transaction = make_transaction(raw, mail_from="friend@example.org")
    assert "ALLOW" not in fired(ruleset, transaction)
    assert "ALLOW" in fired(ruleset, with_results(transaction, SPF))
    assert "ALLOW" not in fired(ruleset, with_results(transaction, DKIM))


def test_a_second_author_is_not_vouched_for(ruleset):
    raw = _message("friend@example.org, x@evil.example")
    assert "ALLOW" not in fired(ruleset, with_results(make_transaction(raw), DMARC, DKIM, SPF))


def test_networks_always_count(ruleset):
    assert fired(ruleset, make_transaction(_message("x@evil.example"), client="192.0.2.5"))["ALLOW"] == ("192.0.2.5",)


@pytest.mark.parametrize(
    ("extra", "envelope", "evidence"),
    [
        ("Reply-To: <anyone@example.com>\r\n", {}, "anyone@example.com"),
        ("Sender: <anyone@example.com>\r\n", {}, "anyone@example.com"),
        ("", {"mail_from": "Anyone@EXAMPLE.com"}, "Anyone@EXAMPLE.com"),
        ("", {"rcpt_to": ["friend@example.org"]}, "friend@example.org"),
        ("", {"client_name": "host.example.net"}, "host.example.net"),
        ("Subject: http://bad.example/x\r\n", {}, "bad.example"),
    ],
)
def test_a_deny_list_needs_no_proof(ruleset, extra, envelope, evidence):
    transaction = make_transaction(_message("x@evil.example", extra), **envelope)
    assert fired(ruleset, transaction)["DENY"] == (evidence,)


def test_an_address_is_not_its_domain(ruleset):
    assert fired(ruleset, make_transaction(_message("stranger@example.org"))) == {}
    assert "DENY" in fired(ruleset, make_transaction(_message("stranger@example.com")))
    assert fired(ruleset, make_transaction(_message("stranger@sub.example.com"))) == {}
