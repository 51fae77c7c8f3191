"""The language of a text: what people write in mail is recognised, and what is unclear stays unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.message.language import identify_language

LINES = (Path(__file__).parents[2] / "data" / "languages.txt").read_text().splitlines()
TEXTS = dict(line.split(" ", 1) for line in LINES)


@pytest.mark.parametrize("language", TEXTS)
def test_it_recognises(language):
    assert identify_language(TEXTS[language]) == language


def test_accents_need_not_be_written():
    assert (
        identify_language("Cliente, la fattura non e ancora pagata e la preghiamo di saldare il conto entro venerdi")
        == "it"
    )


@pytest.mark.parametrize(
    "text",
    ["", "ok", "invoice 4711", "http://example.com/ 12:30 2026-01-01", "x" * 5000, "qwrtz plmk vbnx jkqw zzxy " * 20,
     TEXTS["en"][:60] + TEXTS["ru"][:60]],
)  # fmt: skip
def test_what_is_unclear_has_none(text):
    assert identify_language(text) == ""


@given(st.text())
def test_any_text_has_an_answer(text):
    assert isinstance(identify_language(text), str)
