"""Replies: each one's bytes, both ways; what must not be sent is our error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.milter import replies as r

EXAMPLES = [
    (r.AddRcpt("<a@example.org>"), b"+<a@example.org>\0"),
    (r.AddRcptWithParameters("<a>", ("NOTIFY=NEVER",)), b"2<a>\0NOTIFY=NEVER\0"),
    (r.AddRcptWithParameters("<a>", ("NOTIFY=NEVER", "ORCPT=rfc822;b")), b"2<a>\0NOTIFY=NEVER ORCPT=rfc822;b\0"),
    (r.AddRcptWithParameters("<a>"), b"2<a>\0\0"),
    (r.DeleteRcpt("<a>"), b"-<a>\0"),
    (r.Accept(), b"a"),
    (r.ReplaceBody(b"a\0\r\n"), b"ba\0\r\n"),
    (r.Continue(), b"c"),
    (r.Discard(), b"d"),
    (r.ChangeFrom("<b>", ("SIZE=1", "X")), b"e<b>\0SIZE=1 X\0"),
    (r.ConnectionFailure(), b"f"),
    (r.AddHeader(b"X-A", b" 1"), b"hX-A\0 1\0"),
    (r.InsertHeader(0, b"X-A", b" 1\n\t2"), b"i\0\0\0\0X-A\0 1\n\t2\0"),
    (r.SymbolList(2, "i {auth_authen}"), b"l\0\0\0\2i {auth_authen}\0"),
    (r.ChangeHeader(2, b"Subject", b""), b"m\0\0\0\2Subject\0\0"),
    (r.Progress(), b"p"),
    (r.Quarantine("score 12"), b"qscore 12\0"),
    (r.Reject(), b"r"),
    (r.Skip(), b"s"),
    (r.TempFail(), b"t"),
    (r.ReplyCode("554 5.7.1 100% spam"), b"y554 5.7.1 100%% spam\0"),
    (r.ReplyCode("451-4.7.1 a\r\n451 4.7.1 b"), b"y451-4.7.1 a\r\n451 4.7.1 b\0"),
    (r.Shutdown(), b"4"),
]


def decode(body: bytes) -> r.Reply:
    return r.decode_reply(body[:1], body[1:])


@pytest.mark.parametrize(("reply", "body"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_both_ways(reply, body):
    assert reply.encode() == len(body).to_bytes(4, "big") + body
    assert decode(body) == reply


def test_every_reply_has_an_example():
    assert {type(reply) for reply, _ in EXAMPLES} == set(r.REPLIES.values())


@pytest.mark.parametrize("body", [b"?", b"a!", b"iX", b"m\0\0\0\1X\0", b"q", b"y554 5.7.1 x"])
def test_malformed(body):
    with pytest.raises(RemoteProtocolError):
        decode(body)


def test_a_new_sender_may_come_without_parameters():
    assert decode(b"e<b>\0") == r.ChangeFrom("<b>")


def test_an_mta_drops_a_lone_percent():
    assert decode(b"y554 5.7.1 100% off %%\0") == r.ReplyCode("554 5.7.1 100 off %")


@pytest.mark.parametrize(
    "text",
    [
        "250 2.0.0 fine",
        "554 spam",
        "554 4.7.1 spam",
        "554-5.7.1 a\n554 5.7.1 b",
        "554 5.7.1 a\r\n",
        "554 5.7.1 a\0b",
        "",
    ],
)
def test_a_reply_that_mtas_call_malformed_is_our_bug(text):
    with pytest.raises(LocalProtocolError):
        r.ReplyCode(text).encode()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply.of(554, "5.7.1", "Spam"), "554 5.7.1 Spam"),
        (Reply(451, ("a", "b"), "4.7.1"), "451-4.7.1 a\r\n451 4.7.1 b"),
        (Reply(554, ("5.7.1 Spam",)), "554 5.7.1 Spam"),
        (Reply(550, ("Go away",)), "550 5.0.0 Go away"),
        (Reply(550, ()), "550 5.0.0 "),
        (Reply.of(554, "5.7.1", "a\r\n250 b"), "554 5.7.1 a  250 b"),
    ],
)
def test_an_smtp_reply_becomes_a_milter_reply(reply, text):
    assert r.ReplyCode.of(reply) == r.ReplyCode(text)
    assert r.ReplyCode.of(reply).encode()


def test_other_scripts_become_question_marks():
    assert r.ReplyCode("554 5.7.1 Spåm").encode().endswith(b"y554 5.7.1 Sp?m\0")


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_what_the_mta_reads_is_what_was_meant(text):
    reply = r.ReplyCode.of(Reply.of(554, "5.7.1", text))
    assert decode(reply.encode()[4:]) == reply


@given(st.binary(min_size=1, max_size=200))
def test_fuzz_any_payload_is_a_reply_or_the_peers_error(body):
    try:
        reply = decode(body)
    except RemoteProtocolError:
        return
    assert type(reply) in r.REPLIES.values()
