"""URLs in text and links: what is found, how it is taken apart, what is no URL."""

from __future__ import annotations

import pytest

from filterproxy.message import Limits, Message, Url
from filterproxy.message.urls import parse_href, scan_text


def scan(text: str) -> list[str]:
    return [url.text for url in scan_text(text, "text", Limits(), set())]


def href(text: str) -> Url | None:
    return parse_href(text, "html", Limits(), set())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("nothing here. Nor there", []),
        ("see http://example.com/a?b=c#d now", ["http://example.com/a?b=c#d"]),
        ("HTTPS://EXAMPLE.COM", ["HTTPS://EXAMPLE.COM"]),
        ("ftp://example.com/x", ["ftp://example.com/x"]),
        ("<http://example.com/>", ["http://example.com/"]),
        ('"http://example.com/"', ["http://example.com/"]),
        ("(see http://example.com/a_(b)).", ["http://example.com/a_(b)"]),
        ("http://example.com/), http://example.org!", ["http://example.com/", "http://example.org"]),
        ("www.example.com and WWW2.example.com/x", ["www.example.com", "WWW2.example.com/x"]),
        ("www.münchen.example/x", ["www.münchen.example/x"]),
        ("visit example.com, now", ["example.com"]),
        ("example.com:8080/x", ["example.com:8080/x"]),
        ("sub.example.co.uk", ["sub.example.co.uk"]),
        ("x.museum/path", ["x.museum/path"]),
        ("请访问http://example.com，谢谢", ["http://example.com"]),
        ("请访问 http://例え.jp。", ["http://例え.jp"]),
        ("a,http://example.com/,b", ["http://example.com/,b"]),
        ("http://1.2.3.4/x http://[2001:db8::1]:80/", ["http://1.2.3.4/x", "http://[2001:db8::1]:80/"]),
        # No link for anybody.
        ("hxxp://example.com", []),
        ("hxxps://example.com/x", []),
        ("example[.]com www[.]example[.]com", []),
        ("http://example[.]com/", []),
        ("a@example.com first.last@example.co.uk", []),
        ("end.Next sentence.Here", []),
        ("file.py notes.txt e.g. 1.5 v2.0", []),
        ("x.museum", []),
        ("http://", []),
        ("http:///", []),
        ("mailto:a@example.com javascript:x.y", []),
    ],
)
def test_scan_text(text: str, found: list[str]) -> None:
    assert scan(text) == found


@pytest.mark.parametrize(
    ("text", "host", "domain"),
    [
        ("http://example.com", "example.com", "example.com"),
        ("http://WWW.Example.CO.UK./", "www.example.co.uk", "example.co.uk"),
        ("http://localhost/", "localhost", ""),
        ("http://co.uk/", "co.uk", ""),
        ("http://bücher.example/", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("http://ｅｘａｍｐｌｅ。com/", "example.com", "example.com"),
        ("http://ex%61mple.com/", "example.com", "example.com"),
        ("http://a_b.example.com/", "a_b.example.com", "example.com"),
        ("http://user:pw@example.com/", "example.com", "example.com"),
        ("http://bank.example@evil.example/", "evil.example", "evil.example"),
        ("http://bank.example:80@evil.example:8080/", "evil.example", "evil.example"),
        ("http://bank.example\\@evil.example/", "bank.example", "bank.example"),
        ("http://bank.example#@evil.example/", "bank.example", "bank.example"),
        ("http://bank.example?@evil.example/", "bank.example", "bank.example"),
        ("http:\\\\example.com\\x", "example.com", "example.com"),
        ("http:////example.com", "example.com", "example.com"),
        ("http:example.com", "example.com", "example.com"),
        ("ht\ntp://exam\tple.com/", "example.com", "example.com"),
        (" \x01http://example.com ", "example.com", "example.com"),
        ("//example.com/x", "example.com", "example.com"),
        ("www.example.com", "www.example.com", "example.com"),
        ("example.com/x", "example.com", "example.com"),
        # IP addresses in every spelling.
        ("http://127.0.0.1/", "127.0.0.1", ""),
        ("http://2130706433/", "127.0.0.1", ""),
        ("http://0x7f000001/", "127.0.0.1", ""),
        ("http://0177.0.0.1/", "127.0.0.1", ""),
        ("http://127.1/", "127.0.0.1", ""),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1", ""),
        ("http://[2001:DB8:0::1]/", "2001:db8::1", ""),
    ],
)
def test_hosts(text: str, host: str, domain: str) -> None:
    url = href(text)
    assert url is not None
    assert (url.host, url.domain) == (host, domain)


@pytest.mark.parametrize(
    "text",
    [
        "", "#top", "/path", "page.html", "mailto:a@example.com", "tel:+39055", "javascript:alert(1)", "data:a,x",
        "http://", "http://[x]/", "http://a b/", "http://exa<mple/", "cid:part1@example.com", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_no_url(text: str) -> None:
    assert href(text) is None


def test_all_parts() -> None:
    assert href("https://u:p@www.example.com:8443/a/b?c=d&e#f") == Url(
        text="https://u:p@www.example.com:8443/a/b?c=d&e#f", scheme="https", host="www.example.com",
        domain="example.com", port=8443, path="/a/b", query="c=d&e", userinfo="u:p", source="html",
    )  # fmt: skip


def test_long_urls_are_cut_and_told() -> None:
    defects: set[str] = set()
    url = parse_href("http://example.com/" + "a" * 5_000, "html", Limits(), defects)
    assert url is not None
    assert len(url.text) == Limits().url_length
    assert defects == {"url_limit"}


def test_urls_of_a_message() -> None:
    message = Message(
        b"Subject: www.example.org\nContent-Type: text/html\n\n"
        b'<a href="http://evil.example.com/">http://bank.example.net/</a><img src="http://img.example.com/1.png">'
    )
    assert [(url.source, url.host, url.display) for url in message.urls] == [
        ("header", "www.example.org", ""),
        ("html", "evil.example.com", "http://bank.example.net/"),
        ("html", "img.example.com", ""),
        ("text", "bank.example.net", ""),
    ]


def test_repeated_urls_count_once() -> None:
    assert len(Message(b"A: b\n\n" + b"http://example.com/ " * 50).urls) == 1


def test_urls_are_limited() -> None:
    message = Message(b"A: b\n\nhttp://a.example/ http://b.example/ http://c.example/", limits=Limits(urls=2))
    assert [url.host for url in message.urls] == ["a.example", "b.example"]
    assert message.defects == {"url_limit"}
