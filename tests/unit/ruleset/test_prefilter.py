"""The prefilter names every expression whose literal is there, and knows in which text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from filterproxy.ruleset.prefilter import MAX_PLACES, Prefilter, fold, same_places

LITERALS = st.frozensets(st.text("abcé ", min_size=4, max_size=14), max_size=3)


@settings(max_examples=500)
@given(
    st.lists(st.tuples(st.integers(0, 2), LITERALS), max_size=8),
    st.lists(st.text("abcé \n", max_size=60), min_size=3, max_size=3),
)
def test_it_names_all_expressions_whose_literals_are_there(expressions, texts):
    literals = [text for _, group in expressions for text in group]
    texts[1] += "".join(literals)
    segments = [fold(text) for text in texts]
    expected = {
        number
        for number, (segment, group) in enumerate(expressions)
        if segments[segment] and (not group or any(text.encode() in segments[segment] for text in group))
    }
    found = Prefilter(expressions).candidates(segments)
    assert set(found) >= expected
    for number in expected:
        segment, group = expressions[number]
        texts = [text.encode() for text in group]
        starts = range(len(segments[segment]))
        there = {at for at in starts if segments[segment].startswith(tuple(texts), at)}
        assert len(there) > MAX_PLACES or there <= set(found[number] or ())
    for number in set(found) - expected:  # only where punctuation or an end is taken for a blank
        segment, group = expressions[number]
        text = b" %b " % segments[segment].replace(b"\n", b" ")
        assert any(literal.encode() in text for literal in group)


def test_a_word_is_not_found_in_another():
    prefilter = Prefilter([(0, frozenset({"\bsign\b"})), (0, frozenset({"sign"})), (0, frozenset({"\b£5 sign"}))])
    assert prefilter.candidates([b"assigned design"]) == {1: [2, 11]}
    assert prefilter.candidates([b"sign"]) == {0: [0], 1: [0]}
    assert prefilter.candidates([b"a (sign)!"]) == {0: [3], 1: [3]}
    assert prefilter.candidates(["£5 sign".encode()]) == {0: [4], 1: [4], 2: [0]}
    assert prefilter.candidates(["éclair signé".encode()]) == {0: [8], 1: [8]}


def test_an_expression_without_literals_is_named_only_when_there_is_text():
    prefilter = Prefilter([(0, frozenset())])
    assert prefilter.candidates([b"x"]) == {0: None}
    assert prefilter.candidates([b""]) == {}


def test_a_literal_across_two_texts_is_none():
    prefilter = Prefilter([(0, frozenset({"abcdefgh"})), (1, frozenset({"abcdefgh"}))])
    assert prefilter.candidates([b"abcd", b"efgh"]) == {}


def test_many_literals_are_all_found():
    words = [f"word{number:05}x" for number in range(5000)]
    prefilter = Prefilter([(0, frozenset({word})) for word in words])
    assert set(prefilter.candidates([" ".join(words).encode()])) == set(range(5000))


def test_fold_makes_letter_case_equal_as_re2_does():
    assert fold("ÀÉ ПРИВЕТ ſKᲀ") == "àé привет skв".encode()
    assert fold("a\udc80") == b"a?"


def test_places_agree_only_when_every_character_keeps_its_length():
    for text, agrees in (("plain", True), ("ПРИВЕТ €5 🚨", True), ("İ", False), ("Ⱥ ẞ", False), ("ẞ Ⱥ", False)):
        assert same_places(text.encode(), fold(text)) is agrees, text
