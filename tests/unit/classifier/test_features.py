"""Features: stable, independent of line ends and of other filters' verdicts, readable, and safe on any bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.classifier.features import (
    BODY_VIEWS,
    PIECES,
    TABLE_BITS,
    VIEWS,
    Features,
    extract,
    pieces_of,
    raw_parts,
)
from filterproxy.classifier.hashing import gram_hashes, to_slots, unique, unique_with_pieces
from filterproxy.classifier.structure import host_and_parents, shape
from filterproxy.classifier.tokens import Segment, find_words, pair_hashes
from filterproxy.classifier.word_views import WordViews
from filterproxy.message import Message
from tests.unit.classifier.mail import make_mail


def features_of(raw: bytes) -> Features:
    return extract(Message(raw))


def same(first: Features, second: Features) -> bool:
    same_pieces = all(map(np.array_equal, first.pieces, second.pieces))
    return same_pieces and all(np.array_equal(first.view(view), second.view(view)) for view in VIEWS)


def words_of(text: str) -> list[str]:
    words = find_words([Segment(1, "", text)])
    return [words.word(number) for number in range(len(words.hashes))]


def test_hashes_are_part_of_the_model_format() -> None:
    assert gram_hashes(b"viagra", 5).tolist() == [16717393427222919778, 11018687660972988731]
    assert to_slots(gram_hashes(b"viagra", 5), 22).tolist() == [2725174, 2973263]
    assert find_words([Segment(7, "", "viagra Ünïcode")]).hashes.tolist() == [7533066922332378244, 13472618225550507284]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, WORLD!", ["hello", "world!"]),
        ("only $5.99 (50%)", ["only", "$5.99", "50%"]),
        ("don't e-mail me@x.example.", ["don't", "e-mail", "me@x.example"]),
        ("Perché l'offerta è gratis", ["perché", "l'offerta", "è", "gratis"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("--- ... @ _", []),
        ("привет 😀", ["привет", "😀"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_the_same_word_has_the_same_hash_anywhere_in_its_place() -> None:
    words = find_words([Segment(1, "a", "one two one"), Segment(2, "b", "one")])
    first, _, again, elsewhere = words.hashes
    assert first == again != elsewhere


def test_pairs_do_not_cross_texts() -> None:
    words = find_words([Segment(1, "a", "one two"), Segment(2, "b", "one two")])
    assert (pair_hashes(words, 1) != 0).tolist() == [True, False, True]
    assert pair_hashes(words, 2).tolist() == [0, 0]


def test_long_text_is_cut() -> None:
    words = find_words([Segment(1, "", "word " * 10_000), Segment(2, "", "late")], limit=1000)
    assert len(words.hashes) == 200


def test_line_ends_do_not_matter() -> None:
    raw = make_mail(1, is_spam=True)
    assert same(features_of(raw), features_of(raw.replace(b"\n", b"\r\n")))


def test_mbox_line_does_not_matter() -> None:
    raw = make_mail(1, is_spam=True)
    assert same(features_of(raw), features_of(b"From a@b.example  Tue Jan  2 10:00:00 2024\n" + raw))


@pytest.mark.parametrize(
    "field", ["X-Spam-Status: Yes, score=15", "ARC-Seal: i=1", "Authentication-Results: x; spf=fail"]
)
def test_verdicts_of_other_filters_are_ignored(field: str) -> None:
    raw = make_mail(2, is_spam=False)
    assert same(features_of(raw), features_of(field.encode() + b"\n\tfolded\n" + raw))


def test_slots_are_distinct_and_in_the_table() -> None:
    features = features_of(make_mail(3, is_spam=True))
    for view in VIEWS:
        slots = features.view(view)
        assert slots.size > 20
        assert (np.diff(slots.astype(np.int64)) > 0).all()
        assert slots.max() < 1 << TABLE_BITS[view]


def test_only_the_first_bytes_of_header_and_body_are_in_the_raw_views() -> None:
    header, body = raw_parts(b"Subject: " + b"x" * 100_000 + b"\n\nbody")
    assert (len(header), body) == (2_500, b"")
    header, body = raw_parts(b"Subject: x\n\n" + b"y" * 100_000)
    assert (header, len(body)) == (b"Subject: x\n\n", 3_500)


def test_a_long_header_takes_nothing_from_the_body() -> None:
    padding = b"".join(b"X-Pad-%d: good\n" % number for number in range(400))
    assert raw_parts(padding + b"\nviagra")[1] == b"viagra"


def test_pieces_divide_the_text_alike_in_all_views() -> None:
    words = b" ".join(b"%05d" % number for number in range(320))
    features = features_of(b"Subject: none of these\n\n" + words)
    for view, pieces in zip(BODY_VIEWS, features.pieces, strict=True):
        assert pieces.size == features.view(view).size
        assert set(pieces.tolist()) - {0} == set(range(1, PIECES + 1))
    # Ten words a piece, each with two pairs.
    counts = np.bincount(features.pieces[BODY_VIEWS.index("words")], minlength=PIECES + 1)[1:]
    assert counts.min() >= 27
    assert counts.max() <= 33


def test_what_comes_again_lies_in_its_first_piece() -> None:
    slots, pieces = unique_with_pieces(np.array([9, 4, 9, 4], np.uint32), np.array([3, 7, 1, 9], np.uint8))
    assert (slots.tolist(), pieces.tolist()) == ([4, 9], [7, 1])


def test_pieces_of_places() -> None:
    assert pieces_of(np.array([-3, 0, 31, 32, 1023, 5000]), 1024).tolist() == [0, 1, 1, 2, 32, 32]
    assert pieces_of(np.array([0]), 0).tolist() == [1]


@given(st.binary(max_size=300))
def test_any_bytes_have_features(raw: bytes) -> None:
    features = features_of(raw)
    assert all(features.view(view).dtype == np.uint32 for view in VIEWS)


@pytest.mark.parametrize("raw", [b"", b"\0" * 9000, b"\xff" * 9000, b"\r" * 500, b"From ", b"a:" * 5000])
def test_junk_has_features(raw: bytes) -> None:
    assert features_of(raw).words.size >= 1


def test_unique_sorts_and_removes_doubles() -> None:
    assert unique(np.array([3, 1, 3, 2, 1], np.uint32)).tolist() == [1, 2, 3]


def test_shape_keeps_form_and_forgets_content() -> None:
    assert shape("Fri, 02 Aug 2002 23:37:59 +0530") == "Aaa, 99 Aaa 9999 99:99:99 +9999"
    assert shape("aaaaaaaaaaa1234567") == "aaaa9999"


def test_parents_of_a_host() -> None:
    assert list(host_and_parents("a.b.example.com")) == ["a.b.example.com", "b.example.com", "example.com"]
    assert list(host_and_parents("192.0.2.1")) == ["192.0.2.1"]


def test_structure_names_what_it_saw() -> None:
    html = b'Subject: x\nDate: Fri, 02 Aug 2002 23:37:59 +0530\nContent-Type: text/html\n\n<p><a href="http://a.bad.example/">x</a>'
    structure = WordViews(Message(html)).structure
    seen = structure["fields"] + structure["words"]
    for expected in (
        "header Subject",
        "order Subject Date",
        "tag a",
        "url a.bad.example",
        "url bad.example",
        "zone +0530",
    ):
        assert expected in seen, seen


def test_a_long_header_leaves_room_for_the_body() -> None:
    padding = b"".join(b"X-Pad-%d: " % number + b"good words " * 90 + b"\n" for number in range(59))
    words = WordViews(Message(padding + b"Subject: x\n\nviagra\n")).words
    assert "viagra" in {words.word(number) for number in range(len(words.hashes))}
