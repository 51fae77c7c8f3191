"""Statements collected into rules as SpamAssassin defines them, with scores, descriptions, flags and replaced tags.

The rule: a later definition of a name replaces an earlier one; what is said of a rule before it is defined counts too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from filterproxy.ruleset.import_spamassassin.statements import Place, Problem, Statement

KINDS = ("header", "body", "rawbody", "uri", "full", "mimeheader", "meta")
NAME = re.compile(r"[A-Za-z_]\w{0,99}\Z")
_HEADER = re.compile(r"([\w.-]+(?::|(?::[a-z]+){1,3})?)\s*([=!]~)\s*(.+)\Z", re.DOTALL)
_UNSET = re.compile(r"\s+\[if-unset:\s+(.+)\]\Z")
_EVAL = re.compile(r"(?:rbl)?eval:\s*(\w+)\s*\((.*)\)\s*\Z", re.DOTALL)
_PARTS = frozenset({"raw", "addr", "name", "host", "domain", "ip", "revip", "first", "last"})
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)\Z")
_TAG = re.compile(r"(<[^<>]+>)")
SCORE_SETS = 4


@dataclass(slots=True)
class Definition:
    """One rule as it is defined.

    `kind` is one of KINDS or `askdns`; `expression` in Perl's delimiters or the meta's expression; `function` and
    `arguments` those of an eval rule; `header` the field with its modifiers; `exists`: whether the field must be there.
    """

    name: str
    kind: str
    place: Place
    expression: str = ""
    header: str = ""
    negated: bool = False
    if_unset: str | None = None
    exists: bool = False
    function: str = ""
    arguments: tuple[str, ...] = ()


@dataclass
class Definitions:
    """Everything that files define."""

    score_set: int = 3
    rules: dict[str, Definition] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    described: dict[str, str] = field(default_factory=dict)
    flags: dict[str, dict[str, str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    settings: dict[str, int] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _tags: dict[str, dict[str, str]] = field(default_factory=dict)
    _tagged: dict[str, None] = field(default_factory=dict)

    def read(self, statements: Iterable[Statement]) -> None:
        """Add statements, and fill in the tags when all are there."""
        for statement in statements:
            try:
                self._add(statement)
            except ValueError as error:
                self.problems.append(Problem(statement.place, str(error)))
        self._replace_tags()

    def score(self, name: str) -> float:
        """Return a rule's score; without one 1, 0.01 for a rule on probation (`T_`), negative for a nice one."""
        if name in self.scores:
            return self.scores[name]
        default = 0.01 if name.startswith("T_") else 1.0
        return -default if "nice" in self.flags.get(name, {}) else default

    def _add(self, statement: Statement) -> None:
        key, value, place = statement
        if key in KINDS or key == "askdns":
            definition = _defined(key, value, place)
            self.rules[definition.name] = definition
        elif key in _SETTERS:
            _SETTERS[key](self, value)
        else:
            self.settings[key] = self.settings.get(key, 0) + 1
            self.values[key] = value
            self._list(key, value)

    def _list(self, key: str, value: str) -> None:
        """Note the words of a setting that eval rules read, by the name that the rules give."""
        named = _NAMED_LIST.match(value) if key in _NAMED_LISTS else None
        if named:
            self.lists.setdefault(f"{_NAMED_LISTS[key]}:{named[1]}", []).extend(named[2].split())
        elif key in _LISTS:
            self.lists.setdefault("freemail:", []).extend(value.split())

    def _score(self, value: str) -> None:
        name, *numbers = value.split()
        relative = bool(numbers) and numbers[0].startswith("(")
        plain = [number.strip("()") for number in numbers]
        if len(plain) not in (1, SCORE_SETS) or not all(map(_NUMBER.match, plain)):
            raise ValueError(f"score {name}: write one number or four, one for each score set")
        number = float(plain[self.score_set if len(plain) == SCORE_SETS else 0])
        self.scores[name] = self.score(name) + number if relative else number

    def _describe(self, value: str) -> None:
        name, _, text = value.partition(" ")
        self.described[name.strip()] = " ".join(text.encode("latin-1").decode("utf-8", "replace").split())

    def _tflags(self, value: str) -> None:
        name, *flags = value.split()
        self.flags.setdefault(name, {}).update((f.partition("=")[0], f.partition("=")[2]) for f in flags)

    def _reuse(self, value: str) -> None:
        """Say nothing: it is about replays of old results."""

    def _tag(self, kind: str, value: str) -> None:
        name, expression = _split(value)
        self._tags.setdefault(kind, {})[name] = expression

    def _replace_rules(self, value: str) -> None:
        self._tagged.update(dict.fromkeys(value.split()))

    def _remove(self, value: str) -> None:
        for name in value.split():
            self.rules.pop(name, None)

    def _replace_tags(self) -> None:
        for name in self._tagged:
            rule = self.rules.get(name)
            if rule is not None and rule.expression and rule.kind != "meta":
                rule.expression = self._filled(rule.expression)

    def _filled(self, expression: str) -> str:
        """Return the expression with its `<tags>` replaced, as Mail::SpamAssassin::Plugin::ReplaceTags does."""
        for _ in range(6):
            around = {}
            for kind in ("pre", "post", "inter"):
                match = re.search(rf"<{kind} (.+?)>", expression)
                if match:
                    expression = expression.replace(match[0], "", 1)
                    around[kind] = self._tags.get(f"replace_{kind}", {}).get(match[1], "")
            pieces = _TAG.split(expression)
            replaced = "".join(self._piece(piece, number, pieces, around) for number, piece in enumerate(pieces))
            if replaced == expression:
                break
            expression = replaced
        return expression

    def _piece(self, piece: str, number: int, pieces: list[str], around: dict[str, str]) -> str:
        if not piece and 0 < number < len(pieces) - 1:
            return around.get("inter", "")
        if not piece.startswith("<") or not piece.endswith(">"):
            return piece
        tag = self._tags.get("replace_tag", {}).get(piece[1:-1], "")
        return around.get("pre", "") + (tag or piece) + around.get("post", "")


