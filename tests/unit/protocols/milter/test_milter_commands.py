"""Commands: each one's bytes, both ways; malformed payloads are the peer's error."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.protocols.milter import commands as c
from filterproxy.protocols.milter.frames import FrameDecoder
from filterproxy.protocols.milter.options import Actions, MacroStage, Options, Steps

OFFER = Options(6, Actions(0x1FF), Steps(0x1FFFFF))
EXAMPLES = [
    (c.Abort(), b"A"),
    (c.Body(b"a\0b\r\n"), b"Ba\0b\r\n"),
    (c.Body(b""), b"B"),
    (c.Connect("mx.example", "4", 2525, "192.0.2.1"), b"Cmx.example\0" + b"4\x09\xdd192.0.2.1\0"),
    (c.Connect("mx.example", "6", 25, "IPv6:2001:db8::1"), b"Cmx.example\0" + b"6\0\x19IPv6:2001:db8::1\0"),
    (c.Connect("localhost", "L", 0, "/run/x"), b"Clocalhost\0L\0\0/run/x\0"),
    (c.Connect("unknown", "U"), b"Cunknown\0U"),
    (c.Macros("M", {"i": "4Xyz", "auth_authen": "joe"}), b"DMi\0004Xyz\0{auth_authen}\0joe\0"),
    (c.Macros("C"), b"DC"),
    (c.EndOfMessage(), b"E"),
    (c.EndOfMessage(b"rest"), b"Erest"),
    (c.Helo("mail.example"), b"Hmail.example\0"),
    (c.QuitNewConnection(), b"K"),
    (c.Header(b"Subject", b" caf\xe9\n\tfold"), b"LSubject\0 caf\xe9\n\tfold\0"),
    (c.Mail(("<a@example.org>", "SIZE=12", "SMTPUTF8")), b"M<a@example.org>\0SIZE=12\0SMTPUTF8\0"),
    (c.Mail(("<>",)), b"M<>\0"),
    (c.EndOfHeaders(), b"N"),
    (c.Negotiate(OFFER), b"O\0\0\0\6\0\0\1\xff\0\x1f\xff\xff"),
    (
        c.Negotiate(Options(6, Actions(1), Steps(0), {MacroStage.HELO: "{cipher}"})),
        b"O\0\0\0\6\0\0\0\1\0\0\0\0\0\0\0\1{cipher}\0",
    ),
    (c.Quit(), b"Q"),
    (c.Rcpt(("<b\udcff@example.org>", "NOTIFY=NEVER")), b"R<b\xff@example.org>\0NOTIFY=NEVER\0"),
    (c.Data(), b"T"),
    (c.Unknown(b"XYZZY 1"), b"UXYZZY 1\0"),
]
MALFORMED = [
    b"A!",
    b"Cmx",
    b"Cmx\0",
    b"Cmx\0X\0\0",
    b"Cmx\0" + b"4\0",
    b"Cmx\0" + b"4\0\x19192.0.2.1",
    b"Cmx\0" + b"4\0\x19192.0.2.1\0more",
    b"D",
    b"DMi\0",
    b"DMi\0value",
    b"Hmx",
    b"H",
    b"Hmx\0more",
    b"LSubject\0",
    b"LSubject\0value",
    b"M",
    b"M<a>",
    b"O\0\0\0\6",
    b"O\0\0\0\6\0\0\1\xff\0\x1f\xff\xff\0\0\0\x63x\0",
    b"O\0\0\0\6\0\0\1\xff\0\x1f\xff\xff\0\0\0\1x",
    b"Q\0",
    b"R",
    b"T\0",
    b"Z",
    b"\0",
]


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> c.Command:
    return c.decode_command(body[:1], body[1:])


@pytest.mark.parametrize(("command", "body"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_both_ways(command, body):
    assert command.encode() == frame(body)
    assert decode(body) == command


def test_every_command_has_an_example():
    assert {type(command) for command, _ in EXAMPLES} == set(c.COMMANDS.values())


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed(body):
    with pytest.raises(RemoteProtocolError):
        decode(body)


def test_macro_names_come_with_or_without_braces():
    assert decode(b"DM{i}\0x\0").values == {"i": "x"}


def test_an_unknown_family_may_carry_a_port():
    assert decode(b"Cunknown\0U\0\0\0") == c.Connect("unknown", "U")


def test_nul_in_a_string_is_our_bug():
    with pytest.raises(LocalProtocolError, match="NUL"):
        c.Helo("a\0b").encode()


def test_a_number_that_does_not_fit_is_our_bug():
    with pytest.raises(LocalProtocolError, match="65536"):
        c.Connect("x", "4", 65536, "192.0.2.1").encode()


@given(st.binary(min_size=1, max_size=200))
@example(b"O\0\0\0\6\0\0\1\xff\0\x1f\xff\xff\0\0\0\1x\0")
def test_fuzz_any_payload_is_a_command_or_the_peers_error(body):
    try:
        command = decode(body)
    except RemoteProtocolError:
        return
    # What was understood can be said again, and means the same.
    decoder = FrameDecoder()
    decoder.feed(command.encode())
    assert c.decode_command(*decoder.next_frame()) == command
