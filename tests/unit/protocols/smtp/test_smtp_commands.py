"""Commands, paths and parameters: what is accepted, what is refused, and that nothing takes long."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.protocols.smtp.commands import Command, parse_command, parse_path
from filterproxy.protocols.smtp.parameters import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    Parameter,
    carried,
    parse_parameters,
    value_of,
)
from filterproxy.protocols.smtp.replies import BAD_MAIL, BAD_SENDER, Refused


def path_of(argument: bytes) -> tuple[str, bytes, bytes]:
    path, rest = parse_path(argument, b"FROM:", BAD_MAIL, BAD_SENDER)
    return path.address, path.wire, rest


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO a.example", Command("EHLO", b"a.example")),
        (b"ehlo  a.example \t", Command("EHLO", b"a.example")),
        (b"QUIT", Command("QUIT", b"")),
        (b"", Command("", b"")),
        (b" EHLO a", Command("", b" EHLO a")),
        (b"GET / HTTP/1.1", Command("GET", b"/ HTTP/1.1")),
        (b"\xc3\x89HLO a", Command("", b"\xc3\x89HLO a")),
        (b"X" * 17 + b" a", Command("", b"X" * 17 + b" a")),
        (b"MAIL\tFROM:<a>", Command("", b"MAIL\tFROM:<a>")),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("argument", "address", "wire", "rest"),
    [
        (b"FROM:<>", "", b"", b""),
        (b"from:<a@example.org>", "a@example.org", b"a@example.org", b""),
        (b"FROM: <a@example.org> SIZE=1", "a@example.org", b"a@example.org", b" SIZE=1"),
        (b"FROM:a@example.org BODY=7BIT", "a@example.org", b"a@example.org", b" BODY=7BIT"),
        (b"FROM:<postmaster>", "postmaster", b"postmaster", b""),
        (b'FROM:<"a b"@example.org>', '"a b"@example.org', b'"a b"@example.org', b""),
        (b'FROM:<"a>b@c\\""@example.org>', '"a>b@c\\""@example.org', b'"a>b@c\\""@example.org', b""),
        (b"FROM:<@one,@two:a@example.org>", "a@example.org", b"@one,@two:a@example.org", b""),
        (b"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", b"a@[192.0.2.1]", b""),
        (b"FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", b"a@[IPv6:2001:db8::1]", b""),
        ("FROM:<é@例え.jp> SMTPUTF8".encode(), "é@例え.jp", "é@例え.jp".encode(), b" SMTPUTF8"),
        (b"FROM:<\xff@example.org>", "\udcff@example.org", b"\xff@example.org", b""),
        (b"FROM:<a+b=c%d!e@example.org>", "a+b=c%d!e@example.org", b"a+b=c%d!e@example.org", b""),
    ],
)
def test_paths(argument: bytes, address: str, wire: bytes, rest: bytes) -> None:
    assert path_of(argument) == (address, wire, rest)
    assert address.encode("utf-8", "surrogateescape") == wire.rpartition(b":")[2] or b"[" in wire


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"FROM",
        b"FROM:",
        b"FROM: ",
        b"TO:<a@b>",
        b"<a@b>",
        b"FROM:<a@b",
        b"FROM:<<a@b>>",
        b"FROM:<a@b>x",
        b"FROM:<a b@c>",
        b"FROM:<a@b@c>",
        b'FROM:<"a"b@x@c>',
        b'FROM:<a@"b">',
        b"FROM:<@>",
        b"FROM:<@a>",
        b"FROM:<@a:>",
        b"FROM:<a@>",
        b"FROM:<@b:@c>",
        b'FROM:<"a@b>',
        b'FROM:<"a\\"@b>',
        b"FROM:<a\\@b>",
        b"FROM:<a\x01@b>",
        b"FROM:<a\x7f@b>",
        b"FROM:a b@c",
        b"FROM:>a@b<",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(argument: bytes) -> None:
    with pytest.raises(Refused) as refused:
        address, _wire, rest = path_of(argument)
        parse_parameters(rest, MAIL_PARAMETERS)
        raise AssertionError(address)
    assert refused.value.reply.code in (501, 555)


@pytest.mark.parametrize(
    "argument",
    [
        b"FROM:<" + b'"' * 70_000,
        b"FROM:<" + b'"a"' * 25_000,
        b"FROM:<" + b'"\\' * 35_000,
        b"FROM:<" + b"(" * 70_000 + b">",
        b"FROM:<" + b"@a," * 25_000 + b":",
        b"FROM:<" + b"a@" * 35_000 + b"b>",
    ],
)
def test_hostile_paths_take_no_time(argument: bytes) -> None:
    began = time.monotonic()
    with contextlib.suppress(Refused):
        path_of(argument)
    assert time.monotonic() - began < 0.5


@given(st.binary(max_size=60))
def test_a_path_is_kept_octet_for_octet(inner: bytes) -> None:
    try:
        address, wire, rest = path_of(b"FROM:<" + inner + b"> X")
    except Refused as refused:
        assert refused.reply.code == 501
        return
    assert wire + b">" + rest == inner + b"> X"
    assert wire.endswith(address.encode("utf-8", "surrogateescape"))
    assert not set(wire) & {0, 10, 13}


class TestParameters:
    def test_mail(self) -> None:
        octets = b" SIZE=1000 body=8bitmime SMTPUTF8  RET=hdrs ENVID=QQ314159 AUTH=<>"
        parameters = parse_parameters(octets, MAIL_PARAMETERS)
        assert [parameter.text for parameter in parameters] == octets.decode().split()
        assert parameters[1] == Parameter("BODY", "8bitmime", "body=8bitmime")
        assert value_of(parameters, "SIZE") == "1000"
        assert value_of(parameters, "NOTHING") is None

    def test_rcpt(self) -> None:
        octets = b" NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@example.org"
        parameters = parse_parameters(octets, RCPT_PARAMETERS)
        assert [parameter.name for parameter in parameters] == ["NOTIFY", "ORCPT"]

    def test_only_what_the_next_hop_takes_is_carried(self) -> None:
        parameters = parse_parameters(b" SIZE=1 BODY=7BIT SMTPUTF8 RET=FULL ENVID=a AUTH=<>", MAIL_PARAMETERS)
        assert carried(parameters, ()) == ()
        names = [parameter.name for parameter in carried(parameters, ("SIZE", "DSN"))]
        assert names == ["SIZE", "RET", "ENVID"]
        assert carried(parameters, ("SIZE", "DSN", "8BITMIME", "SMTPUTF8", "AUTH")) == parameters

    @pytest.mark.parametrize(
        ("octets", "code"),
        [
            (b" SIZE", 501),
            (b" SIZE=", 501),
            (b" SIZE=-1", 501),
            (b" SIZE=\xd9\xa3", 501),
            (b" SIZE=" + b"9" * 21, 501),
            (b" BODY=BINARYMIME", 501),
            (b" SMTPUTF8=1", 501),
            (b" RET=BOTH", 501),
            (b" ENVID=" + b"a" * 301, 501),
            (b" SIZE=1 SIZE=1", 501),
            (b" =x", 501),
            (b" -A=x", 501),
            (b" SIZE=1\x00", 501),
            (b" NOTIFY=NEVER", 555),
            (b" HOLDFOR=10", 555),
        ],
    )
    def test_wrong_parameters_of_mail(self, octets: bytes, code: int) -> None:
        with pytest.raises(Refused) as refused:
            parse_parameters(octets, MAIL_PARAMETERS)
        assert refused.value.reply.code == code

    @pytest.mark.parametrize(
        "octets",
        [
            b" NOTIFY=",
            b" NOTIFY=NEVER,DELAY",
            b" NOTIFY=DELAY,DELAY",
            b" NOTIFY=SOMETIMES",
            b" ORCPT=a@example.org",
            b" ORCPT=;a",
            b" ORCPT=rfc822;",
            b" ORCPT=rfc822;" + b"a" * 1500,
        ],
    )
    def test_wrong_parameters_of_rcpt(self, octets: bytes) -> None:
        with pytest.raises(Refused) as refused:
            parse_parameters(octets, RCPT_PARAMETERS)
        assert refused.value.reply.code == 501

    @given(st.binary(max_size=80))
    def test_no_octets_raise_anything_else(self, octets: bytes) -> None:
        try:
            parameters = parse_parameters(octets, MAIL_PARAMETERS)
        except Refused as refused:
            assert refused.reply.code in (501, 555)
        else:
            assert all(not set(parameter.text) & set("\r\n\0 ") for parameter in parameters)
