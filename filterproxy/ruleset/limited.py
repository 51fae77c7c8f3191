"""Expressions that linear time cannot match: look-around, backreferences, atomic groups, possessive quantifiers.

The rule: none of them runs before a wider expression that RE2 can match has found something, and all of them together
have a time limit for each message, in which the interpreter's lock is free for other sessions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import re2
import regex

_TOKEN = re.compile(
    r"""(?P<quoted>\\Q.*?(?:\\E|\Z))
      | (?P<back>\\[1-9]\d?|\\[gk](?:\{[^}]*\}|<[^>]*>|'[^']*')|\(\?P=\w+\))
      | (?P<escape>\\[pPx]\{[^}]*\}|\\.)
      | (?P<set>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])
      | (?P<look>\(\?<?[=!])
      | (?P<atomic>\(\?>)
      | (?P<condition>\(\?\()
      | (?P<open>\()
      | (?P<close>\))
      | (?P<possessive>(?:[*+?]|\{\d+(?:,\d*)?\})(?=\+))
      | (?P<counted>\{\d+(?:,\d*)?\})
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_SHORTEST = 0.001
_RE2_END = re.compile(r"(?<!\\)((?:\\\\)*)\\z")


class TimeBudget:
    """The time that expressions of this kind may still take for one message, and how many found none left."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.refused = 0

    def spend(self, seconds: float) -> None:
        """Take that time off."""
        self.left -= seconds


def widened(pattern: str, *, most: float = 0) -> str | None:
    """Return an expression for RE2 that matches wherever this one does, and elsewhere too; None when there is none.

    Look-around is left out, a backreference is any text, and what may not go back may. A counted repetition that may be
    one of more than `most` is any number.
    """
    kept: list[str] = []
    opened: list[bool] = []  # of each open group: whether it is inside (or is) one that is left out
    skip_plus = False
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup, token[0]
        hidden = bool(opened) and opened[-1]
        if skip_plus:
            skip_plus = False
            continue
        if kind == "condition":
            return None
        if kind == "close":
            if not opened:
                return None
            if not opened.pop():
                kept.append(text)
            continue
        if kind in ("look", "atomic", "open"):
            opened.append(hidden or kind == "look")
            if not hidden:
                kept.append("(?:)" if kind == "look" else "(?:" if kind == "atomic" else text)
            continue
        skip_plus = kind == "possessive"
        if not hidden:
            kept.append(_wider_token(kind or "", text, most))
    return None if opened else "".join(kept)


def _wider_token(kind: str, text: str, most: float) -> str:
    if kind == "back":
        return "(?:(?s:.*))"
    if kind == "counted":  # RE2 takes no more than 1000 repetitions, nested ones multiplied
        last = text[1:-1].rpartition(",")[2]
        return "*" if int(last or 0) > most or most == 0 else text
    return text


class LimitedExpression:
    """A compiled expression of this kind. Raises regex.error when it is wrong."""

    def __init__(self, pattern: str, *, raw: bool, wider: re2._Regexp | None) -> None:
        self.wider = wider
        self.linear = "" if wider is None else wider.pattern.decode()
        self._raw = raw
        written = _RE2_END.sub(r"\1\\Z", pattern)
        flags = regex.ASCII if raw or pattern.isascii() else 0
        self._regex: Any = regex.compile(written.encode() if raw else written, flags)

    def find(self, text: str, data: bytes, budget: TimeBudget) -> Iterator[str]:
        """Yield what it matches in a text (given as text and as the bytes that RE2 searches), left to right.

        Ends early when the budget is spent, which `budget.refused` counts.
        """
        at = self._first_place(data)
        if at is None:
            return
        subject: Any = data if self._raw else text
        while (match := self._search(subject, at, budget)) is not None:
            found = match[0]
            yield found.decode("latin-1") if self._raw else found
            at = match.end() + (match.end() == match.start())

    def _first_place(self, data: bytes) -> int | None:
        """Return where a match begins at the earliest, in bytes or (of text) characters; None when there is none."""
        if self.wider is None:
            return 0
        match = self.wider.search(data)
        if match is None:
            return None
        at: int = match.start()
        return at if self._raw else len(data[:at].decode("utf-8", "replace"))

    def _search(self, subject: Any, at: int, budget: TimeBudget) -> Any:
        if budget.left < _SHORTEST or at > len(subject):
            budget.refused += at <= len(subject)
            return None
        begun = time.perf_counter()
        try:
            return self._regex.search(subject, at, concurrent=True, timeout=budget.left)
        except TimeoutError:
            budget.left = 0
            budget.refused += 1
            return None
        finally:
            budget.spend(time.perf_counter() - begun)
