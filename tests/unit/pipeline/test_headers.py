"""The verdict's header fields, and what is removed so that nobody else writes them."""

from __future__ import annotations

import pytest

from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.pipeline import Profile, Profiles, ScoringPolicy
from filterproxy.pipeline.headers import verdict_edits
from filterproxy.testing import make_transaction

RAW = b"Subject: =?utf-8?q?Offerta?=\r\n speciale\r\nX-Spam-Status: No, forged\r\n\r\nx-spam-flag: body\r\n"
SYMBOLS = (
    ScoredSymbol("A_RULE", 2.5, ("x\r\nX-Evil: 1",), "Something\r\nX-Evil: 2"),
    ScoredSymbol("B_RULE", 4.0, (), "Something else"),
)
SPAM = ScanResult(Action.ADD_HEADER, 6.5, 6.0, 15.0, SYMBOLS, (MethodResult("spf", "pass", (("smtp.helo", "h"),)),))
POLICY = ScoringPolicy({Action.ADD_HEADER: 6.0, Action.REJECT: 15.0})
HAM = ScanResult(Action.NO_ACTION, -0.4, 6.0, 15.0)


def edit(result, *, raw=RAW, action=None, fields="spamassassin", subject="***SPAM*** %s", profile=None, **transaction):
    sent = make_transaction(raw, **transaction)
    return verdict_edits(
        raw,
        sent,
        result,
        action or result.action,
        hostname="mx.example.org",
        fields=fields,
        subject=subject,
        profile=profile or Profiles.standard(POLICY).of(sent),
    )


def test_spam_carries_the_spamassassin_set():
    fields = dict(edit(SPAM).insert)
    assert fields["X-Spam-Flag"] == "YES"
    assert fields["X-Spam-Level"] == "******"
    assert fields["X-Spam-Status"].startswith("Yes, score=6.5 required=6.0\n\ttests=A_RULE,B_RULE\n\tautolearn=no")
    assert fields["X-Spam-Score"] == "6.5"
    assert fields["X-Spam-Report"].startswith("\n\t*   4.0 B_RULE Something else\n\t*   2.5 A_RULE")
    assert fields["Authentication-Results"] == "mx.example.org;\n\tspf=pass smtp.helo=h"


def test_ham_has_a_status_and_no_flag():
    fields = dict(edit(HAM).insert)
    assert fields["X-Spam-Status"].startswith("No, score=-0.4 required=6.0\n\ttests=none")
    assert fields["Authentication-Results"] == "mx.example.org; none"
    assert not {"X-Spam-Flag", "X-Spam-Level", "X-Spam-Report"} & fields.keys()


def test_the_rspamd_profile():
    fields = dict(edit(SPAM, fields="rspamd").insert)
    assert fields["X-Spam"] == "Yes"
    assert fields["X-Rspamd-Action"] == "add header"
    assert fields["X-Rspamd-Queue-Id"] == "4TEST"
    assert fields["X-Spamd-Result"].startswith("default: False [6.50 / 15.00];\n\tB_RULE(4.00)[];\n\tA_RULE(2.50)[")


@pytest.mark.parametrize("fields", ["spamassassin", "rspamd"])
def test_untrusted_text_never_makes_a_field(fields):
    edited = edit(SPAM, fields=fields).apply(RAW)
    header = edited.partition(b"\r\n\r\n")[0]
    assert not any(line.startswith(b"X-Evil") for line in header.split(b"\r\n"))


def test_inbound_copies_of_our_fields_and_forged_authentication_results_go():
    raw = (
        b"X-SPAM-FLAG: YES\r\nAuthentication-Results: mx.example.org; spf=pass\r\n"
        b"Authentication-Results: other.example; spf=pass\r\nx-rspamd-action : reject\r\nTo: x\r\n\r\nbody\r\n"
    )
    edited = edit(HAM, raw=raw).apply(raw)
    assert b"other.example; spf=pass" in edited
    assert edited.count(b"mx.example.org; ") == 1
    assert b"X-SPAM-FLAG" not in edited
    assert b"x-rspamd-action" not in edited
    assert edited.endswith(b"To: x\r\n\r\nbody\r\n")


def test_our_own_users_mail_is_marked_only_when_it_is_spam():
    assert edit(HAM, local=True).insert == ()
    assert edit(HAM, user="anna").insert == (("Authentication-Results", "mx.example.org;\n\tauth=pass"),)
    assert "Authentication-Results" not in dict(edit(SPAM, local=True).insert)
    assert dict(edit(SPAM, local=True).insert)["X-Spam-Flag"] == "YES"


def test_a_profile_says_what_our_own_users_mail_carries():
    named = Profile(POLICY, marks="always", names_user=True)
    fields = dict(edit(HAM, user="anna@example.org", profile=named).insert)
    assert fields["Authentication-Results"] == "mx.example.org;\n\tauth=pass smtp.auth=anna@example.org"
    assert fields["X-Spam-Status"].startswith("No, ")
    silent = Profile(POLICY, marks="never", authentication_results=False)
    assert edit(SPAM, user="anna", profile=silent).insert == ()
    odd = dict(edit(HAM, user='a"; dkim=pass\r\nX: 1', profile=named).insert)["Authentication-Results"]
    assert odd == 'mx.example.org;\n\tauth=pass smtp.auth="a\\"; dkim=pass??X: 1"'


def test_a_user_is_one_even_inside_local_networks():
    profiles = Profiles.standard(POLICY)
    assert profiles.of(make_transaction(b"", user="anna", local=True)) is profiles.authenticated
    assert profiles.of(make_transaction(b"", local=True)) is profiles.local
    assert profiles.of(make_transaction(b"")) is profiles.outside


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("***SPAM*** %s", b"Subject: ***SPAM*** =?utf-8?q?Offerta?=\r\n speciale\r\n"),
        ("%s [spam]", b"Subject: =?utf-8?q?Offerta?=\r\n speciale [spam]\r\n"),
        ("È spam: %s", b"Subject: =?utf-8?b?w4ggc3BhbTo=?= =?utf-8?q?Offerta?=\r\n speciale\r\n"),
    ],
)
def test_the_subject_is_rewritten_around_the_senders_own_bytes(template, expected):
    edited = edit(SPAM, action=Action.REWRITE_SUBJECT, subject=template).apply(RAW)
    assert expected in edited
    assert edited.count(b"Subject:") == 1


def test_a_message_without_a_subject_gets_one():
    assert ("Subject", "***SPAM***") in edit(SPAM, raw=b"To: x\r\n\r\n", action=Action.REWRITE_SUBJECT).insert
