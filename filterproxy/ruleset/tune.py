"""Better scores from labelled mail, and an honest answer when there are none.

The older three quarters of each class are for fitting, the newest quarter decides whether the scores found are better;
how strongly to fit is chosen on the older part alone, always fitting on older and measuring on newer mail.

The rule: scores are proposed only when the newest mail, which no fit has seen, is judged better with them and no
more ham is lost than allowed; otherwise the result says why not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from filterproxy.core.action import Action, action_for
from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.bounds import Limits, chosen
from filterproxy.ruleset.rows import GroupLimit, Known, Row, group_limits, total
from filterproxy.ruleset.score_fit import Counts, Floats, Numbers, Problem, Strength
from filterproxy.ruleset.statistics import Rate, count

MIN_MESSAGES = 10
HELD_OUT = 0.25
_FOLDS = 3
_STRENGTHS = [Strength(freedom, ham) for freedom, ham in product((0.01, 0.1, 1.0), (1.0, 10.0))]
_STEPS = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class Compared:
    """One part of the mail by the scores in use and by the new ones.

    More than `allowed` false positives are never taken; down to `wanted`, fewer are worth any spam that is missed.
    """

    old: Counts
    new: Counts
    allowed: int
    wanted: int

    @property
    def broken(self) -> int:
        """Return by how many ham messages the new scores break what is allowed."""
        refused = self.new.ham_rejected - self.old.ham_rejected
        return max(0, self.new.false_positives - self.allowed) + max(0, refused)

    @property
    def excess(self) -> int:
        """Return by how many the false positives are more than wanted."""
        return max(0, self.new.false_positives - self.wanted)

    @property
    def better(self) -> bool:
        """Tell whether the new scores keep the cap and are right more often."""
        if self.broken:
            return False
        before = max(0, self.old.false_positives - self.wanted)
        if self.excess != before:
            return self.excess < before
        fewer = self.new.missed < self.old.missed or self.new.false_positives < self.old.false_positives
        return fewer and self.new.missed <= self.old.missed


@dataclass(frozen=True, slots=True)
class Change:
    """A symbol's new score, with its hits in all the mail."""

    name: str
    old: float
    new: float
    rate: Rate


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that gets another action."""

    name: str
    is_spam: bool
    old: Action
    new: Action
    old_score: float
    new_score: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome: `changes` is empty when `reason` says why the scores stay as they are.

    `rejected` are the changes that were found and not good enough; `tunable` is how many symbols could have changed.
    """

    tunable: int
    fitted: Compared
    held_out: Compared
    changes: Sequence[Change] = ()
    moved: Sequence[Moved] = ()
    reason: str = ""
    rejected: Sequence[Change] = ()


def tune(rows: Sequence[Row], known: Mapping[str, Known], thresholds: Mapping[Action, float], limits: Limits) -> Tuned:
    """Return new scores for messages in order of delivery; raise ConfigError when the mail or the choice is no use."""
    from threadpoolctl import threadpool_limits

    usable = [row for row in rows if not row.forced]
    _require_both(usable)
    scores = {name: symbol.score for name, symbol in known.items()}
    older, newer = _split(usable)
    _, _, fit_rates = count([usable[place] for place in older], known)
    bounds = chosen(known, fit_rates, limits)
    if not bounds:
        raise ConfigError("no symbol can be tuned", hint=_why_none(limits))
    problem = Problem(usable, scores, bounds, *_limits_of(thresholds), group_limits(known))
    # The matrices are small: a second thread would only wait for the first, and burn a core meanwhile.
    with threadpool_limits(1):
        new = _search(problem, older, limits)
    fitted, held_out = (_compare(problem, new, part, limits) for part in (older, newer))
    changes = _changes(problem, new, count(usable, known)[2])
    reason = _reason(changes, fitted, held_out)
    if reason:
        return Tuned(len(bounds), fitted, held_out, reason=reason, rejected=changes)
    better = scores | {change.name: change.new for change in changes}
    moved = _moved(rows, [_Scoring(those, group_limits(known), thresholds) for those in (scores, better)])
    return Tuned(len(bounds), fitted, held_out, changes, moved)


def _require_both(rows: Sequence[Row]) -> None:
    spam = sum(row.is_spam for row in rows)
    for word, number in (("spam", spam), ("ham", len(rows) - spam)):
        if number < MIN_MESSAGES:
            reason = f"{number} {word} messages could be used; tuning needs at least {MIN_MESSAGES} spam and ham each"
            raise ConfigError(reason, hint="add mail of both kinds, in order of delivery")


