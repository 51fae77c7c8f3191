"""Which literal texts a regular expression cannot match without: what the prefilter looks for first.

The rule: when in doubt, none. A literal named here must appear, letter case aside, in every text the expression
matches; an expression this reader does not understand has no literals and is simply tried on every text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_letters
from typing import NamedTuple

from filterproxy.ruleset.keys import BOUNDARY, bare, key_of
from filterproxy.ruleset.rarity import rarity

Group = frozenset[str]


class Literals(NamedTuple):
    """Texts of which every match holds at least one, and how many characters a match has at most (0: no limit).

    `runs` and `gaps`: how many stretches of any length without a blank, and without a letter of ASCII, a match may have
    besides those characters.
    `also`: more groups of texts, of each of which every match holds at least one.
    `before`: how many characters of a match stand before one of `texts` at most, None when there is no limit; `fixed`:
    it is always as many. `keys`: the texts with a BOUNDARY at an end where no word goes on.
    """

    texts: Group = frozenset()
    longest: int = 0
    runs: int = 0
    gaps: int = 0
    also: tuple[Group, ...] = ()
    before: int | None = None
    fixed: bool = False
    keys: Group = frozenset()


MIN_LENGTH = 4  # of a literal, in UTF-8 bytes: shorter ones are in every text, unless they are rare words
MIN_RARITY = 10  # bits of a group of shorter ones
MAX_PRODUCT = 64  # texts a concatenation may multiply out to
MAX_GROUP = 1000  # texts one group may hold
MAX_ALSO = 8  # texts of a group that is looked for only near one of the best group
MIN_BITS = 5  # how rare such a group has to be
FIXED_BITS = 2  # by which a group is better of which it is known where in a match it stands
MAX_DEPTH = 60
MAX_PATTERN = 20_000  # longer ones are letters with all their look-alikes, in which nothing is literal
MAX_CLASS = 4  # members of a character class that count as alternatives

# Characters that stand for themselves and that no quantifier follows.
_PLAIN_RUN = re.compile(r"[A-Za-z0-9 ,'\"@#%&:;<>=!~_/-]+(?![*+?{])")
# A class that `re` reads as RE2 does.
_SIMPLE_CLASS = re.compile(r"\[\^?\]?(?:\\[dswDSW.\]\[/_^$-]|[^\\\[])*\]\Z")
# A class of which only the first `]` that nothing escapes can be the end.
_WHOLE_CLASS = re.compile(r"\[(?!\^\])(?:[^\]\[\\]|\\.)+\]", re.DOTALL)
_CLASS_ESCAPES = "dDsSwWpPC"
_EMPTY_ESCAPES = "bBAz"
_NO_BOUNDARY = "B"
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_EMPTY: Group = frozenset({""})


class _NotUnderstood(Exception):
    """The expression uses something this reader has no rule for."""


class _Found(NamedTuple):
    """Texts of which a part matches one at least, and how many characters stand before it (see `Literals`)."""

    texts: Group
    before: int | None = 0
    fixed: bool = True

    def after(self, longest: int | None, constant: bool) -> _Found:
        """Return the same behind a part that matches that many characters at most."""
        before = None if self.before is None or longest is None else self.before + longest
        return _Found(self.texts, before, self.fixed and constant and before is not None)


_NONE = _Found(frozenset(), None, False)


@dataclass(frozen=True, slots=True)
class _Node:
    """What a part matches: exactly these texts, or (exact is None) anything that contains one text of each group.

    `longest` is the most characters it matches, None when there is no limit; besides them it matches up to `runs`
    stretches without a blank and `gaps` stretches without a letter. `solid`, `gap`: it is one character that is no
    blank, no letter. `constant`: it always matches `longest` characters.
    """

    exact: Group | None = None
    groups: tuple[_Found, ...] = ()
    longest: int | None = None
    runs: int = 0
    gaps: int = 0
    solid: bool = False
    gap: bool = False
    constant: bool = False


def _exactly(*texts: str) -> _Node:
    longest = max(map(len, texts))
    single = longest == 1 and "" not in texts
    solid = single and " " not in texts
    gap = single and not any(map(str.isalpha, texts))
    return _Node(frozenset(texts), (), longest, solid=solid, gap=gap, constant=min(map(len, texts)) == longest)


_NOTHING = _exactly("")
_BOUNDARY = _Node(frozenset({BOUNDARY}), (), 0, constant=True)
_SPACE = _exactly(" ")
_ANY_CHARACTER = _Node(None, (), 1, constant=True)
_ESCAPED_CLASSES = {
    "w": _Node(None, (), 1, solid=True, constant=True),
    "S": _Node(None, (), 1, solid=True, constant=True),
    "d": _Node(None, (), 1, solid=True, gap=True, constant=True),
    "W": _Node(None, (), 1, gap=True, constant=True),
    "s": _Node(None, (), 1, gap=True, constant=True),
}


def required_literals(pattern: str, *, plain: bool) -> Literals:
    """Return lower-case literals of which every match contains at least one.

    `pattern` is in RE2's syntax. No literals: nothing is known, and the expression has to be tried on every text.
    `plain` texts are in normal form (see `normal_form`): single blanks are their only white space. Otherwise they may
    be any bytes, and literals end at characters outside ASCII, whose letter case is unknown there.
    """
    if len(pattern) > MAX_PATTERN:
        return Literals()
    try:
        node = _Reader(pattern, plain).alternation(0)
    except (_NotUnderstood, IndexError, ValueError, OverflowError):
        return Literals()
    best = _best(node) or _NONE
    texts = _bare(best.texts)
    groups = {_bare(found.texts) for found in _groups(node) if _checkable(found.texts)} - {texts}
    others = (group for group in groups if _rarity(group) > MIN_BITS)
    also = sorted(others, key=lambda group: (_rarity(group), sorted(group)), reverse=True)[:2] if best.texts else []
    return Literals(texts, node.longest or 0, *_stretches(node), tuple(also), best.before, best.fixed, best.texts)


def _checkable(group: Group) -> bool:
    """Tell whether the texts of a group are few enough to be looked for one after the other near another literal."""
    return 0 < len(group) <= MAX_ALSO and "" not in group and BOUNDARY not in group


def _bare(group: Group) -> Group:
    return frozenset(map(bare, group))


@lru_cache(maxsize=65536)
def _rarity(group: Group) -> float:
    """Return how rarely one of the texts stands at a place, in bits."""
    return -math.log2(sum(2.0 ** -rarity(key_of(text).text) for text in group))


def _stretches(node: _Node) -> tuple[int, int]:
    return (0, 0) if node.longest is None else (node.runs, node.gaps)


def _useful(group: Group) -> bool:
    if not 0 < len(group) <= MAX_GROUP:
        return False
    if min(map(len, group)) >= MIN_LENGTH + 2:  # boundaries included
        return True
    shortest = min(len(bare(text).encode()) for text in group)
    return shortest >= MIN_LENGTH or (shortest > 0 and _rarity(group) >= MIN_RARITY)


@lru_cache(maxsize=65536)
def _quality(group: Group) -> tuple[float, list[str]]:
    """Return how rarely one of the texts is found, in bits."""
    return _rarity(group), sorted(group)


@lru_cache(maxsize=4096)
def _excludes(char_class: str) -> tuple[bool, bool]:
    """Return whether a character class is sure to hold no blank, and no letter of ASCII."""
    if "[:" in char_class or not _SIMPLE_CLASS.match(char_class):
        return False, False
    try:
        members = re.compile(char_class)
    except re.error:
        return False, False
    return members.match(" ") is None, not any(map(members.match, ascii_letters))


def _groups(node: _Node) -> tuple[_Found, ...]:
    return node.groups if node.exact is None else (_Found(node.exact),)


def _best(node: _Node) -> _Found | None:
    return max((found for found in _groups(node) if _useful(found.texts)), key=_worth, default=None)


def _worth(found: _Found) -> tuple[float, list[str]]:
    """Return how rarely it is found, in bits, and what a match is the easier to see with."""
    bits, texts = _quality(found.texts)
    return bits + FIXED_BITS * found.fixed, texts


def _concatenate(nodes: Iterable[_Node]) -> _Node:
    """Return what the nodes match one after the other."""
    groups: list[_Found] = []
    texts, exact = _EMPTY, True
    before: int | None = 0  # of `texts`, with `fixed`
    fixed = constant = True
    longest: int | None = 0
    runs = gaps = 0
    for node in nodes:
        if node.exact is not None and len(texts) * len(node.exact) <= MAX_PRODUCT:
            texts = frozenset([left + right for left in texts for right in node.exact])
        else:
            exact = False
            groups.append(_Found(texts, before, fixed))
            lead = None if runs or gaps else longest
            groups += [found.after(lead, constant) for found in node.groups]
            texts, before, fixed = node.exact or _EMPTY, lead, constant and lead is not None
        longest = None if longest is None or node.longest is None else longest + node.longest
        runs, gaps = runs + node.runs, gaps + node.gaps
        constant = constant and node.constant
        if node.exact is None:
            before = None if runs or gaps else longest
            fixed = constant and before is not None
    if exact:
        return _Node(texts, (), longest, constant=constant)
    groups.append(_Found(texts, before, fixed))
    kept = tuple(found for found in groups if _useful(found.texts) or _checkable(found.texts))
    return _Node(None, kept, longest, runs, gaps, constant=constant)


def _alternate(nodes: list[_Node]) -> _Node:
    """Return what any one of the nodes matches."""
    if len(nodes) == 1:
        return nodes[0]
    bounded = [node.longest for node in nodes if node.longest is not None]
    longest = max(bounded) if len(bounded) == len(nodes) else None
    runs, gaps = max(node.runs for node in nodes), max(node.gaps for node in nodes)
    solid, gap = all(node.solid for node in nodes), all(node.gap for node in nodes)
    constant = all(node.constant and node.longest == longest for node in nodes)
    exact = [node.exact for node in nodes if node.exact is not None]
    if len(exact) == len(nodes) and sum(map(len, exact)) <= MAX_GROUP:
        return _Node(frozenset().union(*exact), (), longest, solid=solid, gap=gap, constant=constant)
    best = [found for node in nodes if (found := _best(node)) is not None]
    groups = (_either(best),) if len(best) == len(nodes) else ()
    return _Node(None, groups, longest, runs, gaps, solid and not groups, gap and not groups, constant)


def _either(found: list[_Found]) -> _Found:
    """Return the texts of alternatives together."""
    places = [item.before for item in found if item.before is not None]
    before = max(places) if len(places) == len(found) else None
    fixed = all(item.fixed and item.before == before for item in found)
    return _Found(frozenset().union(*(item.texts for item in found)), before, fixed)


def _repeat(node: _Node, least: int, most: int | None) -> _Node:
    """Return what `least` to `most` (None: any number) repetitions match."""
    groups = _groups(node) if least else ()
    if most is None and node.solid:
        return _Node(None, groups, 0, 1)
    if most is None and node.gap:
        return _Node(None, groups, 0, 0, 1)
    longest = None if most is None or node.longest is None else most * node.longest
    runs, gaps = (0, 0) if most is None else (most * node.runs, most * node.gaps)
    if least == 0 and most == 1 and node.exact is not None:
        return _Node(node.exact | _EMPTY, (), longest, constant=longest == 0)
    if least == most and least <= 10:
        return _concatenate([node] * least)
    return _Node(None, groups, longest, runs, gaps, constant=node.constant and least == most)


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str, plain: bool) -> None:
        self.text = pattern
        self.at = 0
        self.plain = plain

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        char = self.text[self.at]
        self.at += 1
        return char

    def take_until(self, end: str) -> str:
        stop = self.text.index(end, self.at)
        found = self.text[self.at : stop]
        self.at = stop + len(end)
        return found

    def alternation(self, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise _NotUnderstood
        branches = [self.branch(depth)]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.branch(depth))
        if depth == 0 and self.at < len(self.text):
            raise _NotUnderstood
        return _alternate(branches)

    def branch(self, depth: int) -> _Node:
        nodes: list[_Node] = []
        while self.peek() not in ("", "|", ")"):
            plain = _PLAIN_RUN.match(self.text, self.at)
            if plain:
                self.at = plain.end()
                nodes.append(_exactly(plain[0].lower()))
            else:
                nodes.append(self.quantified(self.atom(depth)))
        return _concatenate(nodes)

    def quantified(self, node: _Node) -> _Node:
        bounds = self.quantifier()
        if bounds is None:
            return node
        if self.peek() == "?":
            self.at += 1
        if self.quantifier() is not None:
            raise _NotUnderstood
        if node == _SPACE and bounds[1] is None and bounds[0] <= 1:
            bounds = bounds[0], 1  # normal form has no two of them
        return _repeat(node, *bounds)

    def quantifier(self) -> tuple[int, int | None] | None:
        simple = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        char = self.peek()
        if char in simple:
            self.at += 1
            return simple[char]
        return self.counted() if char == "{" else None

    def counted(self) -> tuple[int, int | None] | None:
        """Return the bounds of `{n}`, `{n,}` or `{n,m}`; None when the brace is a literal one."""
        stop = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1 : stop].partition(",") if stop > 0 else ("", "", "")
        if not least.isascii() or not least.isdigit() or not (most == "" or (most.isascii() and most.isdigit())):
            return None
        self.at = stop + 1
        return int(least), (int(most) if most else None) if comma else int(least)

    def atom(self, depth: int) -> _Node:
        char = self.take()
        if char == "(":
            return self.group(depth)
        if char == "[":
            return self.char_class()
        if char == "\\":
            return self.escape()
        if char == ".":
            return _ANY_CHARACTER
        if char in "^$":
            return _BOUNDARY
        if char in "*+?":
            raise _NotUnderstood
        return self.char(char)

    def group(self, depth: int) -> _Node:
        if self.peek() == "?":
            self.at += 1
            if self.text.startswith(("P<", "<"), self.at):
                self.take_until(">")
            else:
                flags = self.flags()
                if flags == ")":
                    return _NOTHING
        node = self.alternation(depth + 1)
        if self.take() != ")":
            raise _NotUnderstood
        return node

    def flags(self) -> str:
        """Skip `i`, `m`, `s`, `U` and `-`; return what ended them."""
        while (char := self.take()) not in (":", ")"):
            if char not in "imsU-":
                raise _NotUnderstood
        return char

    def escape(self) -> _Node:
        char = self.take()
        if char == "Q":
            return self.quoted()
        if char in _EMPTY_ESCAPES:
            return _NOTHING if char == _NO_BOUNDARY else _BOUNDARY
        if char == "s" and self.plain:
            return _SPACE
        if char in _CLASS_ESCAPES:
            self.skip_property(char)
            return _ESCAPED_CLASSES.get(char, _ANY_CHARACTER)
        return self.char(self.escaped_char(char))

    def quoted(self) -> _Node:
        text = self.take_until("\\E")
        if self.peek() in ("*", "+", "?", "{"):
            raise _NotUnderstood  # the quantifier is the last character's alone
        return _concatenate(map(self.char, text))

    def skip_property(self, char: str) -> None:
        if char in "pP" and self.take() == "{":
            self.take_until("}")

    def escaped_char(self, char: str) -> str:
        if char in _CONTROL:
            return _CONTROL[char]
        if char == "x":
            digits = self.take() + self.take()
            if digits[0] == "{":
                digits = digits[1] + self.take_until("}")
            return chr(int(digits, 16))
        if char.isalnum():
            raise _NotUnderstood
        return char

    def char_class(self) -> _Node:
        """Read a class; a small one counts as its members, any other as any character."""
        whole = _WHOLE_CLASS.match(self.text, self.at - 1)
        if whole is None:
            return self.members()
        self.at = whole.end()
        return _class(whole[0], self.plain)

    def members(self) -> _Node:
        """Read a class character by character."""
        begin = self.at - 1
        negated = self.peek() == "^"
        self.at += negated
        members: set[str] | None = set()
        first = True
        while first or self.peek() != "]":
            first = False
            item = self.class_item()
            if item is None or members is None or len(members) > MAX_CLASS:
                members = None
            else:
                members |= item
        self.at += 1
        if members is None or negated or len(members) > MAX_CLASS:
            return _Node(None, (), 1, 0, 0, *_excludes(self.text[begin : self.at]), constant=True)
        return _alternate([self.char(member) for member in sorted(members)])

    def class_item(self) -> set[str] | None:
        """Return a member or the members of a range; None for one that stands for many."""
        if self.text.startswith("[:", self.at):
            self.take_until(":]")
            return None
        if self.plain and self.text.startswith("\\s", self.at):
            self.at += 2
            return {" "}
        low = self.class_char()
        if self.peek() != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return None if low is None else {low}
        self.at += 1
        high = self.class_char()
        if low is None or high is None or ord(high) - ord(low) > MAX_CLASS:
            return None
        return {chr(code) for code in range(ord(low), ord(high) + 1)}

    def class_char(self) -> str | None:
        char = self.take()
        if char != "\\":
            return char
        char = self.take()
        if char in _CLASS_ESCAPES:
            self.skip_property(char)
            return None
        return self.escaped_char(char)

    def char(self, char: str) -> _Node:
        """Return the node of one character; one whose letter cases are not a plain pair stands for any text."""
        if char == BOUNDARY:
            return _ANY_CHARACTER
        if char.isascii():
            return _exactly(char.lower())
        paired = "А" <= char <= "я"  # Cyrillic; accented Latin letters are not in normal form
        caseless = char.lower() == char.upper() == char.casefold() == char
        if (paired or caseless) and self.plain:
            return _exactly(char.lower())
        # Of bytes of unknown encoding it is several.
        return _ANY_CHARACTER if self.plain else _Node(None, (), len(char.encode("utf-8", "replace")))


@lru_cache(maxsize=4096)
def _class(text: str, plain: bool) -> _Node:
    """Return the node of a class, of which expressions with look-alikes repeat the same few again and again."""
    reader = _Reader(text, plain)
    reader.at = 1
    return reader.members()
