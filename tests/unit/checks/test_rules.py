"""The rules check: what it declares, what it fires, and its list files."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from filterproxy.checks.rules import RulesCheck, RulesConfig
from filterproxy.core.action import Action
from filterproxy.core.errors import ConfigErrors
from filterproxy.testing import (
    FakeClock,
    RecordingLog,
    assert_check_contract,
    make_context,
    make_site,
    make_transaction,
)

RULES = """
rules:
  - {name: WON, score: 2, description: You won, match: {body: {regex: "you (have )?won"}}}
  - {name: OLD, match: {date: {behind: "> 10d"}}}
composites:
  - {name: WON_AND_FORGED, all: [WON, SPF_FAIL]}
lists:
  - {name: DENY, file: deny.txt, of: mail_from, action: reject}
"""


class CountingPool:
    """A scan pool that counts what it ran."""

    def __init__(self):
        self.ran = []

    async def run(self, function, *args, **kwargs):
        self.ran.append(function.__name__)
        return function(*args, **kwargs)


@pytest.fixture
def make(tmp_path):
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "deny.txt").write_text("bad.example\n")

    def _make(config=None, **ports):
        config = RulesConfig(**({"files": ["rules.yml"]} | (config or {})))
        return RulesCheck(config, make_context(site=make_site(base_dir=tmp_path), **ports))

    return _make


def test_contract_of_the_shipped_rules():
    assert_check_contract(RulesCheck(RulesConfig(), make_context()))


def test_what_it_declares(make):
    check = make()
    assert {symbol.name: symbol.score for symbol in check.declared_symbols()} == {
        "WON": 2,
        "OLD": 1,
        "DENY": 0,
        "RULES_TIME_LIMIT": 0,
    }
    assert [composite.name for composite in check.composites()] == ["WON_AND_FORGED"]
    assert check.forced_actions() == {"DENY": Action.REJECT}
    assert {"spf", "dkim", "dmarc"} <= check.after


async def test_what_it_fires(make):
    results = await make().inspect(
        make_transaction(b"Subject: x\r\n\r\nYou have\r\nwon!\r\n", mail_from="a@bad.example")
    )
    assert {result.name: result.options for result in results} == {
        "WON": ("You have won",),
        "DENY": ("a@bad.example",),
    }


async def test_expressions_that_may_take_long_leave_the_event_loop_and_are_stopped(make, tmp_path):
    (tmp_path / "slow.yml").write_text("rules: [{name: SLOW, match: {body: {regex: 'aaaa(?:(?=a)a+)+(?<!a)$'}}}]")
    pool = CountingPool()
    check = make({"files": ["rules.yml", "slow.yml"], "look_around_time": 0.01}, scan_pool=pool)
    assert await check.inspect(make_transaction(b"S: x\r\n\r\nbbbb\r\n")) == []
    assert pool.ran == []
    (result,) = await check.inspect(make_transaction(b"S: x\r\n\r\n" + b"a" * 60_000 + b"\r\n"))
    assert (result.name, result.options) == ("RULES_TIME_LIMIT", ("SLOW",))
    assert pool.ran == ["finish"]


async def test_the_date_is_compared_with_the_clock(make):
    raw = b"Date: Mon, 08 Dec 2025 00:00:00 +0000\r\n\r\nx\r\n"
    assert [result.name for result in await make().inspect(make_transaction(raw))] == ["OLD"]


async def test_large_messages_are_matched_in_the_pool(make):
    pool = CountingPool()
    check = make({"pool_size": "1KB"}, scan_pool=pool)
    await check.inspect(make_transaction(b"Subject: x\r\n\r\nyou won\r\n"))
    assert pool.ran == []
    results = await check.inspect(make_transaction(b"Subject: x\r\n\r\nyou won\r\n" + b"x" * 2000))
    assert [result.name for result in results] == ["WON"]
    assert pool.ran == ["match"]


async def test_only_the_first_part_of_a_text_is_looked_at(make):
    check = make({"text_limit": 1024})
    assert await check.inspect(make_transaction(b"Subject: x\r\n\r\n" + b"word " * 300 + b"you won\r\n")) == []


async def test_changed_lists_are_read_again_and_broken_ones_keep_their_entries(make, tmp_path):
    clock, log = FakeClock(), RecordingLog()
    check = make(clock=clock, log=log)
    transaction = make_transaction(b"Subject: x\r\n\r\nx\r\n", mail_from="a@worse.example")
    path = tmp_path / "deny.txt"

    async def after_writing(text, when):
        path.write_text(text)
        os.utime(path, ns=(when, when))
        return [result.name for result in await check.inspect(transaction)]

    assert await after_writing("worse.example\n", 1) == []
    clock.advance(2)
    assert [result.name for result in await check.inspect(transaction)] == ["DENY"]
    clock.advance(2)
    assert await after_writing("not a domain\n", 2) == ["DENY"]
    assert len(log.lines) == 1
    assert "deny.txt:1: 'not a domain' is no address, domain or network" in log.lines[0]
    clock.advance(2)
    assert await after_writing("", 3) == []


def test_a_broken_file_stops_the_start(make, tmp_path):
    (tmp_path / "rules.yml").write_text("rules: [{name: X, match: {body: {regx: a}}}]")
    with pytest.raises(ConfigErrors, match=r"rules\.yml:1:34: rules\[0\]\.match\.body\.regx: unknown key"):
        make()


def test_its_configuration():
    assert RulesConfig().files == ("rules/*.yml",)
    with pytest.raises(ValidationError):
        RulesConfig(files=[])


EARLY = """
rules:
  - {name: CONTENT, match: {body: {regex: "x"}}}
lists:
  - {name: BY_SENDER, file: deny.txt, of: [header_from, mail_from]}
  - {name: BY_AUTHOR, file: deny.txt, of: header_from}
  - {name: BY_RCPT, file: deny.txt, of: rcpt_to}
  - {name: FOR_SOME, file: deny.txt, of: mail_from, when: {rcpt_domain: {regex: "^(net|b)\\\\.example$"}}}
  - {name: FROM_US, file: deny.txt, of: mail_from, when: {direction: outgoing}}
"""


async def test_lists_of_the_envelope_answer_before_the_message(tmp_path):
    (tmp_path / "rules.yml").write_text(EARLY)
    (tmp_path / "deny.txt").write_text("bad.example\n")
    check = RulesCheck(RulesConfig(files=["rules.yml"]), make_context(site=make_site(base_dir=tmp_path)))

    async def fired(mail_from, rcpt_to):
        transaction = make_transaction(b"", mail_from=mail_from, rcpt_to=[rcpt_to])
        transaction.message = None
        return [(result.name, result.options) for result in await check.inspect_envelope(transaction)]

    listed = ("x@bad.example",)
    assert await fired("x@bad.example", "a@else.example") == [("BY_SENDER", listed)]
    assert await fired("x@bad.example", "a@b.example") == [("BY_SENDER", listed), ("FOR_SOME", listed)]
    assert await fired("x@good.example", "x@bad.example") == [("BY_RCPT", listed)]
