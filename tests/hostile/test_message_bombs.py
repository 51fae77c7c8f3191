"""Message content made to cost time or memory: each case has a time limit and names the defect that must tell of it.

The time limits are those of the threat list; processor time is measured, so that a busy machine fails no test.
"""

from __future__ import annotations

import base64
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from filterproxy.message import DEFECTS, Limits, Message, message_digest, strip_verdict_headers
from tests.unit.message.reading import read_everything

FROM = b"From: a@example.org\nTo: b@example.net\nSubject: x\n"
MULTIPART = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="%s"\n'
PART = b"Content-Type: text/plain\n\npart\n"
HTML = FROM + b"Content-Type: text/html; charset=utf-8\n\n"


def nested_multipart(depth: int) -> bytes:
    opened = b"".join(MULTIPART % b"b%d" % level + b"\n--b%d\n" % level for level in range(depth))
    return FROM + opened + PART + b"".join(b"\n--b%d--\n" % level for level in reversed(range(depth)))


def nested_same_boundary(depth: int) -> bytes:
    return FROM + (MULTIPART % b"b" + b"\n--b\n") * depth + PART


def nested_messages(depth: int) -> bytes:
    return FROM + b"Content-Type: message/rfc822\n\n" * depth + PART


def nested_messages_in_multiparts(depth: int) -> bytes:
    levels = (
        MULTIPART % b"b%d" % level + b"\n--b%d\nContent-Type: message/rfc822\n\n" % level for level in range(depth)
    )
    return FROM + b"".join(levels) + PART


def many_parts(count: int) -> bytes:
    return FROM + MULTIPART % b"b" + b"\n" + (b"--b\n" + PART) * count + b"--b--\n"


def field(name: bytes, value: bytes) -> bytes:
    return name + b": " + value + b"\nSubject: x\n\nbody\n"


def encoded_word(text: bytes) -> bytes:
    return b"=?utf-8?B?" + base64.b64encode(text) + b"?="


@dataclass(frozen=True)
class Bomb:
    """A message, the seconds it may take, and the defects that must be found in it."""

    name: str
    build: Callable[[], bytes]
    seconds: float
    defects: frozenset[str] = frozenset()


def bomb(name: str, build: Callable[[], bytes], seconds: float, *defects: str) -> Bomb:
    return Bomb(name, build, seconds, frozenset(defects))


