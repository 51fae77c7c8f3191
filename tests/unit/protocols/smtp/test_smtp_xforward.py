"""XFORWARD and xtext."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.xforward import (
    ATTRIBUTES,
    decode_xtext,
    encode_xtext,
    parse_xforward,
    xforward_commands,
)

ALL = frozenset(ATTRIBUTES)


@pytest.mark.parametrize(
    ("argument", "attributes"),
    [
        (b"NAME=mail.example.org ADDR=192.0.2.1", {"NAME": "mail.example.org", "ADDR": "192.0.2.1"}),
        (b"addr=IPv6:2001:DB8::1 PORT=025", {"ADDR": "2001:db8::1", "PORT": "25"}),
        (b"ADDR=2001:db8::1", {"ADDR": "2001:db8::1"}),
        (b"NAME=[UNAVAILABLE] ADDR=[unavailable] HELO=[TEMPUNAVAIL]", {"NAME": "", "ADDR": "", "HELO": ""}),
        (b"NAME=unknown HELO=unknown", {"NAME": "", "HELO": "unknown"}),
        (b"HELO=a+20b+2B+3Dc PROTO=ESMTP IDENT=4Xyz SOURCE=local",
         {"HELO": "a b+=c", "PROTO": "ESMTP", "IDENT": "4Xyz", "SOURCE": "local"}),
        (b"HELO=+C3+A9.example", {"HELO": "é.example"}),
        (b"HELO=a+0D+0AMAIL+00+7F", {"HELO": "a??MAIL??"}),
        (b"HELO=+FF", {"HELO": "\udcff"}),
    ],
)  # fmt: skip
def test_attributes(argument: bytes, attributes: dict[str, str]) -> None:
    assert parse_xforward(argument) == attributes


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"NAME",
        b"=x",
        b"LOGIN=root",
        b"\xff=x",
        b"NAME=",
        b"NAME=a+2",
        b"NAME=a+zz",
        b"NAME=a+0a",
        b"NAME=" + b"a" * 256,
        b"ADDR=example.org",
        b"ADDR=192.0.2.256",
        b"ADDR=IPv6:192.0.2.1",
        b"ADDR=192.0.2.1+0D",
        b"PORT=0",
        b"PORT=65536",
        b"PORT=-1",
        b"PORT=\xd9\xa3",
        b"SOURCE=ELSEWHERE",
    ],
)
def test_wrong_attributes(argument: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_xforward(argument)
    assert refused.value.reply.code == 501


@given(st.binary(max_size=200))
def test_no_octets_raise_anything_else(argument: bytes) -> None:
    try:
        attributes = parse_xforward(argument)
    except Refused as refused:
        assert refused.reply.code == 501
    else:
        assert attributes.keys() <= ALL
        assert not any(set(value) & set("\r\n\0\x1b") for value in attributes.values())


@given(st.binary(max_size=100))
def test_xtext_comes_back(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    encoded = encode_xtext(text)
    assert decode_xtext(encoded) == text
    assert all(33 <= octet <= 126 and octet != ord("=") for octet in encoded)


@given(st.dictionaries(st.sampled_from(sorted(ALL - {"ADDR", "PORT", "SOURCE"})), st.text(max_size=255)))
def test_what_we_tell_is_what_we_were_told(attributes: dict[str, str]) -> None:
    commands = xforward_commands(attributes, ALL)
    told: dict[str, str] = {}
    for command in commands:
        assert len(command) <= 510
        verb, _, argument = command.partition(b" ")
        assert verb == b"XFORWARD"
        told |= parse_xforward(argument)
    assert told.keys() == attributes.keys()


def test_the_commands() -> None:
    attributes = {"NAME": "", "ADDR": "2001:db8::1", "PORT": "25", "HELO": "a b", "SOURCE": "REMOTE"}
    assert xforward_commands(attributes, ALL) == [
        b"XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PORT=25 HELO=a+20b SOURCE=REMOTE"
    ]
    assert xforward_commands(attributes, {"ADDR"}) == [b"XFORWARD ADDR=IPV6:2001:db8::1"]
    assert xforward_commands(attributes, ()) == []
    assert xforward_commands({}, ALL) == []
    long = {"NAME": "n" * 255, "HELO": "h" * 255, "IDENT": "\x80" * 255}
    assert [len(command) for command in xforward_commands(long, ALL)] == [269, 289]
    assert xforward_commands(long, ALL)[1].endswith(b" IDENT=[UNAVAILABLE]")
