"""What tuning found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filterproxy.observability.escape import escape

if TYPE_CHECKING:
    from filterproxy.ruleset.tune import Change, Compared, Moved, Tuned

_MOVED = 40
_LONGEST_NAME = 200


def table(tuned: Tuned) -> Iterator[str]:
    """Yield the lines of a report: how both sets of scores judge the mail, the scores, and whose action changes."""
    yield f"{tuned.tunable} symbols could get another score"
    yield ""
    ham, spam = f"{'ham marked: now':>15} {'new':>5} {'allowed':>8}", f"{'spam missed: now':>16} {'new':>5}"
    yield f"{'':<10}{'messages':>9}  {ham}  {spam}"
    yield _part("fitted on", tuned.fitted)
    yield _part("held out", tuned.held_out)
    if tuned.reason:
        yield ""
        yield f"{tuned.reason}; nothing is changed"
        return
    yield ""
    yield f"{'now':>7} {'new':>7}  {'spam hits':>9} {'ham hits':>9}  {'S/O':>5}  symbol"
    yield from (_change(change) for change in tuned.changes)
    if tuned.moved:
        yield ""
        yield f"messages that get another action ({len(tuned.moved)}):"
        yield from (_moved(item) for item in _worst_first(tuned.moved)[:_MOVED])
        if len(tuned.moved) > _MOVED:
            yield f"  and {len(tuned.moved) - _MOVED} more (--json has all)"


def document(tuned: Tuned, files: Sequence[Path]) -> dict[str, Any]:
    """Return the report as data."""
    return {
        "gain": bool(tuned.changes),
        "reason": tuned.reason,
        "tunable": tuned.tunable,
        "fitted": _counts(tuned.fitted),
        "held_out": _counts(tuned.held_out),
        "changes": [_as_data(change) for change in tuned.changes],
        "rejected": [_as_data(change) for change in tuned.rejected],
        "moved": [
            {
                "message": item.name,
                "label": "spam" if item.is_spam else "ham",
                "action": {"now": item.old.value, "new": item.new.value},
                "score": {"now": round(item.old_score, 4), "new": round(item.new_score, 4)},
            }
            for item in tuned.moved
        ],
        "files": [str(file) for file in files],
    }


def _part(name: str, part: Compared) -> str:
    old, new = part.old, part.new
    return (
        f"{name:<10}{old.spam + old.ham:9}  {old.false_positives:15} {new.false_positives:5} {part.allowed:8}"
        f"  {old.missed:16} {new.missed:5}"
    )


def _change(change: Change) -> str:
    rate = change.rate
    s_o = "" if rate.s_o is None else f"{rate.s_o:.3f}"
    return f"{change.old:7.4g} {change.new:7.4g}  {rate.spam_hits:9} {rate.ham_hits:9}  {s_o:>5}  {change.name}"


def _worst_first(moved: Sequence[Moved]) -> list[Moved]:
    """Return ham that gets a harsher action first, then all else in order."""
    return sorted(moved, key=lambda item: item.is_spam or item.new.severity <= item.old.severity)


def _moved(item: Moved) -> str:
    label = "spam" if item.is_spam else "ham"
    return (
        f"  {label:<4} {item.old_score:6.2f} {item.old} -> {item.new_score:.2f} {item.new}  "
        f"{escape(item.name, _LONGEST_NAME)}"
    )


def _counts(part: Compared) -> dict[str, Any]:
    return {
        "spam": part.old.spam,
        "ham": part.old.ham,
        "ham_marked": {"now": part.old.false_positives, "new": part.new.false_positives, "allowed": part.allowed},
        "spam_missed": {"now": part.old.missed, "new": part.new.missed},
        "ham_rejected": {"now": part.old.ham_rejected, "new": part.new.ham_rejected},
    }


def _as_data(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "score": {"now": change.old, "new": change.new},
        "hits": {"spam": change.rate.spam_hits, "ham": change.rate.ham_hits},
        "s_o": None if change.rate.s_o is None else round(change.rate.s_o, 4),
    }