def _limits_of(thresholds: Mapping[Action, float]) -> tuple[float, float]:
    """Return from which score on mail is marked or worse, and from which it is refused."""
    marks = [
        score for action, score in thresholds.items() if action.severity >= Action.ADD_HEADER.severity
    ]  # fmt: skip
    if not marks:
        raise ConfigError("no action has a threshold, so scores decide nothing", hint="actions: {add_header: 6}")
    refused = [score for action, score in thresholds.items() if action.severity >= Action.SOFT_REJECT.severity]
    return min(marks), min(refused, default=float("inf"))


def _why_none(limits: Limits) -> str:
    named = "among those that were chosen " if limits.only or limits.skip else ""
    return f"a symbol {named}must have a score other than 0, force no action, and fire {limits.min_hits} times"


def _split(rows: Sequence[Row]) -> tuple[Numbers, Numbers]:
    """Return the places of the older and of the newest part of each class, in order."""
    older, newer = [], []
    for is_spam in (True, False):
        places = [place for place, row in enumerate(rows) if row.is_spam is is_spam]
        begin = len(places) - max(1, round(HELD_OUT * len(places)))
        older += places[:begin]
        newer += places[begin:]
    return np.array(sorted(older)), np.array(sorted(newer))


def _folds(problem: Problem, places: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield pairs of older mail to fit on and newer mail to measure with."""
    from sklearn.model_selection import TimeSeriesSplit

    spam = problem.is_spam[places]
    classes = [places[spam], places[~spam]]
    folds = min(_FOLDS, *(len(own) - 1 for own in classes))
    splits = (TimeSeriesSplit(folds).split(own) for own in classes)
    for pair in zip(*splits, strict=True):
        fit, measure = (
            np.sort(np.concatenate([own[part[side]] for own, part in zip(classes, pair, strict=True)]))
            for side in (0, 1)
        )
        yield fit, measure


def _search(problem: Problem, older: Numbers, limits: Limits) -> Floats:
    """Return the scores found on the older mail."""
    folds = list(_folds(problem, older))
    strength = min(_STRENGTHS, key=lambda item: _cost(problem, folds, item, limits))
    fitted = problem.fit(older, strength)
    steps = [problem.rounded(problem.scores + step * (fitted - problem.scores)) for step in _STEPS]
    return min(steps, key=lambda scores: _badness(_compare(problem, scores, older, limits)))


def _cost(
    problem: Problem, folds: Sequence[tuple[Numbers, Numbers]], strength: Strength, limits: Limits
) -> tuple[int, ...]:
    """Return the badness of all folds together."""
    results = (_badness(_compare(problem, problem.fit(fit, strength), measure, limits)) for fit, measure in folds)
    return tuple(map(sum, zip(*results, strict=True)))


def _badness(compared: Compared) -> tuple[int, ...]:
    return compared.broken, compared.excess, compared.new.missed


def _compare(problem: Problem, scores: Floats, places: Numbers, limits: Limits) -> Compared:
    old, new = problem.count(problem.scores, places), problem.count(scores, places)
    present = old.false_positives
    return Compared(old, new, limits.allowed(old.ham, present), limits.wanted(old.ham, present))


def _changes(problem: Problem, new: Floats, rates: Mapping[str, Rate]) -> list[Change]:
    """Return the changed scores, the largest changes first."""
    pairs = zip(problem.names, problem.scores.tolist(), new.tolist(), strict=True)
    changes = [Change(name, old, score, rates[name]) for name, old, score in pairs if old != score]
    return sorted(changes, key=lambda change: (-abs(change.new - change.old), change.name))


def _reason(changes: Sequence[Change], fitted: Compared, held_out: Compared) -> str:
    """Return why the scores should stay as they are, empty when the new ones are better."""
    if not changes:
        return "the scores in use are the best that the bounds allow"
    for part, words in ((fitted, "the mail it was fitted on"), (held_out, "the newest mail, which was held out")):
        if part.new.false_positives > part.allowed:
            found, allowed = part.new.false_positives, part.allowed
            return f"no gain: on {words}, {found} of {part.new.ham} ham messages would be marked; {allowed} may be"
        if part.new.ham_rejected > part.old.ham_rejected:
            return f"no gain: on {words}, more ham would be refused"
    return "" if held_out.better else "no gain: the newest mail, which was held out, is judged no better"


@dataclass(frozen=True, slots=True)
class _Scoring:
    scores: Mapping[str, float]
    limits: Sequence[GroupLimit]
    thresholds: Mapping[Action, float]

    def judge(self, row: Row) -> tuple[float, Action]:
        score = total(row, self.scores, self.limits)
        return score, action_for(score, self.thresholds)


def _moved(rows: Sequence[Row], scorings: Sequence[_Scoring]) -> list[Moved]:
    """Return the messages that get another action by the second scores than by the first, in order."""
    moved = []
    for row in rows:
        (before, was), (after, becomes) = (scoring.judge(row) for scoring in scorings)
        if not row.forced and was is not becomes:
            moved.append(Moved(row.name, row.is_spam, was, becomes, before, after))
    return moved
