"""Lines and dots: whole, byte by byte, truncated, oversized, and every wrong end of data."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.lines import (
    DataReader,
    Fault,
    Line,
    LineBuffer,
    MessageData,
    encode_command,
    encode_data,
    encode_reply,
    has_bare_newlines,
    normalize_newlines,
)

# Octets that matter to line ends and dots, so that random texts are made of the interesting cases.
SOUP = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.", b"a", b"\0", b"\xff"])).map(b"".join)
WRONG_ENDS = [
    *(b"".join(end) for end in itertools.product((b"\n", b"\r", b"\r\n"), (b".",), (b"\n", b"\r", b"\r\n"))),
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\0\n.\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n..\r\n",
    b"\r\n. \r\n",
]
WRONG_ENDS.remove(b"\r\n.\r\n")


def lines_of(buffer: LineBuffer) -> list[Line]:
    return list(iter(buffer.next_line, None))


def read(octets: bytes, *, size: int = 10_000, line: int | None = None, step: int = 0) -> tuple[MessageData, bytes]:
    """Feed everything, in pieces of `step` octets; return the message and what follows."""
    reader = DataReader(size, line)
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)] if step else [octets]
    for number, piece in enumerate(pieces):
        rest = reader.feed(piece)
        if rest is not None:
            assert reader.message is not None
            return reader.message, rest + b"".join(pieces[number + 1 :])
    raise AssertionError("the message did not end")


class TestLineBuffer:
    @pytest.mark.parametrize("step", [1, 2, 3, 1000])
    def test_lines_whatever_the_pieces(self, step: int) -> None:
        octets = b"EHLO a\r\nbare\nlone\rcr\r\n\0nul\r\n" + b"x" * 100 + b"\r\nNOOP\r\n\r\n"
        buffer, lines = LineBuffer(50), []
        for at in range(0, len(octets), step):
            buffer.feed(octets[at : at + step])
            lines += lines_of(buffer)
        assert lines == [
            Line(b"EHLO a"),
            Line(b"bare", Fault.BARE_NEWLINE),
            Line(b"lone\rcr", Fault.BARE_NEWLINE),
            Line(b"\0nul", Fault.NUL),
            Line(b"", Fault.LINE_TOO_LONG),
            Line(b"NOOP"),
            Line(b""),
        ]

    def test_the_limit_counts_the_line_end(self) -> None:
        buffer = LineBuffer(10)
        buffer.feed(b"12345678\r\n123456789\r\n")
        assert lines_of(buffer) == [Line(b"12345678"), Line(b"", Fault.LINE_TOO_LONG)]

    def test_an_endless_line_takes_no_memory(self) -> None:
        buffer = LineBuffer(2048)
        for _ in range(1000):
            buffer.feed(b"x" * 1000)
            assert buffer.next_line() is None
            assert len(buffer) <= 2048
        buffer.feed(b"\r\nNOOP\r\n")
        assert lines_of(buffer) == [Line(b"", Fault.LINE_TOO_LONG), Line(b"NOOP")]

    def test_a_truncated_line_is_no_line(self) -> None:
        buffer = LineBuffer(50)
        buffer.feed(b"QUIT\r")
        assert buffer.next_line() is None
        assert buffer
        buffer.feed(b"\n")
        assert buffer.next_line() == Line(b"QUIT")
        assert not buffer

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_pieces_change_nothing(self, octets: bytes, steps: list[int]) -> None:
        whole, pieces = LineBuffer(30), LineBuffer(30)
        whole.feed(octets)
        wanted, got, at = lines_of(whole), [], 0
        for step in itertools.cycle(steps):
            if at >= len(octets):
                break
            pieces.feed(octets[at : at + step])
            got += lines_of(pieces)
            at += step
        assert got == wanted
        assert all(b"\n" not in line.text for line in got)


class TestDataReader:
    @pytest.mark.parametrize("step", [0, 1, 2, 3, 5])
    @pytest.mark.parametrize(
        ("octets", "raw"),
        [
            (b".\r\n", b""),
            (b"\r\n.\r\n", b"\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...\r\n..a\r\n.b\r\n.\r\n", b"..\r\n.a\r\nb\r\n"),
            (b"a..\r\nb.\r\n.\r\n", b"a..\r\nb.\r\n"),
            (b"\0\xff\xfe\r\n.\r\n", b"\0\xff\xfe\r\n"),
        ],
    )
    def test_messages(self, octets: bytes, raw: bytes, step: int) -> None:
        assert read(octets + b"QUIT\r\n", step=step) == (MessageData(raw), b"QUIT\r\n")

    @pytest.mark.parametrize("step", [0, 1])
    @pytest.mark.parametrize("end", WRONG_ENDS, ids=repr)
    def test_nothing_but_crlf_dot_crlf_ends_a_message(self, end: bytes, step: int) -> None:
        smuggled = b"Subject: x\r\n\r\nbody" + end + b"MAIL FROM:<evil@example.org>\r\n"
        message, rest = read(smuggled + b".\r\nNOOP\r\n", step=step)
        assert rest == b"NOOP\r\n"
        assert b"MAIL FROM" in message.raw

    @pytest.mark.parametrize("cut", range(1, 10))
    def test_a_truncated_message_does_not_end(self, cut: int) -> None:
        octets = b"ab\r\n..\r\n.\r\n"
        reader = DataReader(100, None)
        assert reader.feed(octets[:-cut]) is None
        assert reader.message is None

    @pytest.mark.parametrize("step", [0, 1, 7])
    def test_the_size_limit_does_not_count_transparency_dots(self, step: int) -> None:
        raw = b".\r\n" * 30
        assert read(encode_data(raw), size=90, step=step)[0] == MessageData(raw)
        assert read(encode_data(raw), size=89, step=step)[0] == MessageData(b"", Fault.TOO_LARGE)

    def test_too_large_messages_are_read_to_their_end_in_little_memory(self) -> None:
        reader = DataReader(1000, None)
        for _ in range(10_000):
            assert reader.feed(b"x" * 1000 + b"\r\n") is None
            assert len(reader._buffer) < 3000
        assert reader.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
        assert reader.message == MessageData(b"", Fault.TOO_LARGE)

    @pytest.mark.parametrize(("length", "fault"), [(999, None), (1000, None), (1001, Fault.LINE_TOO_LONG)])
    @pytest.mark.parametrize("before", [0, 1, 500, 1000])
    def test_the_line_limit(self, length: int, fault: Fault | None, before: int) -> None:
        octets = b"a" * before + b"\r\n" + b"b" * length + b"\r\nc\r\n.\r\n"
        assert read(octets, line=1000)[0].fault is fault

    def test_a_bare_line_feed_ends_no_line_of_the_limit(self) -> None:
        assert read(b"\n".join([b"a" * 500] * 3) + b"\r\n.\r\n", line=1000)[0].fault is Fault.LINE_TOO_LONG

    def test_what_stands_in_the_message_is_told(self) -> None:
        assert read(b"a\nb\r\n.\r\n")[0].has_bare_newlines
        assert not read(b"a\r\nb\r\n.\r\n")[0].has_bare_newlines
        assert read(b"a\0b\r\n.\r\n")[0].has_nul
        assert not read(b"ab\r\n.\r\n")[0].has_nul

    @given(SOUP, st.integers(0, 9))
    def test_what_is_encoded_is_decoded(self, text: bytes, step: int) -> None:
        raw = normalize_newlines(text)
        message, rest = read(encode_data(raw) + b"NOOP\r\n", step=step)
        assert message.raw == (raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n")
        assert rest == b"NOOP\r\n"

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_pieces_change_nothing(self, octets: bytes, steps: list[int]) -> None:
        wire = octets + b"\r\n.\r\nrest"
        whole = read(wire)
        reader, at, steps_left = DataReader(10_000, None), 0, itertools.cycle(steps)
        rest = None
        while rest is None:
            step = next(steps_left)
            rest = reader.feed(wire[at : at + step])
            at += step
        assert (reader.message, rest + wire[at:]) == whole


class TestNewlines:
    @pytest.mark.parametrize(
        ("raw", "normal"),
        [
            (b"", b""),
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"a\nb\r\n", b"a\r\nb\r\n"),
            (b"\n\n\r\n", b"\r\n\r\n\r\n"),
            (b"a\rb\r\n", b"a b\r\n"),
            (b"a\r\r\n", b"a \r\n"),
            (b"a\n\rb\r\n", b"a\r\n b\r\n"),
            (b"a\r", b"a "),
        ],
    )
    def test_normal_form(self, raw: bytes, normal: bytes) -> None:
        assert normalize_newlines(raw) == normal
        assert has_bare_newlines(raw) == (raw != normal)

    @given(SOUP)
    def test_nothing_bare_is_left(self, raw: bytes) -> None:
        normal = normalize_newlines(raw)
        assert not has_bare_newlines(normal)
        assert normalize_newlines(normal) == normal


class TestEncode:
    def test_a_message_with_a_bare_newline_never_leaves(self) -> None:
        for raw in (b"a\nb\r\n", b"a\rb\r\n", b"\r", b"\n"):
            with pytest.raises(LocalProtocolError):
                encode_data(raw)

    @given(SOUP)
    def test_the_end_of_data_stands_only_at_the_end(self, text: bytes) -> None:
        wire = b"\r\n" + encode_data(normalize_newlines(text))
        assert wire.endswith(b"\r\n.\r\n")
        assert wire.count(b"\r\n.\r\n") == 1

    def test_a_message_without_a_last_line_end_gets_one(self) -> None:
        assert encode_data(b"a") == b"a\r\n.\r\n"

    @pytest.mark.parametrize("text", [b"MAIL FROM:<a>\r\nRCPT TO:<b>", b"a\nb", b"a\rb", b"a\0b"])
    def test_a_command_is_one_line(self, text: bytes) -> None:
        with pytest.raises(LocalProtocolError):
            encode_command(text)

    def test_a_reply_is_what_it_seems(self) -> None:
        reply = Reply(250, ("one\r\n250 two\x1b", "\udcff"), "2.0.0")
        assert encode_reply(reply) == b"250-2.0.0 one  250 two \r\n250 2.0.0 \xff\r\n"
