"""The message as a whole: what the properties give for ordinary and for odd input."""

from __future__ import annotations

import pytest

from filterproxy.message import DEFECTS, Limits, Message

MIXED = (
    b"From: A <a@example.org>\r\n"
    b"To: b@example.net\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n"
    b"\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"Hello http://www.example.com/x.\r\n"
    b"--b\r\n"
    b"Content-Type: text/html\r\n"
    b"\r\n"
    b"<p>Hi <a href='http://example.net/'>there</a></p><p hidden>secret</p>\r\n"
    b"--b\r\n"
    b"Content-Type: application/pdf; name=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n"
    b"\r\n"
    b"JVBERi0xLjQ=\r\n"
    b"--b--\r\n"
)


def test_message() -> None:
    message = Message(MIXED)
    assert message.size == len(MIXED)
    assert (message.subject, message.message_id) == ("Grüße", "<1@example.org>")
    assert [mailbox.address for mailbox in message.header_from] == ["a@example.org"]
    assert message.header_block + b"\r\n" + message.body == MIXED
    assert message.text == "Hello http://www.example.com/x.\nHi there"
    assert [document.hidden for document in message.html] == ["secret"]
    assert [url.host for url in message.urls] == ["example.net", "www.example.com"]
    assert [attachment.detected_type for attachment in message.attachments] == ["application/pdf"]
    assert message.defects == frozenset()


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n\r\n", b"\r", b"\0", b" ", b"\xff", b":", b"--", b"<"])
def test_next_to_nothing(raw: bytes) -> None:
    message = Message(raw)
    assert (message.subject, message.message_id, message.header_from, message.urls) == ("", "", (), ())
    assert message.attachments == message.html == ()
    assert len(message.parts) == 1
    assert message.defects <= {"nul", "bare_cr", "bad_charset", "bad_header", "missing_separator"}


def test_mixed_line_ends() -> None:
    message = Message(b"A: b\r\nSubject: x\nC: d\r\n e\n\r\nbody\r\n")
    assert message.subject == "x"
    assert message.body == b"body\r\n"


def test_nul_and_8bit_are_told_and_kept() -> None:
    message = Message(b"Subject: a\xff\0b\n\nbody\0\xff")
    assert message.body == b"body\0\xff"
    assert message.subject == "aÿ b"
    assert message.defects == {"nul", "header_8bit", "bad_charset"}


def test_truncated() -> None:
    assert Message(MIXED[:300], truncated=True).defects == {"truncated"}
    assert Message(MIXED[:300], truncated=True).truncated
    assert not Message(MIXED).truncated


def test_defects_do_not_depend_on_what_was_read_before() -> None:
    raw = MIXED.replace(b"JVBERi0xLjQ=", b"JVBE!!!")
    assert Message(raw).defects == {"bad_encoding"}


def test_html_limit_counts_all_parts() -> None:
    part = b"--b\nContent-Type: text/html\n\n<p>0123456789\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 3
    message = Message(raw, limits=Limits(html=20))
    assert [document.visible for document in message.html] == ["0123456789", "012"]
    assert "html_limit" in message.defects
    message = Message(raw, limits=Limits(html_tags=2))
    assert [document.visible for document in message.html] == ["0123456789", "0123456789", ""]
    assert "html_limit" in message.defects


def test_address_limit_counts_all_fields() -> None:
    message = Message(b"From: a@b.example\n" * 5 + b"\n", limits=Limits(addresses=3))
    assert len(message.header_from) == 3
    assert message.defects == {"address_limit"}


def test_defect_names_have_descriptions() -> None:
    assert all(name.islower() and text and not text.endswith(".") for name, text in DEFECTS.items())


def test_properties_are_computed_once() -> None:
    message = Message(MIXED)
    assert message.parts is message.parts
    assert message.text is message.text
    assert message.urls is message.urls
    assert message.header_from is message.header_from


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 01:00:10 +0100", 10.0),
        ("1 Jan 1970 00:00:10", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT (a comment)", 10.0),
        ("yesterday", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:00 -2359", None),
        ("Thu, 01 Jan 1970 00:00:10 +0000" + " " * 200 + "x", None),
    ],
)
def test_the_date_is_read_when_it_can_be(text, seconds):
    date = Message(b"Date: " + text.encode() + b"\r\n\r\n").date
    assert (date.timestamp() if date else None) == seconds


def test_without_a_date_field_there_is_no_date():
    assert Message(b"Subject: x\r\n\r\n").date is None
