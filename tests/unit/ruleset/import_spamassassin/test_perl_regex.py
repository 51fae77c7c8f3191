"""Perl's expressions in our words: what they match, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.ruleset.expressions import compile_expression
from filterproxy.ruleset.import_spamassassin.perl_regex import PerlRegexError, translate
from filterproxy.ruleset.limited import LimitedExpression, TimeBudget


def found(written: str, data: bytes) -> bool:
    expression = translate(written)
    compiled = compile_expression(("(?i)" if expression.ignore_case else "") + expression.pattern, raw=True)
    if isinstance(compiled, LimitedExpression):
        assert expression.needs
        return next(compiled.find(data.decode("latin-1"), data, TimeBudget(1)), None) is not None
    return compiled.search(data) is not None


@pytest.mark.parametrize(
    ("written", "matches", "does_not"),
    [
        ("/foo/", b"a foo", b"FOO"),
        ("/foo/i", b"a FOO", b"fo"),
        ("m{a/b}", b"a/b", b"ab"),
        ("m!a\\!b!i", b"A!B", b"ab"),
        ("qr'x'", b"x", b"y"),
        ("/a.b/s", b"a\nb", b"ab"),
        ("/a.b/", b"a-b", b"a\nb"),
        ("/^b$/m", b"a\nb\nc", b"ab"),
        ("/^b$/", b"b\n", b"b\nc"),
        (r"/b\Z/", b"ab\n", b"b\nc"),
        (r"/\Ab\z/", b"b", b"b\n"),
        ("/a b # comment\n c/x", b"abc", b"a b c"),
        ("/a[ ]b/x", b"a b", b"ab"),
        ("/(?x: a b ) c/", b"ab c", b"abc"),
        (r"/\Qa.b\E./", b"a.bc", b"axbc"),
        (r"/\x41\x{42}\103/", b"ABC", b"abc"),
        (r"/\xe9/", b"\xe9", "é".encode()),
        (r"/\x{263A}/", "☺".encode(), b"x"),
        ("/\xc3\xa9/", "é".encode(), b"\xe9"),
        (r"/[\xe8-\xea]/", b"\xe9", b"e"),
        (r"/\h\v\R\N/", b" \n\r\nx", b" x"),
        (r"/[[:alpha:]]{3}[^[:digit:]]/", b"abc-", b"abc1"),
        (r"/[]a]b/", b"]b", b"bb"),
        (r"/[a&&b|~]c/", b"&c", b"dc"),
        (r"/a{,2}/", b"a{,2}", b"aa"),
        (r"/x{2}y{1,}/", b"xxyy", b"xy"),
        (r"/foo(?!bar)/", b"foobaz", b"foobar"),
        (r"/(?<!no)where/", b"anywhere", b"nowhere"),
        (r"/(?=.*b)a/", b"ab", b"ac"),
        (r"/(\w)\1/", b"aa", b"ab"),
        (r"/(?<n>\w)-\k<n>/", b"a-a", b"a-b"),
        (r"/(a)(b)\g{-1}/", b"abb", b"aba"),
        (r"/a++b/", b"aab", b"a"),
        (r"/(?>a+)b/", b"aab", b"aa"),
        (r"/(?i:a)b/", b"Ab", b"AB"),
        (r"/a(?#comment)b/", b"ab", b"a(b"),
        (r"/[^<]{1400}/", b"x" * 1400, b"x" * 1399),
        (r"/(?:,[^,]{1,90}){30}/", b",ab" * 30, b",ab" * 29),
        (r"/(?:a[^b]{0,600}){2,3}c/", b"axaxc", b"axc"),
        (r"/\//", b"/", b"x"),
        (r"/\@x\#/", b"@x#", b"x"),
    ],
)
def test_the_same_texts_match(written, matches, does_not):
    assert found(written, matches)
    assert not found(written, does_not)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("foo", "no delimiters"),
        ("/foo", "does not end with"),
        ("/foo/q", "unknown modifier 'q'"),
        ("/(foo/", "not closed"),
        ("/foo)/", "not opened"),
        ("/[a/", "a class is not closed"),
        ("/*a/", "nothing stands before"),
        ("/(?{ print 1 })/", "code"),
        ("/(??{ 1 })/", "code"),
        ("/(?(1)a|b)/", "a condition"),
        ("/(?R)/", "a condition or recursion"),
        (r"/\p{L}/", r"\p"),
        (r"/\2(a)/", "group 2"),
        ("/a\\/", "backslash"),
        ("/(?:abcdefghij{1000}){20000}/", "too many repetitions"),
    ],
)
def test_what_cannot_be_said_is_refused(written, reason):
    with pytest.raises(PerlRegexError, match=r".") as caught:
        translate(written)
    assert reason in str(caught.value)


@given(st.text(alphabet="ab\\()[]{}?*+|^$.<!=:#QEx1 /-", max_size=30), st.sampled_from(["", "i", "x", "smx"]))
def test_any_text_is_translated_or_refused(body, modifiers):
    try:
        translate(f"/{body}/{modifiers}")
    except PerlRegexError as error:
        assert str(error)
