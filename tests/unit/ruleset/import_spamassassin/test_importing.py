"""A folder of .cf files becomes a rules file: kinds, scores, flags, conditions, what is left out with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.core.envelope import Envelope
from filterproxy.core.errors import ConfigError
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.ruleset import loader
from filterproxy.ruleset.import_spamassassin.importing import import_folder
from filterproxy.ruleset.import_spamassassin.report import Fate
from filterproxy.ruleset.import_spamassassin.writer import list_text, rules_file
from tests.unit.ruleset.loading import NOW

MESSAGE = b"""\
Received: from spam.example (host.example [203.0.113.9]) by mx.example.org (Postfix) with ESMTP id ABC
From: "Big Bank" <offer@spam.example>
Reply-To: other@elsewhere.example
To: you@example.org
Subject: Win a Prize
X-Mailer: Super Mailer 2
Content-Type: text/html

<html><title>Hello</title><p>Dear friend,<br>you have
won 1 million dollars</p><p>Click <a href="http://spam.example/x">here</a> now now now</p></html>
"""


def imported(folder: Path, text: str, **options):
    (folder / "10_test.cf").write_text(text, encoding="latin-1")
    return import_folder(folder, **options)


def hits(folder: Path, text: str, message: bytes = MESSAGE, **options) -> set[str]:
    """Return the rules and parts of a .cf text that match a message, through the YAML that is written."""
    translation = imported(folder, text, **options)
    path = folder / "rules.yml"
    path.write_text(rules_file(translation.rules, "test"))
    for name, entries in translation.lists.items():
        (folder / name).write_text(list_text(entries))
    ruleset = loader.load([path], folder)
    transaction = Transaction.begin(Session("test", "test", Client("")))
    transaction.envelope = Envelope("", (), [])
    transaction.message = Message(message.replace(b"\n", b"\r\n"))
    return {hit.name for hit in (*ruleset.match(transaction, NOW), *ruleset.match_parts(transaction, NOW))}


@pytest.mark.parametrize(
    "line",
    [
        "header A Subject =~ /\\bPrize\\b/",
        "header A subject =~ m{prize$}i",
        "header A From:addr =~ /^offer\\@spam/",
        "header A From:name =~ /^Big Bank$/",
        "header A From:raw =~ /\"Big/",
        "header A From:domain =~ /^spam\\.example$/",
        "header A exists:X-Mailer",
        "header A X-Nothing !~ /x/",
        "header A X-Nothing =~ /^unset$/ [if-unset: unset]",
        "header A ALL =~ /^From:.*^To:/ms",
        "header A ToCc =~ /you\\@/",
        "header A X-Spam-Relays-Untrusted =~ /^\\[ ip=203\\.0\\.113\\.9 rdns=host\\.example helo=spam\\.example /",
        "header A ALL-EXTERNAL =~ /^Received:/",
        "body A /friend, you have won 1 million/",
        "body A /^Win a Prize$/",
        "body A /Hello/",
        "rawbody A /<p>Click/",
        "rawbody A /have\\nwon/",
        "uri A m{^http://spam\\.example/x$}",
        "full A /Super.*million/s",
        "mimeheader A Content-Type =~ /^text.html/",
        "header A eval:check_header_count_range('Subject','1','1')",
        "body A eval:html_tag_exists('title')",
    ],
)  # fmt: skip
def test_kinds_of_rules(tmp_path, line):
    assert hits(tmp_path, line) == {"A"}


@pytest.mark.parametrize(
    "line",
    [
        "header A Subject =~ /prize/",
        "header A X-Mailer !~ /Super/",
        "header A exists:X-Nothing",
        "body A /dollars.*Click/",
        "body A /<p>/",
        "uri A /elsewhere/",
        "tflags A nosubject\nbody A /Prize/",
        "mimeheader A Content-Type !~ /html/",
        "body A /now/\nscore A 0",
        "lang de body A /now/",
        "if (version < 3.0)\nbody A /now/\nendif",
        "ifplugin Mail::SpamAssassin::Plugin::DCC\nbody A /now/\nendif",
    ],
)
def test_rules_that_do_not_match(tmp_path, line):
    assert hits(tmp_path, f"{line}\nbody __OTHER /nothing of that/") == set()


def test_metas_read_parts_and_counts(tmp_path):
    text = """
        body __NOW /\\bnow\\b/
        tflags __NOW multiple maxhits=5
        header __PRIZE Subject =~ /Prize/
        meta THREE __NOW == 3 && __PRIZE
        meta FOUR __NOW > 3
        meta SUM (__NOW + __PRIZE) > 3
        meta NET __PRIZE && !RCVD_IN_X && !NOT_DEFINED
        meta NEVER __PRIZE && RCVD_IN_X
        header RCVD_IN_X eval:check_rbl('x', 'x.example.')
    """
    assert hits(tmp_path, text) == {"__NOW", "__PRIZE", "THREE", "SUM", "NET"}
    fates = {outcome.name: outcome.fate for outcome in imported(tmp_path, text).report.outcomes}
    assert (fates["RCVD_IN_X"], fates["NEVER"]) == (Fate.OFF, Fate.OFF)


def test_a_meta_is_left_out_with_what_it_names(tmp_path):
    report = imported(tmp_path, "body A eval:unheard_of()\nmeta B A || C\nbody C /now/\nmeta D B\nmeta E E").report
    reasons = {outcome.name: (outcome.fate, outcome.reason, outcome.detail) for outcome in report.outcomes}
    assert reasons["A"] == (Fate.LEFT_OUT, "the eval function unheard_of", "unheard_of")
    assert reasons["B"][:2] == (Fate.LEFT_OUT, "it names a rule that is not translated")
    assert "A: the eval function" in reasons["B"][2]
    assert reasons["D"][0] is reasons["E"][0] is Fate.LEFT_OUT
    assert reasons["C"][0] is Fate.TRANSLATED


def test_scores_descriptions_and_names(tmp_path):
    text = """
        score LATER 1 2 3 4
        body LATER /won/
        describe LATER  Someone   won
        body TAKEN /x/
        body T_TRIAL /x/
        body NICE /x/
        tflags NICE nice
        body TWICE /a/
        body TWICE /won 1/
        score TWICE 2
        score TWICE (0.5)
        header SPF_PASS eval:check_for_spf_pass()
    """
    rules = {rule.name: rule for rule in imported(tmp_path, text, taken={"TAKEN"}).rules}
    assert (rules["LATER"].score, rules["LATER"].description) == (4, "Someone won")
    assert {name: rules[name].score for name in ("SA_TAKEN", "T_TRIAL", "NICE", "TWICE")} == {
        "SA_TAKEN": 1, "T_TRIAL": 0.01, "NICE": -1, "TWICE": 2.5,
    }  # fmt: skip
    assert rules["TWICE"].match == {"spamassassin": {"text": "body", "regex": "won 1"}}
    assert rules["__SPF_PASS"].match == {"authentication": {"spf": "pass"}}
    assert {r.name: r.score for r in imported(tmp_path, text, score_set=1).rules}["LATER"] == 2


def test_replaced_tags(tmp_path):
    text = """
        replace_tag O [o0]
        replace_tag N [nm]
        replace_inter S [.-]?
        replace_post P +
        body A /<inter S>w<O><N>/
        body B /<post P>w<O><N> 1/
        body C /w<O>n/
        replace_rules A B
    """
    assert hits(tmp_path, text) == {"A", "B"}


def test_lists_of_eval_rules_are_written(tmp_path):
    text = """
        freemail_domains gratis.example free.*
        header A eval:check_freemail_from()
        enlist_addrlist (BANKS) *@spam.example *@*.bank.example
        header B eval:check_from_in_list('BANKS')
        enlist_uri_host (ODD) example
        header C eval:check_uri_host_listed('ODD')
        header D eval:check_from_in_list('NONE')
    """
    assert hits(tmp_path, text) == {"B", "C"}
    assert hits(tmp_path, text, MESSAGE.replace(b"offer@spam.example", b"me@free.org")) == {"A", "C"}
    translation = imported(tmp_path, text)
    assert translation.lists["spamassassin-addresses-banks.txt"] == ["spam.example", ".bank.example"]
    assert {o.name: o.reason for o in translation.report.outcomes}["D"] == "its list is empty"


def test_comments_escapes_includes_and_conditions(tmp_path):
    (tmp_path / "more.inc").write_text("body IN_INCLUDE /won/ # a comment\n")
    text = """
        include more.inc
        header HASH Subject =~ #/
        body A /wo\\#?n/    # matches
        if plugin(Mail::SpamAssassin::Plugin::SPF) && !(version < 3.004000)
          body B /won/
          if can(Mail::SpamAssassin::Conf::feature_bug6558_free)
            body C /won/
          else
            body D /won/
          endif
        else
          body E /won/
        endif
        require_version 5.0
        body F /won/
    """
    translation = imported(tmp_path, text)
    assert [o.name for o in translation.report.outcomes] == ["IN_INCLUDE", "A", "B", "C"]
    problems = [str(problem).partition("10_test.cf:")[2] for problem in translation.report.problems]
    assert problems == [
        "15: it requires version 5.0; rules of 3.x and 4.x are read: the rest is left out",
        "3: header HASH: write Field =~ /expression/",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("header A", "A: nothing follows the name"),
        ("header A Subject", "header A: write Field =~ /expression/"),
        ("header A Subject:half =~ /x/", "unknown modifier :half"),
        ("body 1A /x/", "a rule's name has letters"),
        ("body A eval:x", "write eval:function(arguments)"),
        ("score A x", "score A: write one number or four"),
        ("score A 1 2", "score A: write one number or four"),
        ("if plugin(", "`if`: "),
        ("endif", "`endif` without `if`"),
        ("if version > 3", "`if` without `endif`"),
        ("include nothing.cf", "include: no such file"),
        ("body A /\0/", "a NUL byte"),
        ("body A /" + "x" * 70_000 + "/", "more than 65536 characters"),
    ],
)  # fmt: skip
def test_a_line_that_is_wrong_costs_only_itself(tmp_path, line, problem):
    report = imported(tmp_path, f"body GOOD /won/\n{line}\n").report
    assert [outcome.name for outcome in report.outcomes] == ["GOOD"]
    assert any(problem in str(item) and ":2: " in str(item) for item in report.problems), report.problems


def test_an_expression_that_is_wrong_is_reported_with_its_reason(tmp_path):
    report = imported(tmp_path, "body A /(won/\nbody B /won/q\nbody C /%{X}/\nbody D /won/").report
    assert {o.name: o.reason for o in report.outcomes} == {
        "A": "its regular expression",
        "B": "its regular expression",
        "C": "it uses text that another rule captured",
        "D": "",
    }  # fmt: skip
    assert report.expressions() == (4, 1)
    data = report.as_json()
    assert data["counts"] == {"translated": 1, "covered": 0, "off": 0, "left out": 3}
    assert data["outcomes"][0]["line"] == 1


def test_a_folder_without_rules_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"no \.cf file"):
        import_folder(tmp_path)
    with pytest.raises(ConfigError, match="cannot read"):
        import_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no rule in these files"):
        imported(tmp_path, "required_score 5\n")
