"""Hit frequencies, their bounds, overlap, and what never fires."""

from __future__ import annotations

import pytest

from filterproxy.ruleset.rows import Known, Row
from filterproxy.ruleset.statistics import Rate, measure


def rows(spam: dict[str, int], ham: dict[str, int], size: int = 100) -> list[Row]:
    """Return `size` spam and `size` ham messages; a symbol fires in the first so many of each."""
    return [
        Row(f"{is_spam}{number}", is_spam, {name: 0.5 for name, hits in fired.items() if number < hits})
        for is_spam, fired in ((True, spam), (False, ham))
        for number in range(size)
    ]


def known(*names: str, score: float = 1.0) -> dict[str, Known]:
    return {name: Known(name, score, check="rules") for name in names}


def test_shares_are_of_a_class():
    rate = Rate(spam_hits=30, ham_hits=1, spam=100, ham=1000)
    assert (rate.hits, rate.spam_percent, rate.ham_percent) == (31, 30.0, 0.1)
    assert rate.s_o == pytest.approx(30 / 30.1)


def test_the_bounds_of_s_o_hold_it_and_shrink_with_evidence():
    few, many = Rate(3, 1, 100, 100), Rate(300, 100, 10_000, 10_000)
    for rate in (few, many):
        low, high = rate.s_o_interval
        assert low < 0.75 < high
    assert few.s_o_interval[1] - few.s_o_interval[0] > 4 * (many.s_o_interval[1] - many.s_o_interval[0])


def test_the_bounds_agree_with_the_published_formula():
    """Katz et al.: the logarithm of 30/100 over 10/100, give or take 1.96 times sqrt(1/30 - 1/100 + 1/10 - 1/100)."""
    low, high = Rate(30, 10, 100, 100).s_o_interval
    assert (low / (1 - low), high / (1 - high)) == (pytest.approx(1.55, rel=0.07), pytest.approx(5.80, rel=0.07))


@pytest.mark.parametrize(
    ("spam_hits", "ham_hits", "side"),
    [(0, 0, "unclear"), (2, 1, "unclear"), (1, 0, "unclear"), (30, 1, "spam"), (1, 30, "ham"), (50, 50, "unclear")],
)
def test_a_side_needs_evidence(spam_hits, ham_hits, side):
    assert Rate(spam_hits, ham_hits, 100, 100).side == side


def test_every_known_symbol_has_a_rate():
    measured = measure(rows({"A": 10}, {"B": 3}), known("A", "B", "C"))
    assert (measured.spam, measured.ham) == (100, 100)
    assert {name: (rate.spam_hits, rate.ham_hits) for name, rate in measured.rates.items()} == {
        "A": (10, 0),
        "B": (0, 3),
        "C": (0, 0),
    }
    assert measured.silent == ["C"]


def test_overlap_is_of_the_messages_in_which_either_fires():
    measured = measure(rows({"A": 10, "B": 5, "C": 100}, {}), known("A", "B", "C"), min_jaccard=0.4)
    (pair,) = measured.overlaps
    assert (pair.first, pair.second, pair.both) == ("A", "B", 5)
    assert (pair.jaccard, pair.first_in_second, pair.second_in_first) == (0.5, 0.5, 1.0)


def test_overlap_leaves_out_composites_what_has_no_score_and_what_hardly_fires():
    symbols = known("A", "B") | known("ZERO", score=0) | {"BOTH": Known("BOTH", 1.0, composite=True)}
    assert measure(rows({"A": 10, "ZERO": 10, "B": 2, "BOTH": 10}, {}), symbols, min_jaccard=0).overlaps == []
