"""Host names: ASCII form, registrable domain, IP addresses."""

from __future__ import annotations

import pytest

from filterproxy.message.domains import ascii_domain, is_public_suffix, parse_ipv4, registrable_domain


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("a。b．c", "a.b.c"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("é" * 300, "é" * 300),
        ("\u202eü.example", "\u202eü.example"),
        ("", ""),
    ],
)
def test_ascii_domain(name: str, expected: str) -> None:
    assert ascii_domain(name) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.b.example.com", "example.com"),
        ("a.b.co.uk", "b.co.uk"),
        ("co.uk", ""),
        ("com", ""),
        ("a.github.io", "a.github.io"),
        ("a.b.unlisted", "b.unlisted"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
        ("a." * 200 + "com", ""),
    ],
)
def test_registrable_domain(host: str, expected: str) -> None:
    assert registrable_domain(host) == expected


def test_public_suffixes() -> None:
    assert is_public_suffix("com")
    assert is_public_suffix("co.uk")
    assert not is_public_suffix("example.com")
    assert not is_public_suffix("unlisted")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4.", "1.2.3.4"),
        ("1.2.772", "1.2.3.4"),
        ("1.131844", "1.2.3.4"),
        ("16909060", "1.2.3.4"),
        ("0x1.0x2.03.4", "1.2.3.4"),
        ("0x", "0.0.0.0"),
        ("256.1.1.1", ""),
        ("1.2.3.256", ""),
        ("1.2.3.4.5", ""),
        ("4294967296", ""),
        ("08.1.1.1", ""),
        ("1..2", ""),
        ("", ""),
        ("example.com", ""),
        ("9" * 100, ""),
    ],
)
def test_parse_ipv4(host: str, expected: str) -> None:
    assert parse_ipv4(host) == expected
