"""Negotiation: nothing in the answer that was not in the offer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import RemoteProtocolError
from filterproxy.protocols.milter.options import Actions, MacroStage, Options, Steps, Wishes, negotiate

WISHES = Wishes(
    required=Actions.ADD_HEADERS | Actions.CHANGE_HEADERS,
    optional=Actions.QUARANTINE,
    steps=Steps.NO_UNKNOWN | Steps.NR_HEADER | Steps.NR_BODY | Steps.HEADER_LEADING_SPACE,
)


@pytest.mark.parametrize(
    ("offered", "answered", "steps"),
    [
        (2, 2, Steps.NR_HEADER),
        (3, 3, Steps.NR_HEADER | Steps.NO_UNKNOWN),
        (4, 4, Steps.NR_HEADER | Steps.NO_UNKNOWN),
        (5, 4, Steps.NR_HEADER | Steps.NO_UNKNOWN),
        (6, 6, WISHES.steps),
        (7, 6, WISHES.steps),
    ],
)
def test_each_version(offered, answered, steps):
    answer = negotiate(Options(offered, Actions(0x1FF), Steps(0x1FFFFF)), WISHES)
    assert (answer.version, answer.actions, answer.steps) == (answered, Actions(0x31), steps)


@pytest.mark.parametrize("version", [0, 1])
def test_older_versions_are_refused(version):
    with pytest.raises(RemoteProtocolError, match="older"):
        negotiate(Options(version, Actions(0x1FF), Steps(0x7F)), WISHES)


def test_a_missing_action_is_named():
    with pytest.raises(RemoteProtocolError, match="CHANGE_HEADERS"):
        negotiate(Options(6, Actions.ADD_HEADERS, Steps(0)), WISHES)


def test_an_optional_action_may_be_missing():
    offer = Options(6, WISHES.required, Steps(0))
    assert negotiate(offer, WISHES) == Options(6, WISHES.required, Steps(0))


MACROS = {MacroStage.CONNECT: "j {client_addr}", MacroStage.MAIL: "i"}


@pytest.mark.parametrize(
    ("version", "offered", "asked"),
    [(6, 0x1FF, True), (7, 0x1FF, True), (6, 0x0FF, False), (4, 0x1FF, False), (2, 0x1FF, False)],
)
def test_macros_are_asked_for_only_where_the_mta_lets_a_filter_choose(version, offered, asked):
    answer = negotiate(Options(version, Actions(offered), Steps(0)), replace(WISHES, macros=MACROS))
    assert answer.macros == (MACROS if asked else {})
    assert (Actions.SET_SYMBOL_LIST in answer.actions) is asked


def test_without_wishes_the_mta_keeps_its_macros():
    answer = negotiate(Options(6, Actions(0x1FF), Steps(0)), WISHES)
    assert not answer.macros
    assert Actions.SET_SYMBOL_LIST not in answer.actions


@given(st.integers(0, 9), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_answer_lies_within_the_offer(version, actions, steps):
    offer = Options(version, Actions(actions), Steps(steps))
    try:
        answer = negotiate(offer, WISHES)
    except RemoteProtocolError:
        assert version < 2 or WISHES.required & ~offer.actions
        return
    assert answer.version in (2, 3, 4, 6)
    assert answer.version <= version
    assert answer.actions & ~offer.actions == 0
    assert answer.steps & ~offer.steps == 0
