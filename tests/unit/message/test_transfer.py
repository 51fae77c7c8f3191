"""Transfer encodings, sound and broken."""

from __future__ import annotations

import base64
import binascii

import pytest

from filterproxy.message.transfer import decode_transfer

UU = b"begin 644 a.txt\n" + binascii.b2a_uu(b"hello world") + b"`\nend\n"


@pytest.mark.parametrize(
    ("data", "encoding", "expected", "sound"),
    [
        (b"as is\xff\0", "", b"as is\xff\0", True),
        (b"as is", "7bit", b"as is", True),
        (b"as is", "8bit", b"as is", True),
        (b"as is", "binary", b"as is", True),
        (b"as is", "x-none", b"as is", False),
        (b"aGVsbG8=", "base64", b"hello", True),
        (b"aGVs\r\nbG8=\r\n", "base64", b"hello", True),
        (b"aGVsbG8", "base64", b"hello", True),
        (b"aGVsb!G8=", "base64", b"hello", False),
        (b"aGVsbG8=aGVsbG8=", "base64", b"hellohello", False),
        (b"aGVsbG8=\n-- \nfooter", "base64", None, False),
        (b"a", "base64", b"", False),
        (b"", "base64", b"", True),
        (b"====", "base64", b"", True),
        (b"a=3Db=\r\nc=20", "quoted-printable", b"a=bc ", True),
        (b"a=ZZ=", "quoted-printable", b"a=ZZ", True),
        (UU, "x-uuencode", b"hello world", True),
        (b"text before\n" + UU + b"text after", "uuencode", b"hello world", True),
        (b"no beginning", "x-uuencode", b"no beginning", False),
        (b"begin 644 a\n\xff\xff\xff\nend\n", "x-uuencode", b"", False),
    ],
)
def test_decode_transfer(data: bytes, encoding: str, expected: bytes | None, sound: bool) -> None:
    defects: set[str] = set()
    decoded = decode_transfer(data, encoding, defects)
    assert (not defects) is sound
    assert defects <= {"bad_encoding"}
    if expected is None:
        assert decoded.startswith(b"hello")
    else:
        assert decoded == expected


@pytest.mark.parametrize("size", range(70))
def test_base64_of_every_length(size: int) -> None:
    data = bytes(range(size))
    assert decode_transfer(base64.encodebytes(data), "base64", set()) == data
