"""The tree of parts: ordinary, odd and broken."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from filterproxy.message import Limits, Message, Part

PLAIN, MARKUP = ("text/plain",), ("text/html",)
HEAD = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"


def tree(part: Part) -> Any:
    return (part.content_type, *(tree(child) for child in part.children))


def parse(raw: bytes, **limits: int) -> Message:
    return Message(raw, limits=Limits(**limits))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: b\n\nx", PLAIN),
        (b"Content-Type: TEXT/HTML; charset=x\n\nx", MARKUP),
        (b"Content-Type: nonsense\n\nx", PLAIN),
        (b"Content-Type: a/b/c\n\nx", PLAIN),
        (b"Content-Type: text/html\nContent-Type: text/plain\n\nx", MARKUP),
        (
            HEAD + b"--b\n\nx\n--b\nContent-Type: text/html\n\ny\n--b--\n",
            ("multipart/mixed", PLAIN, MARKUP),
        ),
        (HEAD + b"--b\r\n\r\nx\r\n--b--\r\n", ("multipart/mixed", PLAIN)),
        (HEAD + b"--b  \t\n\nx\n--b-- \n", ("multipart/mixed", PLAIN)),
        # A part without header fields, without body, without either.
        (HEAD + b"--b\nx\n--b--\n", ("multipart/mixed", PLAIN)),
        (HEAD + b"--b\nContent-Type: text/html\n--b--\n", ("multipart/mixed", MARKUP)),
        (HEAD + b"--b\n--b\n--b--", ("multipart/mixed", PLAIN, PLAIN)),
        # No closing line, or none at all.
        (HEAD + b"--b\n\nx", ("multipart/mixed", PLAIN)),
        (HEAD + b"x\n--c\n", ("multipart/mixed",)),
        (b"Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", ("multipart/mixed",)),
        # After the closing line nothing counts.
        (HEAD + b"--b\n\nx\n--b--\n--b\n\ny\n", ("multipart/mixed", PLAIN)),
        # Not at the start of a line, or longer than the boundary.
        (HEAD + b"--b\n\nx --b\n--bb\n--b--\n", ("multipart/mixed", PLAIN)),
        # The outer boundary ends what is inside, closed or not.
        (
            HEAD
            + b"--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b\nContent-Type: text/html\n\ny\n--b--\n",
            ("multipart/mixed", ("multipart/mixed", PLAIN), MARKUP),
        ),
        # Of two equal boundaries the outer counts.
        (
            HEAD + b"--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n",
            ("multipart/mixed", ("multipart/mixed",), PLAIN),
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b--\n\n--b--\n\nx\n--b----\n",
            ("multipart/mixed", PLAIN),
        ),
        (
            b'Content-Type: multipart/mixed; boundary="a:b"\n\n--a:b\n\nx\n--a:b--\n',
            ("multipart/mixed", PLAIN),
        ),
        (
            b"Content-Type: multipart/mixed; boundary*0=a;\n boundary*1=b\n\n--ab\n\nx\n",
            ("multipart/mixed", PLAIN),
        ),
        # A digest's parts are messages.
        (
            b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b--\n",
            ("multipart/digest", ("message/rfc822", PLAIN)),
        ),
        (b"Content-Type: message/rfc822\n\nContent-Type: text/html\n\nx", ("message/rfc822", MARKUP)),
        (b"Content-Type: message/rfc822\n\n", ("message/rfc822", PLAIN)),
        (b"Content-Type: message/delivery-status\n\nA: b\n\nC: d\n", ("message/delivery-status",)),
        (HEAD.replace(b"\n", b"\r") + b"--b\r\rx\r--b--\r", ("multipart/mixed", PLAIN)),
    ],
)
def test_tree(raw: bytes, expected: Any) -> None:
    assert tree(Message(raw).root) == expected


def test_parts_know_their_place() -> None:
    inner = b"Content-Type: multipart/alternative; boundary=c\n\n--c\n\n1\n--c\n\n2\n--c--\n"
    message = Message(HEAD + b"preamble\n--b\n" + inner + b"\n--b\n\n3\n--b--\nepilogue\n")
    assert [(part.path, part.depth) for part in message.parts] == [
        ("1", 0), ("1.1", 1), ("1.1.1", 2), ("1.1.2", 2), ("1.2", 1),
    ]  # fmt: skip
    assert [part.raw for part in message.parts if not part.is_container] == [b"1", b"2", b"3"]
    assert message.parts[1].raw == b"--c\n\n1\n--c\n\n2\n--c--\n"
    assert message.root is message.parts[0]
    assert message.root.raw == message.body
    assert message.text == "1\n2\n3"


def test_line_end_before_a_boundary_belongs_to_the_boundary() -> None:
    message = Message(HEAD + b"--b\r\n\r\nx\r\n\r\n--b\r\n\r\n--b--\r\n")
    assert [part.raw for part in message.parts[1:]] == [b"x\r\n", b""]


def test_fields_of_a_part() -> None:
    part = Message(
        b"Content-Type: application/pdf; name=other.pdf\n"
        b"Content-Disposition: Attachment; filename*=utf-8''%E2%82%AC.pdf\n"
        b"Content-Transfer-Encoding: BASE64\n\n" + base64.b64encode(b"%PDF-1.4")
    ).root
    assert (part.content_type, part.disposition, part.filename) == ("application/pdf", "attachment", "€.pdf")
    assert (part.encoding, part.payload, part.text) == ("base64", b"%PDF-1.4", "")
    assert part.parameters == {"name": "other.pdf"}
    assert not part.is_text


def test_text_of_a_part() -> None:
    part = Message(
        b'Content-Type: text/plain; charset="koi8-r" (Russian)\n'
        b"Content-Transfer-Encoding: quoted-printable\n\n=F0=D2=C9=\n"
    ).root
    assert (part.charset, part.text) == ("koi8-r", "При")


def test_charset_with_a_comment() -> None:
    assert Message(b"Content-Type: text/plain; charset=us-ascii (Plain text)\n\nx").root.charset == "us-ascii"


def test_multipart_without_parts_is_read_as_text() -> None:
    message = Message(HEAD + b"hidden in the preamble\n")
    assert "hidden in the preamble" in message.text
    assert message.defects == {"missing_boundary"}


def test_encoded_message_is_an_attachment() -> None:
    encoded = base64.encodebytes(b"Subject: inner\n\ntext\n")
    message = Message(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + encoded)
    assert not message.root.is_container
    assert message.attachments[0].part.payload == b"Subject: inner\n\ntext\n"


def test_duplicate_content_type_is_told() -> None:
    assert Message(b"Content-Type: text/html\nContent-Type: text/plain\n\nx").defects == {"duplicate_content_type"}


def test_nesting_limit() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(4))
    message = parse(nested + b"\nhere\n", nesting=2)
    assert max(part.depth for part in message.parts) == 2
    assert message.defects == {"nesting_limit", "missing_boundary"}
    assert "here" in message.text
    assert parse(nested + b"\nhere\n", nesting=4).defects == frozenset()


def test_parts_limit() -> None:
    raw = HEAD + b"--b\n\nx\n" * 5 + b"--b--\n"
    assert len(parse(raw, parts=4).parts) == 4
    assert parse(raw, parts=4).defects == {"parts_limit"}
    assert parse(raw, parts=6).defects == frozenset()


def test_text_limit_of_a_part() -> None:
    message = parse(b"A: b\n\n0123456789", text=4)
    assert (message.root.text, message.text) == ("0123", "0123")
    assert message.defects == {"text_limit"}


def test_text_limit_of_a_message() -> None:
    message = parse(HEAD + b"--b\n\n012\n--b\n\n345\n--b--\n", text=5)
    assert message.text == "012\n3"
    assert message.defects == {"text_limit"}


def test_only_the_first_parts_are_guessed() -> None:
    russian = ("Привет, как дела? Это письмо о скидках на товары. " * 3).encode("koi8-r")
    message = parse(HEAD + (b"--b\n\n" + russian + b"\n") * 2 + b"--b--\n", charset_detections=1)
    assert [part.text.startswith("Привет") for part in message.parts[1:]] == [True, False]
