"""What happens to a message: rspamd's action words, ordered by severity."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Action(StrEnum):
    """One action for a message; members are in order of severity, mildest first."""

    NO_ACTION = "no action"
    GREYLIST = "greylist"
    ADD_HEADER = "add header"
    REWRITE_SUBJECT = "rewrite subject"
    QUARANTINE = "quarantine"
    SOFT_REJECT = "soft reject"
    REJECT = "reject"
    DISCARD = "discard"

    @property
    def severity(self) -> int:
        """Return the rank: a larger number is a harsher action."""
        return _SEVERITY[self]

    @property
    def key(self) -> str:
        """Return the word as configuration keys spell it (`add_header`)."""
        return self.value.replace(" ", "_")

    @classmethod
    def parse(cls, word: str) -> Action:
        """Return the action for `add header` or `add_header`; raise ValueError naming the valid words."""
        try:
            return cls(word.strip().lower().replace("_", " "))
        except ValueError:
            raise ValueError(f"unknown action {word!r}; use one of: {', '.join(cls)}") from None


_SEVERITY = {action: rank for rank, action in enumerate(Action)}


def action_for(score: float, thresholds: Mapping[Action, float]) -> Action:
    """Return the harshest action whose threshold the score reaches, `no action` when it reaches none."""
    reached = [action for action, threshold in thresholds.items() if score >= threshold]
    return max(reached, key=lambda action: action.severity, default=Action.NO_ACTION)
