"""Lines and dots: whole, byte by byte, truncated, oversized, and every wrong end of data."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.blemishes import (
    Blemishes,
    BlemishFinder,
    Normalizer,
    blemishes,
    has_bare_newlines,
    normalize_newlines,
)
from filterproxy.protocols.smtp.lines import (
    Fault,
    Line,
    LineBuffer,
    encode_command,
    encode_data,
    encode_reply,
    encode_stream,
    in_chunks,
)
from filterproxy.protocols.smtp.reading import ChunkReader, DataReader, MemoryBody

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


def read(octets: bytes, *, size: int = 10_000, step: int = 0) -> tuple[bytes | None, bytes]:
    """Feed everything, in pieces of `step` octets; return the message (None when too large) and what follows."""
    body = MemoryBody()
    reader = DataReader(size, body)
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)] if step else [octets]
    for number, piece in enumerate(pieces):
        rest = reader.feed(piece)
        if rest is not None:
            assert reader.complete
            return None if reader.too_large else body.whole(), rest + b"".join(pieces[number + 1 :])
    raise AssertionError("the message did not end")


def cut(octets: bytes, steps: list[int]) -> list[bytes]:
    """Cut octets into pieces of these sizes, over and over."""
    pieces, sizes = [], itertools.cycle(steps)
    while octets:
        size = next(sizes)
        pieces.append(octets[:size])
        octets = octets[size:]
    return pieces


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
        assert read(octets + b"QUIT\r\n", step=step) == (raw, b"QUIT\r\n")

    @pytest.mark.parametrize("step", [0, 1])
    @pytest.mark.parametrize("end", WRONG_ENDS, ids=repr)
    def test_nothing_but_crlf_dot_crlf_ends_a_message(self, end: bytes, step: int) -> None:
        smuggled = b"Subject: x\r\n\r\nbody" + end + b"MAIL FROM:<evil@example.org>\r\n"
        message, rest = read(smuggled + b".\r\nNOOP\r\n", step=step)
        assert rest == b"NOOP\r\n"
        assert message is not None and b"MAIL FROM" in message

    @pytest.mark.parametrize("cut", range(1, 10))
    def test_a_truncated_message_does_not_end(self, cut: int) -> None:
        octets = b"ab\r\n..\r\n.\r\n"
        reader = DataReader(100, MemoryBody())
        assert reader.feed(octets[:-cut]) is None
        assert not reader.complete

    @pytest.mark.parametrize("step", [0, 1, 7])
    def test_the_size_limit_does_not_count_transparency_dots(self, step: int) -> None:
        raw = b".\r\n" * 30
        assert read(encode_data(raw), size=90, step=step)[0] == raw
        assert read(encode_data(raw), size=89, step=step)[0] is None

    def test_too_large_messages_are_read_to_their_end_in_little_memory(self) -> None:
        body = MemoryBody()
        reader = DataReader(1000, body)
        for octets in (b"x" * 1000 + b"\r\n", b"\r\n" * 500, b"\n" * 1000, b"\r" * 1000):
            for _ in range(1000):
                assert reader.feed(octets) is None
                assert len(reader._held) + len(body.whole()) < 3000
        assert reader.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
        assert reader.too_large

    @given(SOUP, st.integers(0, 9))
    def test_what_is_encoded_is_decoded(self, text: bytes, step: int) -> None:
        raw = normalize_newlines(text)
        message, rest = read(encode_data(raw) + b"NOOP\r\n", step=step)
        assert message == (raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n")
        assert rest == b"NOOP\r\n"

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_pieces_change_nothing(self, octets: bytes, steps: list[int]) -> None:
        wire = octets + b"\r\n.\r\nrest"
        body, rest = MemoryBody(), b""
        reader = DataReader(10_000, body)
        for piece in cut(wire, steps):
            rest = rest + piece if reader.complete else reader.feed(piece) or b""
        assert (body.whole(), rest) == read(wire)


class TestChunkReader:
    @given(st.lists(SOUP), st.lists(st.integers(1, 7), min_size=1))
    def test_chunks_are_taken_as_they_are(self, chunks: list[bytes], steps: list[int]) -> None:
        body = MemoryBody()
        reader, raw = ChunkReader(10_000, body), b"".join(chunks)
        for chunk in chunks:
            reader.begin(len(chunk))
            rest: bytes | None = reader.feed(b"")
            for piece in cut(chunk + b"rest", steps):
                rest = reader.feed(piece) if rest is None else rest + piece
            assert rest == b"rest"
        reader.finish()
        assert body.whole() == (raw if not raw or raw.endswith(b"\r\n") else raw + b"\r\n")

    def test_what_is_too_large_is_not_kept(self) -> None:
        body = MemoryBody()
        reader = ChunkReader(10, body)
        for _ in range(3):
            reader.begin(5)
            assert reader.feed(b"12345") == b""
        assert reader.too_large and not body.whole()


class TestBlemishes:
    @pytest.mark.parametrize(("length", "long_line"), [(999, False), (1000, False), (1001, True)])
    @pytest.mark.parametrize("before", [0, 1, 500, 1000])
    def test_the_line_limit(self, length: int, long_line: bool, before: int) -> None:
        raw = b"a" * before + b"\r\n" + b"b" * length + b"\r\nc\r\n"
        assert blemishes(raw, 1000) == Blemishes(long_line=long_line)

    def test_a_bare_line_feed_ends_no_line_of_the_limit(self) -> None:
        assert blemishes(b"\n".join([b"a" * 500] * 3) + b"\r\n", 1000).long_line

    def test_what_stands_in_the_message_is_told(self) -> None:
        assert blemishes(b"a\nb\r\n", None) == Blemishes(bare_newlines=True)
        assert blemishes(b"a\r\nb\r\n", None) == Blemishes()
        assert blemishes(b"a\0b\r\n", None) == Blemishes(nul=True)
        assert blemishes(b"a\r\n\0.\0\r\n", None) == Blemishes(nul=True, hidden_end=True)
        assert blemishes(b"a\r\nb\0.\r\n", None) == Blemishes(nul=True)

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1), st.sampled_from([None, 1, 3, 1000]))
    def test_pieces_change_nothing(self, raw: bytes, steps: list[int], line_limit: int | None) -> None:
        finder = BlemishFinder(line_limit)
        for piece in cut(raw, steps):
            finder.feed(piece)
        assert finder.finish() == blemishes(raw, line_limit)

    def test_endless_nuls_are_not_waited_for(self) -> None:
        finder, normalizer, got = BlemishFinder(None), Normalizer(), []
        for piece in [b"a\r\n"] + [b"\0" * 1000] * 50 + [b".\r\n"]:
            finder.feed(piece)
            assert len(finder._cutter._held) < 6000
            got.append(normalizer.feed(piece))
        assert finder.finish().hidden_end
        assert not blemishes(b"".join(got) + normalizer.finish(), None).hidden_end


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

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_pieces_change_nothing(self, raw: bytes, steps: list[int]) -> None:
        normalizer = Normalizer()
        got = [normalizer.feed(piece) for piece in cut(raw, steps)]
        assert b"".join([*got, normalizer.finish()]) == normalize_newlines(raw)


@given(st.lists(SOUP), st.integers(1, 9))
def test_chunks_hold_the_same_octets(pieces: list[bytes], size: int) -> None:
    chunks = list(in_chunks(pieces, size))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(0 < len(chunk) <= size for chunk in chunks)


class TestEncode:
    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_pieces_change_nothing(self, text: bytes, steps: list[int]) -> None:
        raw = normalize_newlines(text)
        assert b"".join(encode_stream(cut(raw, steps))) == encode_data(raw)

    @given(SOUP, st.lists(st.integers(1, 7), min_size=1))
    def test_no_piece_with_a_bare_newline_leaves(self, text: bytes, steps: list[int]) -> None:
        if has_bare_newlines(text):
            with pytest.raises(LocalProtocolError):
                list(encode_stream(cut(text, steps)))

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
