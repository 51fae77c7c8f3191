"""From `match: {spamassassin: …}` to a node: which field it looks at, and how its hits are counted.

The rule: a field that is not there is an empty text, as it is in Perl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from filterproxy.ruleset.facts import Facts, Field, Target
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.nodes import Evidence, Node, Pattern, PatternTest, Question, Run, Things, Wake
from filterproxy.ruleset.spamassassin.bodies import body_lines, full, raw_body
from filterproxy.ruleset.spamassassin.functions import FUNCTIONS, Call
from filterproxy.ruleset.spamassassin.header_texts import header_text, part_header_text
from filterproxy.ruleset.spamassassin.model import SpamAssassinMatch
from filterproxy.ruleset.spamassassin.uris import uris

MAX_PARTS = 1000
MAX_EXPRESSION = 300_000  # with all the look-alikes of letters written out


def _itself(item: Any) -> Any:
    return item


def _field(key: str, items: Callable[[Facts], list[bytes]], *, split: bool = True) -> Field:
    key = f"spamassassin.{key}"
    return Field(key, Target(key, items, True), _itself, normalize=False, raw=True, split=split)


BODY = _field("body", lambda facts: body_lines(facts.message))
BODY_WITHOUT_SUBJECT = _field("body_without_subject", lambda facts: list(facts.items(BODY.target))[1:])
_TEXTS = {
    "body": BODY,
    "rawbody": _field("rawbody", lambda facts: raw_body(facts.message)),
    "uri": _field("uri", lambda facts: uris(facts.message)),
    "full": _field("full", lambda facts: [full(facts.message)], split=False),
}


@cache
def _header(query: str, if_unset: str) -> Field:
    unset = if_unset.encode("latin-1", "replace")

    def items(facts: Facts) -> list[bytes]:
        text = header_text(facts, query)
        return [unset if text is None else text]

    return _field(f"header.{query}.{if_unset}", items, split=False)


_PARTS = Target("spamassassin.part", lambda facts: facts.message.parts[:MAX_PARTS])


@cache
def _mime_header(query: str, if_unset: str) -> Field:
    unset = if_unset.encode("latin-1", "replace")

    def read(part: Any) -> bytes:
        text = part_header_text(part, query)
        return unset if text is None else text

    return Field(f"spamassassin.mime_header.{query}.{if_unset}", _PARTS, read, normalize=False, raw=True)


@dataclass(frozen=True, slots=True)
class Hits:
    """An expression is found; so many places count, up to a number."""

    pattern: Pattern
    most: int

    def _places(self, run: Run) -> Iterator[str]:
        if self.pattern.may_match(run):
            for item in run.facts.values(self.pattern.field):
                for value in item:
                    yield from self.pattern.find_all(value, run)

    def matches(self, run: Run) -> Evidence | None:
        """Return the first place."""
        found = next(self._places(run), None)
        return None if found is None else (found,)

    def count_hits(self, run: Run) -> float:
        """Return how many places there are."""
        left = self.most
        if self.pattern.may_match(run):
            for item in run.facts.values(self.pattern.field):
                for value in item:
                    left -= self.pattern.count(value, left, run)
                    if left <= 0:
                        return self.most
        return self.most - left

    def wake(self) -> Wake:
        """Return the expression."""
        return frozenset({self.pattern.number})

    def patterns(self) -> Iterator[Pattern]:
        """Yield the expression."""
        yield self.pattern


def make_node(
    value: SpamAssassinMatch, pattern: Callable[[Field, str, int], Pattern], list_file: ListFile | None
) -> Node:
    """Return the node; `pattern` compiles an expression over a field and raises ExpressionError.

    Raises ValueError for wrong arguments of a function.
    """
    if value.function is not None:
        function, arguments = FUNCTIONS[value.function], value.arguments
        function.check(arguments)
        return Question(lambda facts: value.function if function.ask(Call(facts, arguments, list_file)) else None)
    if value.exists is not None:
        query, wanted = value.header or "", value.exists
        return Question(lambda facts: query if (header_text(facts, query) is not None) is wanted else None)
    flags = "(?i)" if value.ignore_case else ""
    compiled = pattern(_field_of(value), flags + (value.regex or ""), MAX_EXPRESSION)
    if value.hits > 1:
        return Hits(compiled, value.hits)
    return Things(compiled.field.target, ((compiled.field, (PatternTest(compiled),)),))


def _field_of(value: SpamAssassinMatch) -> Field:
    if value.header is not None:
        return _header(value.header, value.if_unset)
    if value.mime_header is not None:
        return _mime_header(value.mime_header, value.if_unset)
    return BODY_WITHOUT_SUBJECT if value.text == "body" and not value.subject else _TEXTS[value.text or "body"]