_SETTERS: dict[str, Callable[[Definitions, str], None]] = {
    "score": Definitions._score,
    "describe": Definitions._describe,
    "tflags": Definitions._tflags,
    "reuse": Definitions._reuse,
    "priority": Definitions._reuse,
    "test": Definitions._reuse,
    "replace_rules": Definitions._replace_rules,
    "replace_tag": lambda self, value: self._tag("replace_tag", value),
    "replace_pre": lambda self, value: self._tag("replace_pre", value),
    "replace_inter": lambda self, value: self._tag("replace_inter", value),
    "replace_post": lambda self, value: self._tag("replace_post", value),
}
# Settings whose words eval rules read.
_LISTS = frozenset({"freemail_domains"})
_NAMED_LISTS = {"enlist_addrlist": "addresses", "enlist_uri_host": "hosts"}
_NAMED_LIST = re.compile(r"\(\s*(\w+)\s*\)\s*(.*)")


def _split(value: str) -> tuple[str, str]:
    name, *rest = value.split(None, 1)
    if not rest:
        raise ValueError(f"{name or 'the line'}: nothing follows the name")
    return name, rest[0]


def _defined(kind: str, value: str, place: Place) -> Definition:
    """Return the rule that a line defines; raise ValueError for one that is wrong."""
    if not value:
        raise ValueError(f"`{kind}` without a name")
    name, rest = _split(value)
    if not NAME.match(name):
        raise ValueError(f"{kind} {name!r}: a rule's name has letters, digits and _ and begins with no digit")
    definition = Definition(name, kind, place)
    evaluated = _EVAL.match(rest)
    if evaluated:
        definition.function = evaluated[1]
        definition.arguments = _arguments(evaluated[2])
    elif rest.startswith(("eval:", "rbleval:")):
        raise ValueError(f"{kind} {name}: write eval:function(arguments)")
    elif kind == "header" and rest.startswith("exists:"):
        definition.header, definition.exists = rest.removeprefix("exists:").rstrip(":"), True
    elif kind in ("header", "mimeheader"):
        _field(definition, rest)
    else:
        definition.expression = rest
    return definition


def _field(definition: Definition, text: str) -> None:
    match = _HEADER.match(text)
    if not match:
        raise ValueError(f"{definition.kind} {definition.name}: write Field =~ /expression/")
    header, *parts = match[1].rstrip(":").split(":")
    unknown = [part for part in parts if part not in _PARTS]
    if unknown:
        raise ValueError(f"header {definition.name}: unknown modifier :{unknown[0]}")
    definition.header = ":".join([header, *parts])
    definition.negated = match[2] == "!~"
    definition.expression = match[3]
    unset = _UNSET.search(definition.expression)
    if unset:
        definition.if_unset = unset[1]
        definition.expression = definition.expression[: unset.start()]


def _arguments(text: str) -> tuple[str, ...]:
    found = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s,'\"]+)", text)
    return tuple(next((group for group in groups if group), "") for groups in found)
