"""Parameters of Content-Type and Content-Disposition, RFC 2231 and what senders make of it."""

from __future__ import annotations

import pytest

from filterproxy.message import Limits
from filterproxy.message.parameters import parse_parameters, parse_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text/plain", {}),
        ("text/plain; charset=UTF-8", {"charset": "UTF-8"}),
        ('text/plain;CHARSET="utf-8";format=flowed', {"charset": "utf-8", "format": "flowed"}),
        ('a/b; name="a;b\\"c"', {"name": 'a;b"c'}),
        ("a/b; name=two words.txt", {"name": "two words.txt"}),
        ("a/b ; name = x ; y = z ", {"name": "x", "y": "z"}),
        ("a/b; name=first; name=second", {"name": "first"}),
        ("a/b;; ;name=x;", {"name": "x"}),
        ("a/b; flag; name=x", {"name": "x"}),
        ('a/b; name="open', {"name": "open"}),
        ('a/b; name=""', {"name": ""}),
        ('a/b; name="=?utf-8?Q?=E2=82=AC.pdf?="', {"name": "€.pdf"}),
        # RFC 2231 sections 3 and 4.
        ('a/b; URL*0="ftp://"; URL*1="cs.example/x"', {"url": "ftp://cs.example/x"}),
        ("a/b; title*=us-ascii'en-us'This%20is%20it", {"title": "This is it"}),
        ("a/b; t*0*=us-ascii'en'This%20is; t*1*=%20even; t*2=\" more\"", {"t": "This is even more"}),
        ("a/b; t*1=b; t*0=a", {"t": "ab"}),
        ("a/b; filename*=utf-8''%E2%82%AC.exe; filename=x.txt", {"filename": "€.exe"}),
        ("a/b; n*=koi8-r''%F0%D2%C9", {"n": "При"}),
        ("a/b; n*=%41", {"n": "A"}),
        ("a/b; n*=x-none''%C3%BC", {"n": "ü"}),
        ("a/b; n*99999=x", {"n*99999": "x"}),
    ],
)
def test_parse_parameters(text: str, expected: dict[str, str]) -> None:
    assert parse_parameters(text, Limits(), set()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Text/HTML; charset=x", "text/html"),
        ("attachment", "attachment"),
        (" text/plain (comment) ; x=y", "text/plain"),
        ("", ""),
    ],
)
def test_parse_value(text: str, expected: str) -> None:
    assert parse_value(text) == expected


def test_parameters_are_limited() -> None:
    defects: set[str] = set()
    assert parse_parameters("a/b; c=1; d=2; e=3", Limits(parameters=2), defects) == {"c": "1", "d": "2"}
    assert defects == {"parameter_limit"}
