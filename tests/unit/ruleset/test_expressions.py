"""Expressions: what RE2 cannot take runs under a time limit, or is named with what to write instead."""

from __future__ import annotations

import pytest

from filterproxy.ruleset.expressions import (
    MAX_LENGTH,
    ExpressionError,
    any_of,
    check_ranges,
    compile_expression,
    literally,
)


@pytest.mark.parametrize(
    ("pattern", "reason", "hint"),
    [
        ("a(?=b", "the expression is wrong: missing )", ""),
        ("(?<!b)a**", "the expression is wrong", ""),
        ("(?(1)a|b)", "the expression is wrong: invalid group reference", ""),
        (r"a(?!b)\Z", r"\Z ('\\Z' at character 7) is not supported", r"\z"),
        (r"a\Z", r"\Z ('\\Z' at character 2)", r"\z"),
        ("(?x)a b", "the flag x", "without extra white space"),
        ("(a", "missing ): (a", ""),
        ("a**", "bad repetition operator: **", ""),
        ("a" * (MAX_LENGTH + 1), "more than 20000 characters", "in_list"),
    ],
)
def test_errors_say_what_would_be_right(pattern, reason, hint):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(pattern)
    assert reason in caught.value.reason
    assert hint in caught.value.hint


@pytest.mark.parametrize("pattern", ["[à-ü]", "x[^aà-z]", "[b-é]"])
def test_a_range_of_accented_letters_is_refused(pattern):
    with pytest.raises(ExpressionError, match="accents are removed") as caught:
        check_ranges(pattern)
    assert "normalize: false" in caught.value.hint


def test_other_ranges_are_fine():
    check_ranges(r"[a-zé] é-è [а-я]")


def test_an_escaped_backslash_is_no_backreference():
    assert compile_expression(r"a\\1").search(rb"a\1")


def test_raw_expressions_see_bytes():
    assert compile_expression(r"\xE8", raw=True).search(b"\xe8")
    assert compile_expression("è", raw=True).search("è".encode())
    assert not compile_expression(r"\xE8").search(b"\xe8")


def test_a_large_expression_is_no_problem_and_a_huge_one_is_said():
    words = "|".join(f"word{number}{'xyz' * 3}" for number in range(1000))
    assert compile_expression(words).search(b"a word999xyzxyzxyz")
    with pytest.raises(ExpressionError, match="pattern too large"):
        compile_expression(r"(?:\pL\pN\pL\pN\pL\pN){900}")


def test_alternatives_and_literal_texts():
    assert any_of(["a|b", "c"]) == "(?:a|b)|(?:c)"
    assert compile_expression(literally(["1+1", "a.b"])).search(b"x 1+1").group() == b"1+1"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "text"),
    [("(a+)+$", b"a" * 200_000 + b"!"), (r"\s+$", b" " * 80_000 + b"x"), ("(x+x+)+y", b"x" * 200_000)],
)
def test_no_expression_takes_more_than_linear_time(pattern, text):
    assert compile_expression(pattern).search(text) is None
