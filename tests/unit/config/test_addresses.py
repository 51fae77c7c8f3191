"""Addresses as people write them."""

from __future__ import annotations

import pytest

from filterproxy.config.addresses import SocketAddress, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:25", SocketAddress("127.0.0.1", 25)),
        ("[::1]:2525", SocketAddress("::1", 2525)),
        ("mail.example.org:25", SocketAddress("mail.example.org", 25)),
        ("unix:/run/x.sock", SocketAddress(path="/run/x.sock")),
        ("lmtp://unix:/run/l", SocketAddress(path="/run/l", scheme="lmtp")),
        ("lmtp://localhost", SocketAddress("localhost", 24, scheme="lmtp")),
        ("smtps://[2001:db8::1]", SocketAddress("2001:db8::1", 465, scheme="smtps")),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("::1:25", "in brackets"),
        ("127.0.0.1", "is no address; write host:port"),
        ("127.0.0.1:0", "is no address"),
        ("127.0.0.1:70000", "is no address"),
        (":25", "is no address"),
        ("http://x", "unknown scheme 'http'"),
        ("unix:", "names no socket file"),
        ("[zz]:25", "zz"),
    ],
)
def test_wrong_addresses_say_what_would_be_right(text, message):
    with pytest.raises(ValueError, match=message):
        parse_address(text)


@pytest.mark.parametrize("text", ["127.0.0.1:25", "[::1]:25", "unix:/run/x"])
def test_an_address_is_written_as_it_was_read(text):
    assert str(parse_address(text)) == text
