"""The normal form: disguises go, words stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.ruleset.normal_form import normal_expression, normal_form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("  a\r\n b\u00a0\u2003c\t", "a b c"),
        ("via\u200bgra vi\u00adagra", "viagra viagra"),
        ("𝐁𝐢𝐭𝐜𝐨𝐢𝐧 Ｗｉｎ ﬁne", "Bitcoin Win fine"),
        ("don’t “quote” – dash", 'don\'t "quote" - dash'),
        ("Pаyраl", "Paypal"),
        ("Привет Paypal мир", "Привет Paypal мир"),
        ("e\u0301 z\u0300", "e z"),
        ("Größe façade señor Łódź ıſ", "Grose facade senor Lodz is"),
        ("한국어 ひらがな", "한국어 ひらがな"),
        ("\U000e0041\U000e0042x", "x"),
    ],
)
def test_normal_form(text, expected):
    assert normal_form(text, 1000) == expected


def test_it_is_cut_before_and_after_it_grows():
    assert len(normal_form("\ufdfa" * 100, 100)) <= 100
    assert normal_form("abcdef", 3) == "abc"


def test_many_different_invisible_characters_take_the_table():
    hidden = "".join(chr(0xE0000 + number) for number in range(100))
    assert normal_form(f"a{hidden}b", 1000) == "ab"


def test_expressions_are_treated_like_texts():
    assert normal_expression(r"caf[éè] d’été – \bü\pL") == r"caf[ee] d'ete - \bu\pL"
    assert normal_expression("привет") == "привет"


@given(st.text())
def test_it_is_stable_and_has_only_single_blanks(text):
    once = normal_form(text, 1000)
    assert once == " ".join(once.split())
    assert normal_form(once, 1000) == once
