"""The body as rules of SpamAssassin see it: paragraphs on one line, decoded parts in pieces, addresses in all forms."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.message import Message
from filterproxy.ruleset.spamassassin.bodies import body_lines, raw_body, render, squeezed
from filterproxy.ruleset.spamassassin.uris import uris


def test_paragraphs_are_lines_and_the_subject_is_the_first():
    message = Message(b"Subject: =?utf-8?q?H=C3=A9llo?=\r\n\r\nOne\r\ntwo   three\r\n\r\n\r\nfour\r\n")
    assert body_lines(message) == ["Héllo\n".encode(), b"One two three\n", b"four "]


def test_long_lines_are_divided_at_a_blank():
    lines = body_lines(Message(b"Subject: x\n\n" + b"word " * 1000))
    assert [len(line) for line in lines[1:]] == [2045, 2045, 910]


@given(st.text(alphabet="ab \n\t", max_size=12))
def test_white_space_becomes_one_blank_or_one_line_end(text):
    def squeeze(match: re.Match[str]) -> str:
        run = match[0]
        first, last = run.find("\n"), run.rfind("\n")
        return " " if first == last else " " * bool(first) + "\n" + " " * (last + 1 < len(run))

    assert squeezed(text) == re.sub(r"\s+", squeeze, text)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one</p><p>two", "one\n\n\n\ntwo"),
        ("<b>a</b>b <br> c", "ab\nc"),
        ("<title>T</title><td>x<td>y", "T\n\n x y"),
        ("a<script>b</script><style>c</style>d", "ad"),
        ("&lt;b&gt;&nbsp;&eacute;", "<b> é"),
    ],
)
def test_html_is_rendered(source, text):
    assert render(source).strip() == text


def test_decoded_parts_keep_their_markup_and_come_in_pieces():
    head = b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"
    assert raw_body(Message(head + b"<b>a=3Db</b>  \nc")) == [b"<b>a=b</b>\nc"]
    pieces = raw_body(Message(b"\n" + b"a line of text\n" * 1000))
    assert b"".join(pieces) == b"a line of text\n" * 1000
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see http://a.example.com/x?y=1.", {"http://a.example.com/x?y=1"}),
        ("www.example.com!", {"http://www.example.com"}),
        ("mail me@example.com now", {"mailto:me@example.com"}),
        ("http://example.com/%41b", {"http://example.com/%41b", "http://example.com/Ab"}),
        ("http://example.com/r?u=http://other.org/z", {"http://example.com/r?u=http://other.org/z", "http://other.org/z"}),
        ("http://example.com:80/", {"http://example.com:80/", "http://example.com/"}),
        ("http://2130706433/x", {"http://2130706433/x", "http://127.0.0.1/x"}),
        ("nothing here", set()),
    ],
)  # fmt: skip
def test_addresses_and_their_forms(text, found):
    assert {uri.decode() for uri in uris(Message(b"\n" + text.encode()))} == found


@pytest.mark.parametrize("text", ["@" * 50_000, "a@" * 30_000, "http://" * 20_000, "a." * 40_000, "<" * 50_000])
def test_text_made_to_be_slow_is_read_all_the_same(text):
    message = Message(b"Content-Type: text/html\n\n" + text.encode())
    assert len(uris(message)) <= 1100
    assert body_lines(message)
