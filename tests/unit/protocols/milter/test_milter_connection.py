"""The state table, replies that are due, and replies that must not be sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.protocols.milter import commands as c
from filterproxy.protocols.milter import replies as r
from filterproxy.protocols.milter.connection import MilterConnection, State
from filterproxy.protocols.milter.options import Actions, Options, Steps, Wishes

QUIET = (
    Steps.NR_CONNECT
    | Steps.NR_HELO
    | Steps.NR_MAIL
    | Steps.NR_RCPT
    | Steps.NR_DATA
    | Steps.NR_UNKNOWN
    | Steps.NR_HEADER
    | Steps.NR_EOH
    | Steps.NR_BODY
)
WISHES = Wishes(Actions.ADD_HEADERS | Actions.CHANGE_HEADERS, Actions.QUARANTINE, QUIET)
OFFER = c.Negotiate(Options(6, Actions(0x1FF), Steps(0x1FFFFF)))
COMMANDS = {
    "O": OFFER,
    "C": c.Connect("mx.example", "4", 25, "192.0.2.1"),
    "H": c.Helo("mx.example"),
    "M": c.Mail(("<a@example.org>",)),
    "R": c.Rcpt(("<b@example.org>",)),
    "T": c.Data(),
    "L": c.Header(b"Subject", b" x"),
    "N": c.EndOfHeaders(),
    "B": c.Body(b"body\r\n"),
    "E": c.EndOfMessage(),
    "A": c.Abort(),
    "U": c.Unknown(b"XYZZY"),
    "K": c.QuitNewConnection(),
    "Q": c.Quit(),
    "D": c.Macros("M", {"i": "1"}),
}
# Shortest way into each state.
WAYS = {
    State.NEW: "",
    State.READY: "O",
    State.CONNECTED: "OC",
    State.ENVELOPE: "OCM",
    State.DATA: "OCMT",
    State.HEADERS: "OCML",
    State.BODY: "OCMLN",
    State.CLOSED: "OQ",
}
TABLE = {
    State.NEW: {"O": State.READY, "Q": State.CLOSED},
    State.READY: {"C": State.CONNECTED, "A": State.READY},
    State.CONNECTED: {"H": State.CONNECTED, "M": State.ENVELOPE, "A": State.CONNECTED, "U": State.CONNECTED},
    State.ENVELOPE: {
        "H": State.CONNECTED,
        "M": State.ENVELOPE,
        "R": State.ENVELOPE,
        "T": State.DATA,
        "L": State.HEADERS,
        "N": State.BODY,
        "B": State.BODY,
        "E": State.CONNECTED,
        "A": State.CONNECTED,
        "U": State.ENVELOPE,
    },
    State.DATA: {
        "H": State.CONNECTED,
        "M": State.ENVELOPE,
        "L": State.HEADERS,
        "N": State.BODY,
        "B": State.BODY,
        "E": State.CONNECTED,
        "A": State.CONNECTED,
    },
    State.HEADERS: {
        "H": State.CONNECTED,
        "M": State.ENVELOPE,
        "L": State.HEADERS,
        "N": State.BODY,
        "B": State.BODY,
        "E": State.CONNECTED,
        "A": State.CONNECTED,
    },
    State.BODY: {
        "H": State.CONNECTED,
        "M": State.ENVELOPE,
        "B": State.BODY,
        "E": State.CONNECTED,
        "A": State.CONNECTED,
    },
}
for _state, _row in TABLE.items():
    if _state is not State.NEW:
        _row |= {"D": _state, "K": State.READY, "Q": State.CLOSED}


def take(connection: MilterConnection, command: c.Command) -> bytes:
    """Receive one command and answer it if it awaits an answer."""
    connection.receive_data(command.encode())
    received = connection.next_command()
    assert received == command
    if isinstance(received, c.Negotiate):
        return connection.accept_offer(received)
    return connection.send(r.Continue()) if connection.awaits_reply else b""


def connection_in(state: State, offer: c.Negotiate = OFFER) -> MilterConnection:
    connection = MilterConnection(WISHES)
    for letter in WAYS[state]:
        take(connection, offer if letter == "O" else COMMANDS[letter])
    assert connection.state is state
    return connection


@pytest.mark.parametrize("state", list(TABLE))
@pytest.mark.parametrize("letter", list(COMMANDS))
def test_state_table(state, letter):
    connection = connection_in(state)
    if letter in TABLE[state]:
        take(connection, COMMANDS[letter])
        assert connection.state is TABLE[state][letter]
    else:
        connection.receive_data(COMMANDS[letter].encode())
        with pytest.raises(RemoteProtocolError, match=f"in state {state.value}"):
            connection.next_command()


def test_nothing_is_taken_after_quit():
    connection = connection_in(State.CLOSED)
    connection.receive_data(COMMANDS["C"].encode())
    assert connection.next_command() is None


def test_the_answer_to_the_offer():
    connection = MilterConnection(WISHES)
    answer = take(connection, OFFER)
    assert answer == c.Negotiate(Options(6, Actions(0x31), QUIET)).encode()
    assert connection.options == Options(6, Actions(0x31), QUIET)


def test_with_no_reply_steps_only_the_end_is_answered():
    connection = connection_in(State.READY)
    for letter in "CHMRTLNB":
        assert take(connection, COMMANDS[letter]) == b"", letter
    assert take(connection, COMMANDS["E"]) == r.Continue().encode()


def test_version_2_answers_every_event():
    connection = connection_in(State.READY, c.Negotiate(Options(2, Actions(0x3F), Steps(0x3F))))
    for letter in "CHMRLNBE":
        assert take(connection, COMMANDS[letter]) == r.Continue().encode(), letter
    for letter in "DAKQ":
        assert take(connection, COMMANDS[letter]) == b"", letter


def test_a_command_must_be_answered_before_the_next():
    connection = connection_in(State.BODY)
    connection.receive_data(COMMANDS["E"].encode() + COMMANDS["A"].encode())
    connection.next_command()
    with pytest.raises(LocalProtocolError, match="EndOfMessage was not answered"):
        connection.next_command()
    connection.send(r.Accept())
    assert connection.next_command() == c.Abort()


def at_end_of_message(offer: c.Negotiate = OFFER) -> MilterConnection:
    connection = connection_in(State.BODY, offer)
    connection.receive_data(COMMANDS["E"].encode())
    connection.next_command()
    return connection


def test_modifications_then_one_decision():
    connection = at_end_of_message()
    assert connection.send(r.Progress()) == r.Progress().encode()
    replies = (r.InsertHeader(0, b"X-A", b" 1"), r.Quarantine("why"), r.Accept())
    assert connection.send(*replies) == b"".join(reply.encode() for reply in replies)
    assert not connection.awaits_reply


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([r.Accept(), r.Accept()], "the last reply"),
        ([r.ReplaceBody(b"x")], "not negotiated"),
        ([r.DeleteRcpt("<a>")], "not negotiated"),
        ([r.Skip()], "Skip was not negotiated"),
    ],
)
def test_what_must_not_be_sent(replies, message):
    connection = at_end_of_message()
    with pytest.raises(LocalProtocolError, match=message):
        connection.send(*replies)
    assert connection.awaits_reply
    assert connection.send(r.TempFail()) == r.TempFail().encode()


def test_a_value_that_cannot_be_framed_leaves_the_command_open():
    connection = at_end_of_message()
    with pytest.raises(LocalProtocolError, match="NUL"):
        connection.send(r.InsertHeader(0, b"X", b"\0"), r.Accept())
    assert connection.awaits_reply


def test_quarantine_only_when_offered():
    connection = at_end_of_message(c.Negotiate(Options(6, Actions(0x11), Steps(0))))
    with pytest.raises(LocalProtocolError, match="Quarantine was not negotiated"):
        connection.send(r.Quarantine("why"), r.Accept())


def test_no_reply_without_a_command():
    with pytest.raises(LocalProtocolError, match="without a command"):
        connection_in(State.CONNECTED).send(r.Continue())


def test_no_modification_and_no_discard_before_mail():
    connection = connection_in(State.READY, c.Negotiate(Options(2, Actions(0x3F), Steps(0))))
    connection.receive_data(COMMANDS["C"].encode())
    connection.next_command()
    with pytest.raises(LocalProtocolError, match="before the end"):
        connection.send(r.AddHeader(b"X", b" 1"), r.Continue())
    with pytest.raises(LocalProtocolError, match="Discard before MAIL"):
        connection.send(r.Discard())


def test_eof_between_frames_is_fine_and_inside_is_not():
    connection = connection_in(State.BODY)
    connection.receive_eof()
    assert connection.state is State.CLOSED
    connection = connection_in(State.BODY)
    connection.receive_data(COMMANDS["B"].encode()[:-1])
    assert connection.next_command() is None
    with pytest.raises(RemoteProtocolError, match="inside a frame"):
        connection.receive_eof()


def run(stream: bytes, cut: int) -> list[object]:
    """Return what a connection sees and says for a stream fed in pieces; an error ends it."""
    connection = MilterConnection(WISHES, frame_limit=4096)
    seen: list[object] = []
    try:
        for start in range(0, len(stream), cut):
            connection.receive_data(stream[start : start + cut])
            while command := connection.next_command():
                seen.append(command)
                if isinstance(command, c.Negotiate):
                    seen.append(connection.accept_offer(command))
                elif connection.awaits_reply:
                    seen.append(connection.send(r.Continue()))
    except RemoteProtocolError as error:
        seen.append(error.reason)
    return seen


SESSION = b"".join(COMMANDS[letter].encode() for letter in "ODCDHDMDRDTDLLNBBDEMRTLNEAMRAKCHMQ")


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 64])
def test_a_session_cut_anywhere(cut):
    assert run(SESSION, cut) == run(SESSION, len(SESSION))


def test_a_session_cut_short_anywhere_only_waits():
    for end in range(len(SESSION)):
        assert not any(isinstance(item, str) for item in run(SESSION[:end], 4096))


@settings(max_examples=200)
@given(st.data())
def test_fuzz_damaged_sessions_end_in_protocol_errors_only(data):
    damaged = bytearray(SESSION)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assert run(bytes(damaged), 16) == run(bytes(damaged), 4096)


@given(st.lists(st.sampled_from(sorted(COMMANDS)), max_size=30))
def test_fuzz_any_order_of_commands(letters):
    seen = run(b"".join(COMMANDS[letter].encode() for letter in ["O", *letters]), 4096)
    assert seen[0] == OFFER
