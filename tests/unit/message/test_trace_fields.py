"""Trace fields on top of a message, as later hops and the delivery put them there."""

from filterproxy.message import earlier_forms

MESSAGE = (
    b"Received: from a by b;\r\n\tMon, 1 Jan 2024 10:00:00 +0000\r\nFrom: a@example.org\r\nReceived: x\r\n\r\nhi\r\n"
)


def test_the_forms_of_earlier_hops() -> None:
    top = b"Return-Path: <a@example.org>\r\nX-Spam-Status: No\r\nDelivered-To: b@example.net\r\n"
    forms = list(earlier_forms(top + MESSAGE))
    assert forms[1] == MESSAGE
    assert forms[2].startswith(b"From: ")
    assert len(forms) == 3


def test_a_message_without_trace_fields_has_none() -> None:
    assert list(earlier_forms(b"From: a@example.org\n\nReceived: in the body\n")) == []
    assert list(earlier_forms(b"")) == []


def test_their_number_is_bounded() -> None:
    assert len(list(earlier_forms(b"Received: x\n" * 1000 + MESSAGE))) == 20