BOMBS = [
    # Header fields.
    bomb("20,000 header fields", lambda: b"X-A: b\n" * 20_000 + FROM + b"\nbody\n", 1, "header_limit"),
    bomb("a header field of 100 KB", lambda: field(b"Subject", b"a" * 110_000), 1, "header_value_limit"),
    bomb("a header field of 1 MB folded at each word", lambda: field(b"Subject", b"a\n " * 350_000), 1),
    bomb("a header line of 1 MB spaces", lambda: field(b"Subject", b" " * 1_000_000 + b"x"), 1, "header_value_limit"),
    bomb("60 Received fields", lambda: b"Received: from a by b; x\n" * 60 + FROM + b"\nbody\n", 1),
    bomb("1 MB of header names without colon", lambda: b"a" * 1_000_000 + b"\n\nbody\n", 1),
    bomb("100,000 lines that look like mbox separators", lambda: b"From x\n" * 100_000 + FROM + b"\nbody", 1),
    bomb("100,000 fields without name", lambda: b": x\n" * 100_000 + FROM + b"\nbody", 1, "bad_header"),
    # MIME.
    *(bomb(f"multipart {depth} deep", lambda depth=depth: nested_multipart(depth), 2) for depth in (50, 99)),
    *(
        bomb(f"multipart {depth} deep", lambda depth=depth: nested_multipart(depth), 2, "nesting_limit")
        for depth in (101, 500, 2000, 20_000)
    ),
    bomb("2,000 nested multiparts of one boundary", lambda: nested_same_boundary(2_000), 2),
    *(bomb(f"message/rfc822 {depth} deep", lambda depth=depth: nested_messages(depth), 2) for depth in (50, 99)),
    *(
        bomb(f"message/rfc822 {depth} deep", lambda depth=depth: nested_messages(depth), 2, "nesting_limit")
        for depth in (101, 500, 2_000, 20_000)
    ),
    bomb("messages in multiparts", lambda: nested_messages_in_multiparts(2_000), 2, "nesting_limit"),
    bomb("10,000 parts", lambda: many_parts(10_000), 2, "parts_limit"),
    bomb("1,000,000 boundary lines", lambda: FROM + MULTIPART % b"b" + b"\n" + b"--b\n" * 1_000_000, 2, "parts_limit"),
    bomb("1,000,000 lines almost a boundary", lambda: FROM + MULTIPART % b"b" + b"\n" + b"--bc\n" * 1_000_000, 2),
    bomb("a boundary of 100 KB", lambda: FROM + MULTIPART % (b"b" * 90_000) + b"\n--" + b"b" * 90_000 + b"\nx", 1),
    # Structured fields.
    bomb("100,000 addresses", lambda: field(b"From", b"a@b.c," * 100_000), 1, "header_value_limit"),
    bomb("10,000 addresses", lambda: field(b"From", b"a@b.c," * 10_000), 1, "address_limit"),
    bomb("2,000 From fields", lambda: b"From: a@b.c, d@e.f\n" * 2_000 + b"\nx", 1, "address_limit"),
    bomb("100,000 open comments", lambda: field(b"From", b"(" * 100_000 + b"a@b.c"), 1),
    bomb("50,000 nested comments", lambda: field(b"From", b"(" * 50_000 + b")" * 50_000 + b"a@b.c"), 1),
    bomb("comments never closed", lambda: field(b"From", b"(a" * 50_000), 1),
    bomb("open quotes", lambda: field(b"From", b'"\\"' * 33_000), 1),
    bomb("open angles", lambda: field(b"From", b"<" * 100_000), 1),
    bomb("open domain literals", lambda: field(b"From", b"a@[" * 33_000), 1),
    bomb("at signs", lambda: field(b"From", b"@" * 100_000), 1),
    bomb("groups", lambda: field(b"From", b"a:" * 50_000), 1),
    bomb("backslashes", lambda: field(b"From", b"\\" * 100_000), 1),
    bomb("words without address", lambda: field(b"From", b"a " * 50_000), 1),
    bomb("dots", lambda: field(b"From", b"a@" + b"." * 100_000), 1),
    bomb("a domain of 100 KB outside ASCII", lambda: field(b"From", b"a@" + "é".encode() * 50_000), 1),
    bomb("50,000 encoded words", lambda: field(b"Subject", b"=?utf-8?Q?a?= " * 7_000), 1, "encoded_word_limit"),
    bomb("encoded words never closed", lambda: field(b"Subject", b"=?utf-8?Q?" * 10_000), 1),
    bomb("encoded words almost closed", lambda: field(b"Subject", b"=?a?Q?" + b"?a" * 50_000), 1),
    bomb("encoded words in addresses", lambda: field(b"From", (encoded_word(b"a@b.c") + b", ") * 4_000), 1),
    bomb("an encoded word full of addresses", lambda: field(b"From", encoded_word(b"a@b.c," * 12_000)), 1),
    bomb("encoded words of every charset", lambda: field(b"Subject", b"=?x-%d?Q?=FF?= " * 5_000 % (*range(5_000),)), 1),
    bomb(
        "10,000 parameters",
        lambda: field(b"Content-Type", b"text/plain" + b"".join(b"; p%d=x" % n for n in range(10_000))),
        1,
        "parameter_limit",
    ),
    bomb(
        "10,000 sections of one parameter",
        lambda: field(b"Content-Type", b"a/b" + b"".join(b";n*%d*=%%41" % n for n in range(9_000))),
        1,
        "parameter_limit",
    ),
    bomb("a parameter of 90 KB in percent", lambda: field(b"Content-Type", b"a/b; n*=utf-8''" + b"%e9" * 30_000), 1),
    bomb("semicolons", lambda: field(b"Content-Type", b"a/b" + b";" * 100_000), 1),
    bomb("spaces in parameters", lambda: field(b"Content-Type", b"a/b; n" + b" " * 90_000 + b"x"), 1),
    bomb("comments in the type", lambda: field(b"Content-Type", b"a/b" + b"(" * 90_000), 1),
    # Text and transfer encodings.
    bomb("80 KB of spaces in a line", lambda: FROM + b"\na" + b" " * 80_000 + b"b\n", 1),
    bomb("8 MB of spaces in a line", lambda: FROM + b"\na" + b" " * 8_000_000 + b"b\n", 2, "text_limit"),
    bomb("a line of 8 MB", lambda: FROM + b"\n" + b"a" * 8_000_000, 2, "text_limit"),
    bomb("a line of 8 MB of dots", lambda: FROM + b"\n" + b"a." * 4_000_000, 2, "text_limit"),
    bomb(
        "500 texts of no charset",
        lambda: FROM + MULTIPART % b"b" + b"\n" + (b"--b\n\n" + bytes(range(128, 256)) * 40 + b"\n") * 500,
        2,
        "bad_charset",
    ),
    bomb("2 MB of equals signs", lambda: FROM + b"Content-Transfer-Encoding: base64\n\n" + b"=" * 2_000_000, 1),
    bomb("padding everywhere", lambda: FROM + b"Content-Transfer-Encoding: base64\n\n" + b"QQ==" * 500_000, 1),
    bomb("soft breaks", lambda: FROM + b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=\n" * 1_000_000, 1),
    bomb("NULs", lambda: b"\0" * 2_000_000, 1, "nul"),
    bomb("NULs in the body", lambda: FROM + b"\n" + b"\0" * 2_000_000, 1, "nul"),
    # URLs.
    bomb(
        "100,000 URLs",
        lambda: FROM + b"\n" + b"".join(b"http://%d.org/ " % n for n in range(99_000)),
        2,
        "url_limit",
    ),
    bomb("a URL of 1 MB", lambda: FROM + b"\nhttp://example.com/" + b"a" * 1_000_000, 1, "url_limit"),
    bomb("parentheses after a URL", lambda: FROM + b"\n" + (b"http://e.com/" + b")" * 1_900 + b" ") * 900, 2),
    bomb("www never ends", lambda: FROM + b"\n" + b"www." * 400_000, 1),
    bomb("www without dots", lambda: FROM + b"\n" + b",www.a" * 300_000, 1),
    bomb("bare domains", lambda: FROM + b"\n" + b"".join(b"a%d.com " % n for n in range(150_000)), 2, "url_limit"),
    bomb("labels", lambda: FROM + b"\n" + b"a-." * 500_000, 1),
    bomb("userinfo", lambda: FROM + b"\nhttp://" + b"a@" * 500_000, 1, "url_limit"),
    # HTML.
    bomb("1,000,000 open tags", lambda: HTML + b"<b>" * 1_000_000, 2, "html_limit"),
    bomb("1,000,000 open blocks", lambda: HTML + b"<div>" * 1_000_000, 2, "html_limit"),
    bomb("99,000 distinct open tags", lambda: HTML + b"".join(b"<b%d>" % n for n in range(99_000)), 2, "html_limit"),
    bomb(
        "formatting copied into every block",
        lambda: HTML + b"".join(b"<b id=%d><p>" % n for n in range(20_000)) + b"</b>x" * 20_000,
        2,
        "html_limit",
    ),
    bomb("400,000 attributes", lambda: HTML + b"<div " + b"".join(b"a%d " % n for n in range(280_000)) + b">x", 2),
    bomb("end tags that close nothing", lambda: HTML + b"<div><button>" + b"<i>" * 250 + b"</div>" * 300_000, 2),
    bomb("2,000,000 angle brackets", lambda: HTML + b"<" * 2_000_000, 2),
    bomb("comments never closed", lambda: HTML + b"<!--" * 500_000, 2),
    bomb("quotes never closed", lambda: HTML + b"<a x=\"'" * 250_000, 2),
    bomb("scripts never closed", lambda: HTML + b"<script>" * 250_000, 2),
    bomb("huge character references", lambda: HTML + b"&#" + b"9" * 1_900_000, 2),
    bomb("links in links", lambda: HTML + b"<a href=http://e.com/><table><td>text" * 50_000, 2, "html_limit"),
    bomb("900 styles", lambda: HTML + b"".join(b'<p style="%04d%s">' % (n, b"a" * 1_990) for n in range(900)), 2),
    bomb("900 blanks", lambda: HTML + b"".join(b'<p style="%04d:%s!">' % (n, b" " * 1_990) for n in range(900)), 2),
    bomb("900 comments", lambda: HTML + b"".join(b'<p style="%04d%s">' % (n, b"/*" * 990) for n in range(900)), 2),
    bomb("a style of 1 MB", lambda: HTML + b'<p style="' + b"color:red;" * 100_000 + b'">x', 2),
    bomb(
        "1,000 HTML parts full of tags",
        lambda: FROM + MULTIPART % b"b" + b"\n" + (b"--b\nContent-Type: text/html\n\n" + b"<p>" * 500 + b"\n") * 1_000,
        2,
        "html_limit",
    ),
    bomb("HTML of 8 MB", lambda: HTML + b"<p>text" * 1_200_000, 2, "text_limit", "html_limit"),
]


@pytest.mark.parametrize("case", BOMBS, ids=lambda case: case.name)
def test_bomb_is_defused(case: Bomb) -> None:
    raw = case.build()
    message = Message(raw)
    started = time.process_time()
    read_everything(message)
    took = time.process_time() - started
    assert case.defects <= message.defects <= DEFECTS.keys()
    assert took < case.seconds


@pytest.mark.parametrize("case", BOMBS, ids=lambda case: case.name)
def test_verdict_fields_of_a_bomb_are_found_in_time(case: Bomb) -> None:
    raw = case.build()
    started = time.process_time()
    assert len(strip_verdict_headers(raw)) <= len(raw)
    assert len(message_digest(raw)) == 64
    assert time.process_time() - started < case.seconds


def test_memory_stays_near_the_size_of_the_message() -> None:
    raw = HTML + b"".join(b"<b id=%d><p>" % n for n in range(20_000)) + b"</b>x" * 20_000
    tracemalloc.start()
    read_everything(Message(raw))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


def test_archives_are_listed_and_never_unpacked() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    entry = b"PK\x01\x02" + bytes(6) + b"\x08\0" + bytes(8)
    sizes = len(bomb).to_bytes(4, "little") + (50_000_000).to_bytes(4, "little")
    directory = (entry + sizes + (5).to_bytes(2, "little") + bytes(16) + b"a.bin") * 3_000
    end = b"PK\x05\x06" + bytes(8) + len(directory).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + b"\0\0"
    archive = base64.encodebytes(bomb + directory + end)
    raw = FROM + b"Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\n" + archive
    message = Message(raw)
    tracemalloc.start()
    members = message.attachments[0].members
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(members) == Limits().archive_members
    assert members[0].name == "a.bin"
    assert members[0].size == 50_000_000
    assert "archive_limit" in message.defects
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("raw", "defects"),
    [
        (b"", set()),
        (b"\r\n", set()),
        (b"no header fields at all\r\n", {"missing_separator"}),
        (FROM, set()),
        (FROM + b"\n", set()),
        (b"Subject: gr\xfc\xdfe\n\nbody\n", {"header_8bit"}),
        (b"Subject: gr\xc3\xbc\xc3\x9fe\n\nbody\n", set()),
        (b"Subject: a\0b\n\nbody\0\n", {"nul"}),
        (FROM + b"\nbody\xff\n", {"bad_charset"}),
        (FROM.replace(b"\n", b"\r\n") + b"\nmixed\rline\r\nends\n", {"bare_cr"}),
        (FROM.replace(b"\n", b"\r") + b"\rbare\rCR\r", {"bare_cr"}),
    ],
)
def test_odd_messages_are_read_and_told(raw: bytes, defects: set[str]) -> None:
    message = Message(raw)
    read_everything(message)
    assert message.defects == defects
    assert message.raw == raw
    assert raw.startswith(message.header_block)
    assert raw.endswith(message.body)


def test_truncated_message_says_so() -> None:
    assert Message(nested_multipart(5)[:300], truncated=True).defects >= {"truncated"}
    assert "truncated" not in Message(nested_multipart(5)).defects


def test_caches_hold_no_long_strings() -> None:
    """Thousands of messages with names of 100 KB must leave nothing behind."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(40):
        name = b"%d" % number + b"x" * 90_000
        fields = (name, b"X-Spam", b"ISO-8859-1"), (b"From", b"a@" + name + "é".encode(), name)
        for key, value, charset in fields:
            mail = b"%s: %s\nContent-Type: text/html; charset=%s\n\n" % (key, value, charset)
            mail += b'<a href="http://%s/"><p style="color:%s" bgcolor="%s">' % (name, name, name)
            read_everything(Message(mail))
            strip_verdict_headers(mail)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2 * 1024 * 1024
