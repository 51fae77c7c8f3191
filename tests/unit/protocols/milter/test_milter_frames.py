"""Frames: whole, byte by byte, truncated, oversized, fuzzed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.protocols.milter.frames import FrameDecoder, encode_frame

FRAMES = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=70)), max_size=6)


def drain(decoder: FrameDecoder) -> list[tuple[bytes, bytes]]:
    frames = []
    while frame := decoder.next_frame():
        frames.append(frame)
    return frames


def test_length_counts_the_command_byte():
    assert encode_frame(b"H", b"mx\0") == b"\0\0\0\4Hmx\0"


def test_a_code_of_two_bytes_is_our_bug():
    with pytest.raises(LocalProtocolError, match="one byte"):
        encode_frame(b"HH")


def test_several_frames_in_one_read():
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"A") + encode_frame(b"B", b"body") + b"\0\0")
    assert drain(decoder) == [(b"A", b""), (b"B", b"body")]
    assert decoder.buffered == 2


def test_byte_by_byte():
    decoder = FrameDecoder()
    seen = []
    for octet in encode_frame(b"B", b"body") + encode_frame(b"Q"):
        decoder.feed(bytes([octet]))
        seen += drain(decoder)
    assert seen == [(b"B", b"body"), (b"Q", b"")]
    assert decoder.buffered == 0


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_truncated_frame_waits(cut):
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"B", b"body")[:cut])
    assert decoder.next_frame() is None
    assert decoder.buffered == cut


def test_length_zero_is_refused():
    decoder = FrameDecoder()
    decoder.feed(b"\0\0\0\0")
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        decoder.next_frame()


def test_an_oversized_length_is_refused_before_its_bytes_come():
    decoder = FrameDecoder(limit=100)
    decoder.feed(b"\0\0\0\x65")
    with pytest.raises(RemoteProtocolError, match="101 bytes"):
        decoder.next_frame()


def test_the_largest_allowed_frame_passes():
    decoder = FrameDecoder(limit=100)
    decoder.feed(encode_frame(b"B", bytes(99)))
    assert decoder.next_frame() == (b"B", bytes(99))


@given(FRAMES, st.lists(st.integers(1, 40), min_size=1))
def test_any_cut_gives_the_same_frames(frames, cuts):
    stream = b"".join(encode_frame(code, payload) for code, payload in frames)
    decoder = FrameDecoder()
    seen = []
    position = turn = 0
    while position < len(stream):
        step = cuts[turn % len(cuts)]
        decoder.feed(stream[position : position + step])
        seen += drain(decoder)
        position, turn = position + step, turn + 1
    assert seen == frames
    assert decoder.buffered == 0
