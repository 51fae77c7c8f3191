"""What an eval function is: a question about a message with arguments, and perhaps a list.

The rule: a function never raises, whatever the message is; wrong arguments are found when rules are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.lists import ListFile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A question: the message, the arguments and the list, if the function reads one."""

    facts: Facts
    arguments: Sequence[str]
    list_file: ListFile | None = None

    def number(self, index: int, default: float = 0.0) -> float:
        """Return an argument as a number; `inf` and `undef` are no limit."""
        if index >= len(self.arguments) or self.arguments[index] in ("inf", "undef"):
            return default
        return float(self.arguments[index])

    def listed(self, word: str) -> bool:
        """Tell whether a word, address or domain is in the list."""
        return self.list_file is not None and self.list_file.entries.has_word(word)


@dataclass(frozen=True, slots=True)
class Function:
    """An eval function.

    `numbers`: which arguments are numbers; `needs_list`: whether it reads a list; `first`: what its first argument may
    be, when not anything.
    """

    ask: Callable[[Call], bool]
    least: int = 0
    most: int = 0
    numbers: tuple[int, ...] = ()
    needs_list: bool = False
    first: frozenset[str] = frozenset()

    def check(self, arguments: Sequence[str]) -> None:
        """Raise ValueError for arguments that it does not take."""
        if not self.least <= len(arguments) <= self.most:
            wanted = f"{self.least} to {self.most}" if self.least != self.most else str(self.least)
            raise ValueError(f"it takes {wanted} arguments, not {len(arguments)}")
        if self.first and arguments[0] not in self.first:
            raise ValueError(f"it knows {', '.join(sorted(self.first))}, and not {arguments[0]!r}")
        for index in self.numbers:
            if index < len(arguments) and arguments[index] not in ("inf", "undef"):
                float(arguments[index])


def once(read: Callable[[Facts], T]) -> Callable[[Facts], T]:
    """Return the reader, asked once a message."""
    known: WeakKeyDictionary[Facts, Any] = WeakKeyDictionary()

    def cached(facts: Facts) -> T:
        if facts not in known:
            known[facts] = read(facts)
        found: T = known[facts]
        return found

    return cached
