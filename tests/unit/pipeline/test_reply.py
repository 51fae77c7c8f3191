"""One table from action to what a listener does."""

from __future__ import annotations

import pytest

from filterproxy.core.action import Action
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.pipeline.reply import Delivery, effective_action, reply_for, spare

PROXY = Delivery("smtp")
MILTER = Delivery("milter", can_hold=True)
CONTENT_FILTER = Delivery("smtp", in_session=False)
DISCARDING = Delivery("smtp", in_session=False, on_reject=Action.DISCARD, quarantine_fallback=Action.REJECT)


@pytest.mark.parametrize(
    ("action", "proxy", "milter", "content_filter", "discarding", "observed"),
    [
        ("no action", "no action", "no action", "no action", "no action", "no action"),
        ("greylist", "no action", "no action", "no action", "no action", "no action"),
        ("add header", "add header", "add header", "add header", "add header", "add header"),
        ("rewrite subject", "rewrite subject", "rewrite subject", "rewrite subject", "rewrite subject", "add header"),
        ("quarantine", "add header", "quarantine", "add header", "discard", "add header"),
        ("soft reject", "soft reject", "soft reject", "add header", "discard", "add header"),
        ("reject", "reject", "reject", "add header", "discard", "add header"),
        ("discard", "discard", "discard", "discard", "discard", "add header"),
    ],
)
def test_the_table(action, proxy, milter, content_filter, discarding, observed):
    wanted = Action(action)
    assert effective_action(wanted, PROXY, "enforce") == proxy
    assert effective_action(wanted, MILTER, "enforce") == milter
    assert effective_action(wanted, CONTENT_FILTER, "enforce") == content_filter
    assert effective_action(wanted, DISCARDING, "enforce") == discarding
    for delivery in (PROXY, MILTER, CONTENT_FILTER, DISCARDING):
        assert effective_action(wanted, delivery, "observe") == observed


def test_replies_are_5xx_only_for_reject_and_name_the_message():
    result = ScanResult(Action.REJECT, 20, 6, 15)
    assert str(reply_for(Action.REJECT, result, "4ABC")) == "554 5.7.1 Spam message rejected (id 4ABC)"
    assert str(reply_for(Action.SOFT_REJECT, result, "4ABC")) == "451 4.7.1 Try again later (id 4ABC)"
    assert reply_for(Action.DISCARD, result, "4ABC") is None
    assert reply_for(Action.ADD_HEADER, result, "4ABC") is None


def test_a_forced_reject_says_why_on_one_line():
    symbol = ScoredSymbol("DENY", 0, ("evil@example.net",), "Sender is on the deny list\r\n250 ok")
    result = ScanResult(Action.REJECT, 0, 6, 15, symbols=(symbol,), forced_by="DENY")
    reply = str(reply_for(Action.REJECT, result, "4ABC"))
    assert reply == "554 5.7.1 Message rejected: Sender is on the deny list  250 ok (id 4ABC)"


def test_a_forced_reject_gives_the_symbols_own_reason():
    symbol = ScoredSymbol("SPF_FAIL", 0, (), "a description", "SPF of é.example forbids it; \x07" + "x" * 600)
    reply = str(reply_for(Action.REJECT, ScanResult(Action.REJECT, 0, 6, 15, (symbol,), forced_by="SPF_FAIL"), "4ABC"))
    assert reply.startswith("554 5.7.1 Message rejected: SPF of ?.example forbids it;  xxx")
    assert len(reply) < 400


@pytest.mark.parametrize("delivery", [PROXY, MILTER, CONTENT_FILTER, DISCARDING])
def test_a_failed_check_puts_mail_off_and_never_marks_or_discards_it(delivery):
    assert effective_action(Action.SOFT_REJECT, delivery, "enforce", failed=True) is Action.SOFT_REJECT
    assert effective_action(Action.SOFT_REJECT, delivery, "observe", failed=True) is Action.ADD_HEADER


class TestSpared:
    LISTED = frozenset({"postmaster@", "ann@example.net", "@lovers.example"})
    DELIVERY = Delivery("milter", can_hold=True, can_remove=True, never_reject=LISTED)

    @pytest.mark.parametrize("action", ["reject", "discard", "quarantine", "soft reject"])
    @pytest.mark.parametrize("address", ["Postmaster@any.example", "ann@Example.NET", "x@lovers.example"])
    def test_mail_for_them_alone_is_marked(self, action, address):
        assert spare(Action(action), [address], self.DELIVERY) == (Action.ADD_HEADER, ())

    @pytest.mark.parametrize("action", ["no action", "add header", "rewrite subject"])
    def test_what_passes_passes_as_it_is(self, action):
        for recipients in (["ann@example.net"], ["ann@example.net", "bob@example.net"]):
            assert spare(Action(action), recipients, self.DELIVERY) == (Action(action), ())

    @pytest.mark.parametrize("action", ["reject", "discard"])
    def test_the_others_are_removed(self, action):
        mixed = ["bob@example.net", "ann@example.net", "lovers.example@other.example"]
        expected = (Action.ADD_HEADER, ("bob@example.net", "lovers.example@other.example"))
        assert spare(Action(action), mixed, self.DELIVERY) == expected

    @pytest.mark.parametrize("action", ["soft reject", "quarantine"])
    def test_what_comes_again_or_is_held_is_one_for_all(self, action):
        mixed = ["bob@example.net", "ann@example.net"]
        assert spare(Action(action), mixed, self.DELIVERY) == (Action(action), ())

    def test_nobody_is_removed_where_that_is_impossible(self):
        delivery = Delivery("milter", never_reject=self.LISTED)
        assert spare(Action.REJECT, ["bob@example.net", "ann@example.net"], delivery) == (Action.REJECT, ())

    def test_nobody_is_spared_without_a_list_or_without_recipients_on_it(self):
        assert spare(Action.REJECT, ["ann@example.net"], MILTER) == (Action.REJECT, ())
        assert spare(Action.REJECT, ["bob@example.net"], self.DELIVERY) == (Action.REJECT, ())
