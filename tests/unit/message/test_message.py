"""The message as a whole: what the properties give for ordinary and for odd input."""

from filterproxy.message import Message

SIMPLE = b"From: A <a@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello http://www.example.com/x.\r\n"


def test_simple_message() -> None:
    message = Message(SIMPLE)
    assert message.subject == "Grüße"
    assert message.header_from[0].address == "a@example.org"
    assert message.body == b"Hello http://www.example.com/x.\r\n"
    assert [url.domain for url in message.urls] == ["example.com"]
    assert message.defects == frozenset()


def test_empty_message() -> None:
    message = Message(b"")
    assert (message.subject, message.header_from, message.text, message.urls) == ("", (), "", ())
