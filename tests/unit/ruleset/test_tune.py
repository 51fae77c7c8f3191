"""Scores from rows: bounds, the cap on false positives, time, and saying no."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from filterproxy.core.action import Action
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.bounds import Bounds, Limits, bounds, chosen
from filterproxy.ruleset.rows import GroupLimit, Known, Row, total
from filterproxy.ruleset.statistics import Rate
from filterproxy.ruleset.tune import tune

THRESHOLDS = {Action.ADD_HEADER: 6.0, Action.REJECT: 15.0}
# How often a symbol fires in spam and in ham, and its score.
WORLD = {
    "STRONG": (0.6, 0.001, 2.0),
    "GOOD": (0.5, 0.005, 1.5),
    "WEAK": (0.4, 0.01, 1.0),
    "FALSE": (0.02, 0.3, 1.5),
    "FRIEND": (0.02, 0.4, -1.0),
    "NOTE": (0.5, 0.01, 0.0),
    "FORCE": (0.3, 0.0, 1.0),
    "SELDOM": (0.001, 0.0, 1.0),
}
KNOWN = {name: Known(name, score, check="rules", forces=name == "FORCE") for name, (_, _, score) in WORLD.items()}


def world(size: int = 600, seed: int = 1, drift: bool = False) -> list[Row]:
    """Return spam and ham in turn; with drift, what fires in spam today fires in ham tomorrow."""
    chance, rows = random.Random(seed), []
    for number in range(size):
        is_spam = number % 2 == 0
        turned = is_spam is not (drift and number > 0.7 * size)
        fired = {
            name: 1.0
            for name, (spam, ham, _) in WORLD.items()
            if name != "FORCE" and chance.random() < (spam if turned else ham)
        }
        rows.append(Row(f"mail/{number}", is_spam, fired))
    return rows


def scores_of(tuned) -> dict[str, tuple[float, float]]:
    return {change.name: (change.old, change.new) for change in tuned.changes}


def test_better_scores_are_found_and_stay_in_their_bounds():
    tuned = tune(world(), KNOWN, THRESHOLDS, Limits())
    assert tuned.reason == ""
    changes = scores_of(tuned)
    assert changes["STRONG"][1] > 2.0
    assert set(changes) <= {"STRONG", "GOOD", "WEAK", "FALSE", "FRIEND"}
    for name, (old, new) in changes.items():
        assert abs(new - old) <= 1.0
        assert new >= 0 if WORLD[name][2] > 0 else new <= 0
    assert changes["FALSE"][1] < 1.5
    assert tuned.held_out.new.missed < tuned.held_out.old.missed
    for part in (tuned.fitted, tuned.held_out):
        assert part.new.false_positives <= part.allowed


def test_the_messages_that_move_are_those_whose_action_changes():
    rows = world()
    tuned = tune(rows, KNOWN, THRESHOLDS, Limits())
    old = {name: known.score for name, known in KNOWN.items()}
    new = old | {change.name: change.new for change in tuned.changes}
    expected = [row.name for row in rows if (total(row, old) >= 6) is not (total(row, new) >= 6)]
    assert [item.name for item in tuned.moved if Action.NO_ACTION in (item.old, item.new)] == expected
    assert expected


def test_it_gives_the_same_twice():
    assert tune(world(), KNOWN, THRESHOLDS, Limits()) == tune(world(), KNOWN, THRESHOLDS, Limits())


def test_a_corpus_that_turned_around_gives_no_gain():
    rising = {"STRONG", "GOOD", "WEAK"}  # too little now to mark anything
    rows = [replace(row, fired=dict.fromkeys(row.fired.keys() & rising, 1.0)) for row in world(drift=True)]
    tuned = tune(rows, KNOWN, THRESHOLDS, Limits())
    assert tuned.held_out.old.false_positives == 0
    assert tuned.changes == ()
    assert "no gain" in tuned.reason
    assert "held out" in tuned.reason
    assert tuned.rejected


def test_scores_that_are_right_stay():
    perfect = {"STRONG": Known("STRONG", 7.0)}
    rows = [Row(str(number), number % 2 == 0, {"STRONG": 1.0} if number % 2 == 0 else {}) for number in range(100)]
    tuned = tune(rows, perfect, THRESHOLDS, Limits(max_score=8))
    assert tuned.changes == ()
    assert tuned.held_out.old.missed == 0


def test_the_cap_is_kept_even_where_it_costs_spam():
    """GOOD and WEAK alone would mark ham in which both fire."""
    rows = [
        replace(row, fired=row.fired | {"WEAK": 1.0, "GOOD": 1.0}) if i % 50 == 1 else row
        for i, row in enumerate(world())
    ]
    tight = tune(rows, KNOWN, THRESHOLDS, Limits(max_false_positives=0, max_change=5, max_score=8))
    for part in (tight.fitted, tight.held_out):
        assert not tight.changes or part.new.false_positives <= part.allowed == 0
    loose = tune(rows, KNOWN, THRESHOLDS, Limits(max_false_positives=0.1, max_change=5, max_score=8))
    assert loose.held_out.allowed == 7
    assert loose.held_out.new.missed <= tight.held_out.new.missed


def test_only_what_is_chosen_changes():
    tuned = tune(world(), KNOWN, THRESHOLDS, Limits(only=("STR*", "GOOD"), skip=("GO*",)))
    assert tuned.tunable == 1
    assert set(scores_of(tuned)) <= {"STRONG"}


def test_weights_count():
    """A symbol that fires with half its weight adds half its score."""
    assert total(Row("x", True, {"STRONG": 0.5, "FRIEND": 1.0, "UNKNOWN": 1.0}), {"STRONG": 2.0, "FRIEND": -1.0}) == 0.0


def test_a_group_adds_no_more_than_its_limit():
    limit = GroupLimit(2.5, frozenset({"STRONG", "GOOD", "FRIEND"}))
    row = Row("x", True, {"STRONG": 1.0, "GOOD": 1.0, "WEAK": 1.0})
    scores = {name: known.score for name, known in KNOWN.items()}
    assert total(row, scores) == 4.5
    assert total(row, scores, [limit]) == 3.5
    assert total(replace(row, fired=row.fired | {"FRIEND": 1.0}), scores, [limit]) == 3.5


def test_group_limits_are_kept_while_tuning():
    """Together these never add more than 5, whatever their scores: nothing to be had."""
    limited = {name: replace(known, group="all", group_limit=5.0) for name, known in KNOWN.items()}
    tuned = tune(world(), limited, THRESHOLDS, Limits())
    assert tuned.held_out.old.missed == tuned.held_out.new.missed == tuned.held_out.old.spam
    assert tuned.changes == ()


def test_forced_messages_say_nothing_of_scores():
    rows = [replace(row, forced=True) if row.is_spam else row for row in world(100)]
    with pytest.raises(ConfigError, match="0 spam messages could be used; tuning needs at least 10 spam and ham each"):
        tune(rows, KNOWN, THRESHOLDS, Limits())


@pytest.mark.parametrize(("keep", "words"), [(True, "0 ham messages"), (False, "0 spam messages")])
def test_one_class_alone_is_no_use(keep, words):
    with pytest.raises(ConfigError, match=words):
        tune([row for row in world() if row.is_spam is keep], KNOWN, THRESHOLDS, Limits())


def test_no_symbol_to_tune():
    with pytest.raises(ConfigError, match="no symbol can be tuned"):
        tune(world(), KNOWN, THRESHOLDS, Limits(only=("NOTE", "FORCE")))


def test_no_threshold():
    with pytest.raises(ConfigError, match="no action has a threshold"):
        tune(world(), KNOWN, {}, Limits())


def test_few_messages_do():
    rows = world(24)
    assert tune(rows, KNOWN, THRESHOLDS, Limits(min_hits=1)).held_out.old.spam == 3


@pytest.mark.parametrize(
    ("score", "spam_hits", "ham_hits", "expected"),
    [
        (2.0, 50, 1, (1.0, 3.0)),
        (0.5, 50, 1, (0.0, 1.5)),
        (4.5, 50, 1, (3.5, 5.0)),
        (7.0, 50, 1, (6.0, 7.0)),
        (0.5, 1, 50, (0.0, 0.0)),  # fires in ham: loses its score
        (3.0, 1, 50, (2.0, 2.0)),
        (1.0, 2, 4, (0.0, 1.0)),  # perhaps: does not grow
        (-0.5, 1, 50, (-1.5, 0.0)),
        (-0.5, 50, 1, (0.0, 0.0)),
        (-3.0, 50, 1, (-2.0, -2.0)),
        (-1.0, 4, 2, (-1.0, 0.0)),
    ],
)
def test_bounds(score, spam_hits, ham_hits, expected):
    assert bounds(score, Rate(spam_hits, ham_hits, 100, 100), Limits()) == Bounds(*expected)


def test_chosen_leaves_alone_what_is_zero_forced_or_seldom():
    rates = {name: Rate(20, 0, 100, 100) for name in WORLD} | {"SELDOM": Rate(4, 0, 100, 100)}
    assert sorted(chosen(KNOWN, rates, Limits())) == ["FALSE", "FRIEND", "GOOD", "STRONG", "WEAK"]


@pytest.mark.parametrize(
    ("limits", "ham", "present", "allowed"),
    [
        (Limits(), 5000, 9, (9, 5)),
        (Limits(), 5000, 2, (2, 2)),
        (Limits(), 500, 3, (3, 0)),
        (Limits(max_false_positives=0.01), 500, 1, (5, 5)),
        (Limits(max_false_positives=0.0), 500, 1, (0, 0)),
    ],
)
def test_how_many_false_positives_may_be(limits, ham, present, allowed):
    assert (limits.allowed(ham, present), limits.wanted(ham, present)) == allowed
