"""Escaping: nothing that comes in can look like another line, another key or another direction."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.observability.escape import address, escape, listed, value


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("Grüße 日本", "Grüße 日本"),
        ("a\r\nb", r"a\x0d\x0ab"),
        ("a\x00\x1b[31m", r"a\x00\x1b[31m"),
        ("a\\x0a", r"a\\x0a"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        (b"raw\xff".decode("utf-8", "surrogateescape"), r"raw\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_unsafe_characters(text, escaped):
    assert escape(text, 100) == escaped


def test_long_text_is_cut_and_marked():
    assert escape("x" * 11, 10) == "x" * 10 + "…"
    assert escape("x" * 10, 10) == "x" * 10


def test_addresses_keep_their_brackets():
    assert address("a@example.org") == "<a@example.org>"
    assert address("") == address(None) == "<>"
    assert address("a> to=<b") == r"<a\x3e\x20to\x3d\x3cb>".replace(r"\x3d", "=")
    assert address("a@x,b@y") == r"<a@x\x2cb@y>"


def test_values_are_quoted_when_they_are_more_than_a_word():
    assert value("word") == "word"
    assert value("") == '""'
    assert value("two words") == '"two words"'
    assert value('say "x" action=reject') == r'"say \x22x\x22 action=reject"'


def test_options_cannot_leave_their_list():
    assert listed("a),B(9){c;d}") == r"a\x29\x2cB\x289\x29\x7bc\x3bd\x7d"


@given(st.text(max_size=300), st.integers(1, 200))
def test_whatever_comes_in_one_bounded_line_comes_out(text, limit):
    for result in (escape(text, limit), value(text, limit), address(text, limit), listed(text, limit)):
        assert len(result) <= limit * 10 + 3
        assert result.splitlines() in ([result], [])
        assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in result)
        result.encode()


@given(st.text(max_size=100))
def test_separators_never_pass(text):
    assert not set(address(text)[1:-1]) & set(' "<>,')
    assert not set(listed(text)) & set(' "=,;(){}[]<>')
    quoted = value(text)
    inside = quoted[1:-1] if quoted.startswith('"') else quoted
    assert '"' not in inside
    assert quoted == f'"{inside}"' or not set(inside) & set(" =,")


@given(st.text(max_size=100))
def test_different_texts_stay_different(text):
    """An escaped text can be told from a text that was written like the escape."""
    other = escape(text, 1000)
    assert other == text or escape(other, 1000) != other
