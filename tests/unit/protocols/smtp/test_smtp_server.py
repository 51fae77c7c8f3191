"""The server's side: which command may come when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.events import (
    Answered,
    Auth,
    Chunk,
    Data,
    Event,
    Forward,
    Hello,
    Introduce,
    Mail,
    Quit,
    Rcpt,
    Reset,
    StartTls,
)
from filterproxy.protocols.smtp.lines import Fault, Line
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.server import Permissions, SmtpServer, State

OK, NO = Reply(250, ("ok",)), Reply(550, ("no",))


class Dialogue:
    """A server whose shell grants every wish."""

    def __init__(self, *lines: str, **permissions: Any) -> None:
        self.server = SmtpServer(Permissions(**permissions))
        for line in lines:
            self.say(line)

    def say(self, line: str | Line, *, more: bool = False, rcpt: Reply = OK) -> Event:
        event = self.server.receive(Line(line.encode()) if isinstance(line, str) else line, more=more)
        match event:
            case Hello():
                self.server.greeted(event)
            case Forward():
                self.server.told(event)
            case Mail():
                self.server.mail_accepted()
            case Rcpt():
                self.server.rcpt_answered(rcpt)
            case Data() | Reset() | Chunk(last=True):
                self.server.end_transaction()
            case Chunk():
                self.server.chunk_taken()
            case StartTls() | Introduce():
                self.server.begin_anew()
            case Auth():
                self.server.authenticated("joe")
        return event

    def code(self, line: str | Line, *, more: bool = False) -> int:
        try:
            event = self.say(line, more=more)
        except Refused as refused:
            return refused.reply.code
        if isinstance(event, Chunk) and event.refusal is not None:
            return event.refusal.code
        return event.reply.code if isinstance(event, Answered) else 250


HELLO, READY, MAIL, RCPT = (
    (),
    ("EHLO a",),
    ("EHLO a", "MAIL FROM:<>"),
    ("EHLO a", "MAIL FROM:<>", "RCPT TO:<b>"),
)


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        # in state: hello, ready, transaction without and with recipient
        ("EHLO b", (250, 250, 250, 250)),
        ("HELO b", (250, 250, 250, 250)),
        ("XFORWARD ADDR=192.0.2.1", (503, 250, 503, 503)),
        ("MAIL FROM:<a@b>", (503, 250, 503, 503)),
        ("RCPT TO:<a@b>", (503, 503, 250, 250)),
        ("DATA", (503, 503, 503, 250)),
        ("RSET", (250, 250, 250, 250)),
        ("NOOP ignored", (250, 250, 250, 250)),
        ("VRFY a", (252, 252, 252, 252)),
        ("HELP", (214, 214, 214, 214)),
        ("QUIT", (250, 250, 250, 250)),
        ("EXPN list", (502, 502, 502, 502)),
        ("ETRN a", (502, 502, 502, 502)),
        ("STARTTLS", (502, 502, 502, 502)),
        ("AUTH PLAIN x", (503, 502, 502, 502)),
        ("BDAT 10", (503, 503, 503, 250)),
        ("BDAT 10 LAST", (503, 503, 503, 250)),
        ("BDAT", (501, 501, 501, 501)),
        ("BDAT -1", (501, 501, 501, 501)),
        ("BDAT 1 FIRST", (501, 501, 501, 501)),
        ("XCLIENT ADDR=192.0.2.1", (250, 250, 503, 503)),
        ("XCLIENT", (501, 501, 503, 503)),
        ("XCLIENT ADDR=nowhere", (501, 501, 503, 503)),
        ("LHLO a", (500, 500, 500, 500)),
        ("NONSENSE", (500, 500, 500, 500)),
        ("", (500, 500, 500, 500)),
        ("GET / HTTP/1.1", (500, 500, 500, 500)),
        ("EHLO", (501, 501, 501, 501)),
        ("EHLO a b", (501, 501, 501, 501)),
        ("EHLO a\x01", (501, 501, 501, 501)),
        ("EHLO " + "a" * 256, (501, 501, 501, 501)),
        ("RSET now", (501, 501, 501, 501)),
        ("QUIT now", (501, 501, 501, 501)),
        ("DATA now", (503, 501, 501, 501)),
        ("VRFY", (501, 501, 501, 501)),
        ("MAIL FROM", (503, 501, 503, 503)),
        ("RCPT TO:<>", (503, 503, 501, 501)),
        ("MAIL FROM:<a> X=Y", (503, 555, 503, 503)),
    ],
)
def test_the_state_table(command: str, codes: tuple[int, ...]) -> None:
    got = tuple(Dialogue(*before, forwards=True).code(command) for before in (HELLO, READY, MAIL, RCPT))
    assert got == codes


def test_events() -> None:
    dialogue = Dialogue(forwards=True)
    assert dialogue.say("ehlo client.example") == Hello("client.example", extended=True)
    assert dialogue.say("XFORWARD NAME=a ADDR=192.0.2.1") == Forward({"NAME": "a", "ADDR": "192.0.2.1"})
    assert isinstance(dialogue.say("MAIL FROM:<> BODY=7BIT"), Mail)
    assert isinstance(dialogue.say("RCPT TO:<b@example.org>"), Rcpt)
    assert dialogue.say("DATA") == Data()
    assert dialogue.server.state is State.READY
    assert dialogue.say("RSET") == Reset()
    assert dialogue.say("QUIT") == Quit()


def test_xforward_is_for_trusted_clients_and_one_transaction() -> None:
    assert Dialogue("EHLO a").code("XFORWARD ADDR=192.0.2.1") == 550
    for end in ("RSET", "EHLO again", "HELO again"):
        dialogue = Dialogue("EHLO a", "XFORWARD NAME=x", "XFORWARD ADDR=192.0.2.1", forwards=True)
        assert dialogue.server.attributes == {"NAME": "x", "ADDR": "192.0.2.1"}
        dialogue.say(end)
        assert dialogue.server.attributes == {}
    dialogue = Dialogue("EHLO a", "XFORWARD NAME=x", "MAIL FROM:<>", "RCPT TO:<b>", forwards=True)
    assert dialogue.server.attributes
    dialogue.say("DATA")
    assert dialogue.server.attributes == {}


def test_data_without_an_accepted_recipient() -> None:
    dialogue = Dialogue(*MAIL)
    dialogue.say("RCPT TO:<b>", rcpt=NO)
    with pytest.raises(Refused) as refused:
        dialogue.say("DATA")
    assert refused.value.reply.code == 554
    dialogue.say("RCPT TO:<c>")
    assert dialogue.say("DATA") == Data()


@pytest.mark.parametrize("command", ["EHLO b", "HELO b", "DATA"])
def test_what_must_come_last(command: str) -> None:
    with pytest.raises(Refused) as refused:
        Dialogue(*RCPT).say(command, more=True)
    assert refused.value.close
    assert refused.value.reply.code == 554


@pytest.mark.parametrize("command", ["MAIL FROM:<a>", "NOOP", "NONSENSE", "QUIT", "GET / HTTP/1.0"])
def test_nobody_pipelines_before_ehlo_or_after_helo(command: str) -> None:
    for before in ((), ("HELO a",)):
        with pytest.raises(Refused) as refused:
            Dialogue(*before).say(command, more=True)
        assert refused.value.close


def test_pipelining_after_ehlo() -> None:
    dialogue = Dialogue("EHLO a")
    for command in ("MAIL FROM:<a>", "RCPT TO:<b>", "RCPT TO:<c>", "RSET", "NOOP", "QUIT"):
        assert dialogue.code(command, more=True) == 250


def test_faulty_lines() -> None:
    dialogue = Dialogue("EHLO a")
    assert dialogue.code(Line(b"", Fault.LINE_TOO_LONG)) == 500
    assert dialogue.code(Line(b"NOOP", Fault.BARE_NEWLINE)) == 500
    assert dialogue.code(Line(b"NOOP\0", Fault.NUL)) == 500
    tolerant = Dialogue("EHLO a", bare_newlines=True)
    assert tolerant.code(Line(b"NOOP", Fault.BARE_NEWLINE)) == 250
    assert tolerant.code(Line(b"NOOP\rQUIT", Fault.BARE_NEWLINE)) == 500
    assert tolerant.code(Line(b"NOOP\0", Fault.BARE_NEWLINE)) == 500
    assert tolerant.code(Line(b"", Fault.LINE_TOO_LONG)) == 500


@pytest.mark.parametrize("command", ["MAIL FROM:<a b>", "MAIL FROM:<a> X=Y", "MAIL FROM:<a> SIZE=x", "RCPT TO:<a>"])
def test_a_content_filter_refuses_mail_only_for_now(command: str) -> None:
    with pytest.raises(Refused) as refused:
        Dialogue("EHLO a", bounce_free=True).say(command)
    assert refused.value.reply.code == 451
    assert refused.value.reply.enhanced.startswith("4.")


@given(st.lists(st.binary(max_size=30)), st.booleans())
def test_no_line_raises_anything_else(lines: list[bytes], more: bool) -> None:
    dialogue = Dialogue("EHLO a", forwards=True)
    for line in lines:
        assert dialogue.code(Line(line.replace(b"\r", b"").replace(b"\n", b"")), more=more) >= 214


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        # hello, ready, transaction, chunks
        ("STARTTLS", (250, 250, 503, 503)),
        ("STARTTLS now", (501, 501, 501, 501)),
        ("AUTH PLAIN", (503, 250, 503, 503)),
        ("AUTH plain AGEAYg==", (503, 250, 503, 503)),
        ("AUTH PLAIN =", (503, 250, 503, 503)),
        ("AUTH GSSAPI", (503, 504, 503, 503)),
        ("AUTH", (503, 501, 503, 503)),
        ("AUTH PLAIN a b", (503, 501, 503, 503)),
        ("AUTH PLAIN !", (503, 501, 503, 503)),
        ("MAIL FROM:<a@b>", (503, 250, 503, 503)),
        ("RCPT TO:<a@b>", (503, 503, 250, 503)),
        ("DATA", (503, 503, 250, 503)),
        ("BDAT 5 LAST", (503, 503, 250, 250)),
        ("RSET", (250, 250, 250, 250)),
    ],
)
def test_the_state_table_of_extensions(command: str, codes: tuple[int, ...]) -> None:
    places = (HELLO, READY, RCPT, (*RCPT, "BDAT 1"))
    permissions = {"tls": True, "mechanisms": frozenset({"PLAIN"})}
    assert tuple(Dialogue(*before, **permissions).code(command) for before in places) == codes


def test_nothing_is_left_of_what_was_said_before_tls() -> None:
    dialogue = Dialogue("EHLO a", "AUTH PLAIN", "STARTTLS", tls=True, mechanisms=frozenset({"PLAIN"}))
    assert (dialogue.server.state, dialogue.server.helo, dialogue.server.user) == (State.HELLO, "", "")


def test_one_authenticates_once() -> None:
    dialogue = Dialogue("EHLO a", "AUTH PLAIN", mechanisms=frozenset({"PLAIN"}))
    assert dialogue.server.user == "joe"
    assert dialogue.code("AUTH PLAIN") == 503


def test_auth_needs_encryption_where_that_is_to_be_had() -> None:
    assert Dialogue("EHLO a", tls=True).code("AUTH PLAIN") == 538
    assert Dialogue("HELO a", mechanisms=frozenset({"PLAIN"})).code("AUTH PLAIN") == 502


def test_mail_waits_for_what_is_required() -> None:
    assert Dialogue("EHLO a", must_encrypt=True).code("MAIL FROM:<a@b>") == 530
    dialogue = Dialogue("EHLO a", must_authenticate=True, mechanisms=frozenset({"PLAIN"}))
    assert dialogue.code("MAIL FROM:<a@b>") == 530
    dialogue.say("AUTH PLAIN")
    assert dialogue.code("MAIL FROM:<a@b>") == 250


def test_lmtp_says_lhlo() -> None:
    dialogue = Dialogue(lmtp=True)
    assert [dialogue.code(line) for line in ("EHLO a", "HELO a", "MAIL FROM:<a>", "LHLO a")] == [500, 500, 503, 250]
    assert dialogue.server.extended


def test_only_auth_may_be_long() -> None:
    dialogue = Dialogue("EHLO a", mechanisms=frozenset({"PLAIN"}), line_length=512)
    assert dialogue.code("NOOP " + "x" * 505) == 250
    assert dialogue.code("NOOP " + "x" * 506) == 500
    assert dialogue.code("AUTH PLAIN " + "A" * 12_000) == 250


@pytest.mark.parametrize("verb", ["STARTTLS", "AUTH PLAIN", "XCLIENT ADDR=192.0.2.1"])
def test_what_changes_everything_ends_a_group(verb: str) -> None:
    dialogue = Dialogue("EHLO a", tls=True, mechanisms=frozenset({"PLAIN"}), forwards=True)
    with pytest.raises(Refused) as caught:
        dialogue.say(verb, more=True)
    assert caught.value.close


def test_chunks_may_be_pipelined() -> None:
    dialogue = Dialogue(*RCPT)
    assert dialogue.say("BDAT 3", more=True) == Chunk(3, last=False)
    assert dialogue.say("bdat 0 last", more=True) == Chunk(0, last=True)


def test_where_a_chunk_ends_must_be_known() -> None:
    with pytest.raises(Refused) as caught:
        Dialogue(*RCPT).say("BDAT many")
    assert caught.value.close
