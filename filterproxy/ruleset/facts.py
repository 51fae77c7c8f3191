"""What rules read of one message: named fields, each brought to the form in which it is compared, once.

The rule: everything is read lazily and at most once a message; no field is longer than its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from filterproxy.core.authentication import summarise
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.ruleset.normal_form import normal_form
from filterproxy.ruleset.prefilter import fold, same_places


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How much of a message rules look at: characters of a decoded text, bytes of a raw one.

    `seconds` is the time that expressions with look-around and the like (see `limited`) have for one message.
    """

    text: int = 256 * 1024
    raw: int = 512 * 1024
    seconds: float = 0.02


DEFAULT_LIMITS = TextLimits()


class Value(NamedTuple):
    """One text to compare: as text (bytes of unknown encoding as Latin-1) and as the bytes an expression searches."""

    text: str
    data: bytes


@dataclass(frozen=True, eq=False, slots=True)
class Target:
    """A kind of thing in a message of which there are any number: header fields, URLs, attachments, or one body.

    `one_text`: there is at most one and it is a text, in which places are counted instead of things.
    """

    key: str
    items: Callable[[Facts], Sequence[Any]]
    one_text: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Field:
    """A text (or several) of each thing of a target; the same object for the same field.

    `normalize`: compared in normal form. `raw`: bytes. `costly`: read only when everything else of a rule holds.
    `within`: the field that holds all these texts as part of its own, so that literals are looked for in that one.
    `split`: the texts are pieces of a longer one, and there may be many.
    """

    key: str
    target: Target
    read: Callable[[Any], str | bytes | Sequence[str] | Sequence[bytes]]
    normalize: bool = True
    raw: bool = False
    costly: bool = False
    within: Field | None = None
    split: bool = False


class Facts:
    """The fields of one message, read when first asked for."""

    def __init__(self, transaction: Transaction, now: datetime, limits: TextLimits) -> None:
        self.transaction = transaction
        self.now = now
        self.limits = limits
        self._items: dict[Target, Sequence[Any]] = {}
        self._values: dict[Field, list[tuple[Value, ...]]] = {}
        self._joined: dict[Field, bytes] = {}
        self._stretches: dict[Field, tuple[int, int]] = {}
        self._folded: dict[Field, tuple[bytes, bool]] = {}
        self.header_texts: dict[str, bytes | None] = {}  # by the names that imported rules give them

    @cached_property
    def message(self) -> Message:
        """Return the message."""
        return self.transaction.require_message()

    @cached_property
    def authentication(self) -> dict[str, str]:
        """Return the result words of spf, dkim, dmarc and arc."""
        return summarise(self.transaction.methods())

    @cached_property
    def date_ahead(self) -> float | None:
        """Return by how many seconds the Date lies ahead of now, None without one that can be read."""
        date = self.message.date
        return None if date is None else (date - self.now).total_seconds()

    def items(self, target: Target) -> Sequence[Any]:
        """Return the things of the target."""
        found = self._items.get(target)
        if found is None:
            found = self._items[target] = target.items(self)
        return found

    def values(self, of: Field) -> list[tuple[Value, ...]]:
        """Return the texts of the field, for each thing of its target."""
        found = self._values.get(of)
        if found is None:
            found = self._values[of] = [self._read(of, item) for item in self.items(of.target)]
        return found

    def _read(self, of: Field, item: Any) -> tuple[Value, ...]:
        read = of.read(item)
        texts = (read,) if isinstance(read, str | bytes) else read
        return tuple(self._value(of, text) for text in texts)

    def _value(self, of: Field, text: str | bytes) -> Value:
        if isinstance(text, bytes):
            data = text[: self.limits.raw]
            return Value(data.decode("latin-1"), data)
        text = normal_form(text, self.limits.text) if of.normalize else text[: self.limits.text]
        return Value(text, text.encode("utf-8", "replace"))

    def joined(self, of: Field) -> bytes:
        """Return all texts of the field, each on a line of its own."""
        found = self._joined.get(of)
        if found is None:
            found = self._joined[of] = b"\n".join(value.data for item in self.values(of) for value in item)
        return found

    def longest_stretches(self, of: Field) -> tuple[int, int]:
        """Return how many bytes stand together without a blank, and without a letter of ASCII, in the field's texts."""
        found = self._stretches.get(of)
        if found is None:
            text = np.frombuffer(self.joined(of), np.uint8)
            lengths = [len(value.data) + 1 for item in self.values(of) for value in item]
            ends = np.cumsum(lengths, dtype=np.intp)[:-1] - 1
            # `| 32` makes letters lower case; what is below `a` wraps round to a large number.
            without_blank = _longest_between(text == ord(" "), ends)
            without_letter = _longest_between((text | 32) - ord("a") < 26, ends)
            found = self._stretches[of] = without_blank, without_letter
        return found

    def only_text(self, of: Field) -> Value | None:
        """Return the field's text when there is exactly one."""
        values = self.values(of)
        return values[0][0] if len(values) == 1 and len(values[0]) == 1 else None

    def folded(self, of: Field) -> tuple[bytes, bool]:
        """Return all texts of the field as the prefilter compares them (empty without any), and whether places agree.

        Places agree when there is one text and each character stands where it stands in the text's `data`; places in
        pieces of bytes are those in all of them joined.
        """
        found = self._folded.get(of)
        if found is None:
            found = self._folded[of] = self._fold(of)
        return found

    def _fold(self, of: Field) -> tuple[bytes, bool]:
        values = [value for item in self.values(of) for value in item]
        if of.raw:
            return self.joined(of).lower() or (b"\n" if values else b""), len(values) == 1 or of.split
        text = values[0].text if len(values) == 1 else "\n".join(value.text for value in values)
        folded = fold(text) or (b"\n" if values else b"")
        return folded, len(values) == 1 and (text.isascii() or same_places(values[0].data, folded))


def _longest_between(marked: Any, ends: Any) -> int:
    """Return the longest stretch without a marked byte; texts end at `ends`."""
    marked[ends] = True
    places = np.flatnonzero(marked)
    return int(np.diff(places, prepend=-1, append=len(marked)).max()) - 1
