"""The words between supervisor and workers."""

from __future__ import annotations

import socket

import pytest

from filterproxy.app.control import Channel, ControlMessage, Word

MESSAGES = [
    ControlMessage(Word.READY),
    ControlMessage(Word.REFUSED, 3, ("line one", "zwei\nè"), temporary=True),
    ControlMessage(Word.COMMIT, 4),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.word)
def test_a_message_survives_the_wire(message: ControlMessage) -> None:
    line = message.encode()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert ControlMessage.decode(line) == message


def test_messages_arrive_whole_however_they_are_cut() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    received = []
    for octet in b"".join(message.encode() for message in MESSAGES):
        theirs.send(bytes([octet]))
        received += channel.receive()
    assert received == MESSAGES
    theirs.close()
    assert list(channel.receive()) == []
    channel.close()


def test_telling_a_worker_that_is_gone_fails_quietly() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    channel = Channel(ours)
    assert channel.send(ControlMessage(Word.DRAIN)) is False
    channel.close()


def test_a_worker_that_reads_no_more_never_blocks_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    assert any(not channel.send(ControlMessage(Word.PREPARE, number)) for number in range(100_000))
    channel.close()
    theirs.close()
