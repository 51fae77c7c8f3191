"""Header fields: where each begins and ends, and what it says."""

from __future__ import annotations

import pytest

from filterproxy.message import Limits, Message
from filterproxy.message.headers import field_spans

MESSAGE = Message(
    b"Received: one\r\n"
    b"Received: two\r\n\twith a fold\r\n"
    b"Subject:no space\r\n"
    b"X-Empty:\r\n"
    b"X-Utf8: Gr\xc3\xbc\xc3\x9fe\r\n"
    b"X-Latin: Gr\xfc\xdfe\r\n"
    b"X-Word: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n"
    b"\r\n"
    b"body\r\n"
)


def test_fields_keep_their_bytes() -> None:
    received = MESSAGE.headers.all("received")
    assert [field.raw for field in received] == [b"Received: one\r\n", b"Received: two\r\n\twith a fold\r\n"]
    assert received[1].raw_value == b" two\r\n\twith a fold"
    assert MESSAGE.header_block == b"".join(field.raw for field in MESSAGE.headers)
    assert MESSAGE.body == b"body\r\n"


def test_names_match_without_regard_to_case() -> None:
    headers = MESSAGE.headers
    assert headers.count("RECEIVED") == 2
    assert "subject" in headers
    assert "x-none" not in headers
    assert (headers.first("received"), headers.last("Received")) == headers.all("Received")
    assert headers.first("x-none") is headers.last("x-none") is None
    assert headers.all("x-none") == ()
    assert len(headers) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("received", "one"),
        ("subject", "no space"),
        ("x-empty", ""),
        ("x-utf8", "Grüße"),
        ("x-latin", "Grüße"),
        ("x-word", "Grüße"),
    ],
)
def test_values(name: str, value: str) -> None:
    header = MESSAGE.headers.first(name)
    assert header is not None
    assert header.value == value


def test_a_fold_reads_as_one_blank() -> None:
    header = MESSAGE.headers.last("received")
    assert header is not None
    assert header.value == "two with a fold"


def test_unfolded_keeps_encoded_words() -> None:
    header = MESSAGE.headers.first("x-word")
    assert header is not None
    assert header.unfolded == "=?iso-8859-1?Q?Gr=FC=DFe?="


def test_8bit_is_told() -> None:
    assert MESSAGE.defects == {"header_8bit"}


@pytest.mark.parametrize(
    ("raw", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\n", [], b""),
        (b"\nbody", [], b"body"),
        (b"just text\nmore", [], b"just text\nmore"),
        (b"A: b", ["A"], b""),
        (b"A: b\n", ["A"], b""),
        (b"A: b\n\n", ["A"], b""),
        (b"A: b\r\n\r\nbody", ["A"], b"body"),
        (b"A: b\n\r\nbody", ["A"], b"body"),
        (b"A: b\r\n\nbody", ["A"], b"body"),
        (b"A: b\n \nC: d\n\nbody", ["A", "C"], b"body"),
        (b"A: b\nno field\nC: d\n\nbody", ["A"], b"no field\nC: d\n\nbody"),
        (b"From a@b Mon\nA: b\n\nbody", ["A"], b"body"),
        (b"A: b\n>From a@b Mon\nC: d\n\nbody", ["A", "C"], b"body"),
        (b" A: b\nC: d\n\nbody", ["A", "C"], b"body"),
        (b"A : b\n\nbody", ["A"], b"body"),
        (b": b\nC: d\n\nbody", ["C"], b"body"),
        (b": b\n c\nC: d\n\nbody", ["C"], b"body"),
        (b" \n\nbody", [], b"body"),
        (b" \nA: b\n\nbody", ["A"], b"body"),
        (b"A: b\rC: d\r\rbody", ["A", "C"], b"body"),
        (b"A: b\rC: d\n\nbody", ["A"], b"body"),
        (b"A\0: b\n\nbody", [], b"A\0: b\n\nbody"),
        (b"\xc3\xa4: b\n\nbody", [], b"\xc3\xa4: b\n\nbody"),
        (b"--b: c\n\nbody", ["--b"], b"body"),
    ],
)
def test_where_the_header_block_ends(raw: bytes, names: list[str], body: bytes) -> None:
    message = Message(raw)
    assert [field.name for field in message.headers] == names
    assert message.body == body


def test_defects_of_the_header_block() -> None:
    assert "missing_separator" in Message(b"A: b\nno field\n\nbody").defects
    assert "bad_header" in Message(b": b\n\n").defects
    assert "bad_header" in Message(b" A: b\n\n").defects
    assert "bare_cr" in Message(b"A: b\rC: d\n\nbody").defects
    assert Message(b"A: b\n\nbody").defects == frozenset()


def test_values_never_hold_line_breaks_or_nul() -> None:
    message = Message(b"Subject: a\r\n b =?utf-8?Q?c=0D=0AX-Evil:_d=00?=\r\nX: a\0b\r\n\r\n")
    assert message.subject == "a b c  X-Evil: d "
    header = message.headers.first("x")
    assert header is not None
    assert header.value == "a b"


def test_limits() -> None:
    limits = Limits(headers=2, header_value=4)
    message = Message(b"A: 123456\nB: x\nC: x\n\nbody", limits=limits)
    assert [field.name for field in message.headers] == ["A", "B"]
    assert message.headers.first("a").value == "123"  # type: ignore[union-attr]
    assert message.body == b"body"
    assert message.defects >= {"header_limit", "header_value_limit"}


def test_field_spans_find_every_field_without_limit() -> None:
    raw = b"From x\n A: b\nB: c\n d\nE : f\n\nG: h\n"
    assert [(name, raw[start:end]) for name, start, end in field_spans(raw)] == [
        ("A", b"A: b\n"),
        ("B", b"B: c\n d\n"),
        ("E", b"E : f\n"),
    ]
    assert sum(1 for _ in field_spans(b"A: b\n" * 20_000)) == 20_000
