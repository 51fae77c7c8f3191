"""Literals: every text an expression matches holds one of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.ruleset.expressions import ExpressionError, compile_expression
from filterproxy.ruleset.keys import key_of
from filterproxy.ruleset.limited import LimitedExpression
from filterproxy.ruleset.literals import required_literals
from filterproxy.ruleset.normal_form import normal_form
from filterproxy.ruleset.prefilter import fold


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        ("lottery", {"lottery"}),
        ("LOTTERY", {"lottery"}),
        (r"(?i)\blottery\b", {"lottery"}),
        (r"you\s+have\s+won", {"you have won"}),
        (r"you have (?:just )?won", {"you have won", "you have just won"}),
        (r"(?:bank|trust) of nigeria", {"bank of nigeria", "trust of nigeria"}),
        (r"million.{0,40}inheritance", {"inheritance"}),
        (r"[vw]iagra", {"viagra", "wiagra"}),
        (r"[^v]iagra", {"iagra"}),
        (r"\$[0-9,.]+ million", {" million"}),
        (r"\Qa.b*c\E", {"a.b*c"}),
        (r"(?P<word>prize)\x21", {"prize!"}),
        (r"pr[i\x{69}]ze", {"prize"}),
        (r"(?:ab){3}", {"ababab"}),
        (r"(?:urgent)+", {"urgent"}),
        (r"ВНИМАНИЕ", {"внимание"}),
        (r"恭喜您", {"恭喜您"}),
        (r"straße|urgent", {"stra", "urgent"}),
        (r"a{,2}urgent", {"a{,2}urgent"}),
    ],
)
def test_literals(pattern, literals):
    assert required_literals(pattern, plain=True).texts == literals


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        ("lottery", 7),
        (r"\ba.{0,40}b$", 42),
        (r"you\s+won", 7),
        ("(?:one|three)?", 5),
        (r"[a-z]{2,5}\d\pL", 7),
        (".*", 0),
        (r"a[^\W\d ]+[a ]+", 0),
        ("a[^b]*c", 0),
        ("(?:ab)+", 0),
        ("(?:a|.*)", 0),
        ("(?z)", 0),
    ],
)
def test_how_long_a_match_is(pattern, longest):
    assert required_literals(pattern, plain=True).longest == longest


@pytest.mark.parametrize(
    ("pattern", "longest", "runs", "gaps"),
    [
        (r"a\w+ \S*", 2, 2, 0),
        (r"(?:\w+ ){0,3}a", 4, 3, 0),
        ("(?:a|b*c+)", 1, 2, 0),
        (r"[a-z.]+@[^\s>]*", 1, 2, 0),
        (r"[a-z ]+@", 0, 0, 0),
        (r"[[:alpha:]]+@", 0, 0, 0),
        (r"a[\s,.-]+b\d+\W*", 2, 1, 2),
    ],
)
def test_how_many_stretches_of_any_length_it_has_besides(pattern, longest, runs, gaps):
    literals = required_literals(pattern, plain=True)
    assert (literals.longest, literals.runs, literals.gaps) == (longest, runs, gaps)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{16}",
        r"[A-Z]{20}",
        r"a|urgent",
        r"(?:urgent)?",
        r"(?:urgent)*",
        r"(?:urgent){0,3}",
        r".*",
        "",
        r"the",
        r"\pL+",
        r"[[:alpha:]]{9}",
        r"(?=urgent)",
        r"\Qurgent\E*",
        r"\Qab",
        "(urgent",
        "[urgent",
        "(?z:urgent)",
        "\\",
        "(" * 200 + "urgent" + ")" * 200,
    ],
)
def test_expressions_without_literals(pattern):
    assert required_literals(pattern, plain=True).texts == frozenset()


def test_raw_bytes_have_no_literals_outside_ascii_and_no_known_white_space():
    assert required_literals("verfügbare", plain=False).texts in ({"gbare"}, {"verf"})
    assert required_literals(r"you\s+win ", plain=False).texts == {"win "}


ATOMS = st.sampled_from([
    " ", "a", "B", "ab", "abcd", "é", "É", "ß", "ſ", "K", "в", r"\s", r"\s+", r"\s*", ".", r"\w", "[ab]", "[^a]",
    "[a-c]", r"[\sab]", r"\b", "^", "$", r"\.", r"\x61", r"\x{e9}", r"\Qab\E", "[]a]",
    "[a-]", r"[\]x]", "[[:digit:]b]", r"\pL",
])  # fmt: skip


def _expressions():
    def extend(inner):
        groups = st.builds(
            "{}{}{}".format, st.sampled_from(["(", "(?:", "(?i:", "(?s-i:", "(?P<n>"]), inner, st.just(")")
        )
        repeated = st.builds(
            "{}{}".format, groups, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "{1,3}?", "+?", "{,2}"])
        )
        alternatives = st.builds("(?:{}|{})".format, inner, inner)
        return st.one_of(groups, repeated, alternatives, st.builds("{}{}".format, inner, inner))

    atoms = st.builds("{}{}".format, ATOMS, st.sampled_from(["", "", "", "*", "+", "?", "{2}"]))
    return st.recursive(atoms, extend, max_leaves=10)


@settings(max_examples=600)
@given(
    _expressions(),
    st.booleans(),
    st.lists(st.text("aAbBcdDéÉßſKkвᲀ .x]-", max_size=12), min_size=1, max_size=8),
)
def test_every_match_holds_a_literal(expression, ignore_case, texts):
    pattern = ("(?i)" if ignore_case else "") + expression
    try:
        regex = compile_expression(pattern)
    except ExpressionError:
        return
    if isinstance(regex, LimitedExpression):
        return  # their literals are those of the wider expression
    literals = required_literals(pattern, plain=True)
    for text in ["".join(texts), *texts]:
        plain = " ".join(text.split())
        found = regex.search(plain.encode())
        if found is None:
            continue
        matched = found[0].decode()
        gap = max(map(len, re.split("[A-Za-z]", plain)))
        longest = literals.longest + literals.runs * max(map(len, plain.split(" "))) + literals.gaps * gap
        assert not longest or len(matched) <= longest, (pattern, plain, literals)
        if literals.texts:
            folded = fold(matched)
            assert any(literal.encode() in folded for literal in literals.texts), (pattern, plain, literals)
            lower = folded.decode()
            least = min(lower.find(literal) for literal in literals.texts if literal in lower)
            starts = {at for literal in literals.texts for at in range(len(lower)) if lower.startswith(literal, at)}
            assert literals.before is None or least <= literals.before, (pattern, plain, literals)
            assert not literals.fixed or literals.before in starts, (pattern, plain, literals)
            begin = len(plain.encode()[: found.start()].decode())
            edged = f" {re.sub('[^a-z0-9_]', ' ', fold(plain).decode())} "[begin : begin + len(matched) + 2]
            assert (
                not all(map(str.isascii, literals.keys))
                or not plain.isascii()
                or any((key_of(key).exact or key_of(key).text.decode() in edged) for key in literals.keys)
            ), (pattern, plain, literals)


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        (r"\blottery\b", {"\blottery\b"}),
        (r"^(?:sign|view)\b.{0,40}\bdocuments", {"\bdocuments"}),
        (r"\A(?:scr|pif)\z", {"\bscr\b", "\bpif\b"}),
        (r"lotte\Bry", {"lottery"}),
        (r"\x08lottery", {"lottery"}),
    ],
)
def test_where_no_word_goes_on_is_known(pattern, keys):
    assert required_literals(pattern, plain=True).keys == keys


@pytest.mark.parametrize(
    ("pattern", "before", "fixed"),
    [
        (r"\blottery", 0, True),
        (r"(?:my|our) lottery", 0, True),
        (r"[^x].lottery", 2, True),
        (r".{2,5}lottery", 5, False),
        (r"(?:.|..)lottery", 2, False),
        (r"\w+lottery", None, False),
        (r".*lottery", None, False),
        (r"lottery.*", 0, True),
        (r".(?:lottery|.sweepstake)", 2, False),
        (r".(?:lottery|sweepstake)x?", 1, True),
        (r"(?:.lottery\d){2}", 1, True),
    ],
)
def test_how_much_of_a_match_stands_before_a_literal(pattern, before, fixed):
    literals = required_literals(pattern, plain=True)
    assert (literals.before, literals.fixed) == (before, fixed)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["a", "é", "É", "\xff", "d", "bcde", r"\s", "."]), min_size=1, max_size=8), st.binary())
def test_every_match_in_raw_bytes_holds_a_literal(pieces, noise):
    pattern = "(?i)" + "".join(pieces)
    regex = compile_expression(pattern, raw=True)
    literals = required_literals(pattern, plain=False)
    for data in (noise, pattern[4:].encode(), pattern[4:].upper().encode(), noise + pattern[4:].lower().encode()):
        found = regex.search(data)
        if found is not None and literals.texts:
            assert any(literal.encode() in found[0].lower() for literal in literals.texts)


def test_normal_form_is_what_plain_means():
    assert normal_form("you \r\n\t have\u00a0 won", 100) == "you have won"
