"""Header edits change what they name and nothing else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.pipeline.header_fields import field_spans

RAW = (
    b"Received: a\r\n\tb\r\nX-Spam: old\r\nSubject: one\r\n"
    b"X-SPAM : older\r\n  folded\r\nTo: x\r\n\r\nbody\r\nX-Spam: body\r\n"
)


def test_remove_change_and_insert():
    edits = HeaderEdits(
        remove=(("X-Spam", 1), ("x-spam", 2)), change=(("Subject", 1, "two"),), insert=(("A", "1"), ("B", "2\n\t3"))
    )
    assert edits.apply(RAW) == (
        b"A: 1\r\nB: 2\r\n\t3\r\nReceived: a\r\n\tb\r\nSubject: two\r\nTo: x\r\n\r\nbody\r\nX-Spam: body\r\n"
    )


def test_only_the_named_occurrence_goes():
    assert b"X-Spam: old" in HeaderEdits(remove=(("X-Spam", 2),)).apply(RAW)
    assert b"older" not in HeaderEdits(remove=(("X-Spam", 2),)).apply(RAW)


def test_line_ends_follow_the_message():
    assert HeaderEdits(insert=(("A", "1\n\t2"),)).apply(b"S: x\n\nb\n") == b"A: 1\n\t2\nS: x\n\nb\n"


def test_no_edits_give_back_the_same_object():
    assert HeaderEdits().apply(RAW) is RAW


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", b"A: 1\r\n"),
        (b"\r\nbody only\r\n", b"A: 1\r\n\r\nbody only\r\n"),
        (b"no header at all\r\nsecond line\r\n", b"A: 1\r\n\r\nno header at all\r\nsecond line\r\n"),
        (b"S: unterminated", b"A: 1\r\nS: unterminated"),
    ],
)
def test_messages_without_a_header_section(raw, expected):
    assert HeaderEdits(insert=(("A", "1"),)).apply(raw) == expected


@given(st.binary(max_size=300), st.integers(1, 3))
def test_inserting_never_changes_what_follows(raw, count):
    edited = HeaderEdits(insert=tuple((f"X-{n}", "v") for n in range(count))).apply(raw)
    assert edited.endswith(raw)


@given(st.lists(st.sampled_from([b"A: 1\r\n", b"B: 2\r\n\tfold\r\n", b"junk\r\n", b" stray\r\n"]), max_size=8))
def test_spans_cover_each_field_once(lines):
    raw = b"".join(lines) + b"\r\nbody"
    spans = list(field_spans(raw))
    assert [raw[span.start : span.start + 1] for span in spans] == [line[:1] for line in lines if b":" in line]
    assert all(first.end <= second.start for first, second in itertools.pairwise(spans))


@given(st.lists(st.sampled_from([b"A: 1\r\n", b"B: 2\r\n\tfold\r\n", b"a: 3\r\n"]), max_size=8), st.integers(1, 4))
def test_removing_leaves_every_other_field_as_it_was(lines, occurrence):
    raw = b"".join(lines) + b"\r\nbody"
    positions = [index for index, line in enumerate(lines) if line[:1].lower() == b"a"]
    gone = positions[occurrence - 1] if occurrence <= len(positions) else None
    expected = b"".join(line for index, line in enumerate(lines) if index != gone) + b"\r\nbody"
    assert HeaderEdits(remove=(("a", occurrence),)).apply(raw) == expected


@pytest.mark.parametrize("first", [b" ; dkim=pass header.d=bank.example\r\n", b"\tx\r\n", b" \r\n"])
def test_a_leading_continuation_line_does_not_continue_our_fields(first):
    raw = first + b"From: a@example.org\r\n\r\nbody\r\n"
    edited = HeaderEdits(insert=(("Authentication-Results", "mx.example.org; none"),)).apply(raw)
    assert edited.startswith(b"Authentication-Results: mx.example.org; none\r\nX-Stray-Continuation: ")
    assert edited.endswith(raw)
    assert HeaderEdits(remove=(("x", 1),)).apply(raw) == raw
