"""Rules of SpamAssassin turned into rules of ours, one by one, metas after what they read.

The rule: a meta is translated only when everything it names is, or is off; nothing is loaded half.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filterproxy.core.symbol import SYMBOL_NAME
from filterproxy.ruleset.expressions import ExpressionError, compile_expression
from filterproxy.ruleset.import_spamassassin import eval_rules, metas
from filterproxy.ruleset.import_spamassassin.definitions import Definition, Definitions
from filterproxy.ruleset.import_spamassassin.perl_regex import PerlRegexError
from filterproxy.ruleset.import_spamassassin.perl_regex import translate as translate_regex
from filterproxy.ruleset.import_spamassassin.report import SCORE_ZERO, Fate, Outcome, Report
from filterproxy.ruleset.spamassassin.nodes import MAX_EXPRESSION

MAX_HITS = 10_000
_TEXTS = {"body": "body", "rawbody": "rawbody", "full": "full", "uri": "uri"}
_CAPTURED = re.compile(r"%\{\w+\}")


class Untranslated(Exception):
    """Why a rule is not translated: a reason for counting, and what is particular."""

    def __init__(self, fate: Fate, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.fate, self.reason, self.detail = fate, reason, detail


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ours: its name, what it looks for, and for one that is seen its score and description."""

    name: str
    match: dict[str, Any]
    score: float = 0.0
    description: str = ""
    group: str = ""

    @property
    def is_part(self) -> bool:
        """Tell whether only rules read it."""
        return self.name.startswith("_")


@dataclass
class Translation:
    """All rules that could be translated, the list files they read (names and entries), and the report."""

    rules: list[Rule] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


def translate(definitions: Definitions, taken: Collection[str] = ()) -> Translation:
    """Return the rules; a name among `taken` (symbols of checks, other rules) is written with `SA_` before it."""
    return _Translator(definitions, frozenset(taken)).run()


class _Translator:
    """One run over all definitions."""

    def __init__(self, definitions: Definitions, taken: frozenset[str]) -> None:
        self._definitions = definitions
        self._taken = taken
        self._done: dict[str, Rule | Untranslated] = {}
        self._open: list[str] = []
        self.lists: dict[str, list[str]] = {}

    def run(self) -> Translation:
        """Translate every rule."""
        found = Translation()
        found.report.problems = list(self._definitions.problems)
        found.report.settings = dict(self._definitions.settings)
        for name, definition in self._definitions.rules.items():
            result = self._result(name)
            if isinstance(result, Rule):
                found.rules.append(result)
            found.report.outcomes.append(_outcome(definition, result))
        found.lists = self.lists
        return found

    def _result(self, name: str) -> Rule | Untranslated:
        """Return the rule, or why there is none; each is translated once."""
        if name not in self._done:
            try:
                self._done[name] = self._rule(self._definitions.rules[name])
            except Untranslated as error:
                self._done[name] = error
        return self._done[name]

    def _rule(self, definition: Definition) -> Rule:
        name = definition.name
        score = self._definitions.score(name)
        if score == 0 and not name.startswith("__"):
            raise Untranslated(Fate.OFF, SCORE_ZERO)
        match = self._match(definition)
        if name.startswith("__"):
            return Rule(name, match)
        if "authentication" in match:  # the check itself fires a symbol and has its score
            return Rule(f"__{name}", match)
        described = self._definitions.described.get(name, "")
        return Rule(self._new_name(name), match, score, described, Path(definition.place.file).stem)

    def _new_name(self, name: str) -> str:
        upper = name.upper().lstrip("_")
        if upper in self._taken:
            upper = f"SA_{upper}"
        if not SYMBOL_NAME.match(upper):
            raise Untranslated(Fate.LEFT_OUT, "its name is too long for a symbol")
        return upper

    def _match(self, definition: Definition) -> dict[str, Any]:
        if definition.kind == "askdns":
            raise Untranslated(Fate.OFF, "it asks the network", "askdns")
        if definition.function:
            return self._function(definition)
        if definition.kind == "meta":
            return self._meta(definition)
        if definition.exists:
            return {"spamassassin": {"header": definition.header, "exists": True}}
        return self._expression(definition)

    def _function(self, definition: Definition) -> dict[str, Any]:
        function = definition.function
        if eval_rules.asks_network(function):
            raise Untranslated(Fate.OFF, "it asks the network", function)
        setting = eval_rules.silent_without(function)
        if setting and self._definitions.values.get(setting, "all") in ("all", ""):
            raise Untranslated(Fate.OFF, "it never hits without a setting", setting)
        try:
            match = eval_rules.match_of(function, definition.arguments, self._list_file(definition))
        except ValueError as error:
            raise Untranslated(Fate.LEFT_OUT, "an eval function with other arguments", f"{function}: {error}") from None
        if match is not None:
            return match
        covered = eval_rules.covered_by(function)
        if covered:
            raise Untranslated(Fate.COVERED, covered, function)
        raise Untranslated(Fate.LEFT_OUT, f"the eval function {function}", function)

    def _list_file(self, definition: Definition) -> str:
        """Return the name of the file of the list that an eval rule reads, and note its entries."""
        name = eval_rules.list_of(definition.function, definition.arguments)
        if not name:
            return ""
        words = self._definitions.lists.get(name)
        if not words:
            raise Untranslated(Fate.OFF, "its list is empty", name)
        file = f"spamassassin-{name.strip(':').replace(':', '-').lower()}.txt"
        self.lists[file] = list_entries(words)
        return file

    def _expression(self, definition: Definition) -> dict[str, Any]:
        if _CAPTURED.search(definition.expression):
            raise Untranslated(Fate.LEFT_OUT, "it uses text that another rule captured")
        flags = self._definitions.flags.get(definition.name, {})
        if definition.kind == "mimeheader" and {"range", "concat"} & flags.keys():
            raise Untranslated(Fate.LEFT_OUT, "tflags range or concat")
        try:
            expression = translate_regex(definition.expression)
            compile_expression(expression.pattern, raw=True, longest=MAX_EXPRESSION)
        except (PerlRegexError, ExpressionError) as error:
            raise Untranslated(Fate.LEFT_OUT, "its regular expression", str(error)) from None
        written = _target(definition)
        written["regex"] = expression.pattern
        if expression.ignore_case:
            written["ignore_case"] = True
        if definition.if_unset:
            written["if_unset"] = definition.if_unset
        if "multiple" in flags and not definition.negated:
            written["hits"] = min(int(flags.get("maxhits") or MAX_HITS), MAX_HITS)
        if definition.kind == "body" and "nosubject" in flags:
            written["subject"] = False
        match = {"spamassassin": written}
        return {"not": match} if definition.negated else match

    def _meta(self, definition: Definition) -> dict[str, Any]:
        name = definition.name
        if name in self._open:
            raise Untranslated(Fate.LEFT_OUT, "metas in a circle", " -> ".join([*self._open, name]))
        self._open.append(name)
        try:
            meta = metas.without(metas.parse(definition.expression), self._is_off)
            if isinstance(meta, metas.Number):
                raise self._constant(meta)
            return metas.to_match(meta, self._read, self._cost)
        except metas.MetaError as error:
            raise Untranslated(Fate.LEFT_OUT, "its expression", str(error)) from None
        finally:
            self._open.pop()

    def _constant(self, meta: metas.Number) -> Untranslated:
        if meta.value:
            return Untranslated(Fate.LEFT_OUT, "always true without rules that are off")
        return Untranslated(Fate.OFF, "it needs rules that are off")

    def _is_off(self, name: str) -> bool:
        if name not in self._definitions.rules:
            return True
        result = self._result(name)
        return isinstance(result, Untranslated) and result.fate is Fate.OFF

    def _cost(self, name: str) -> int:
        """Return how dear a rule is to ask: an expression least, a function most."""
        definition = self._definitions.rules[name]
        if definition.function:
            return 40
        if definition.kind == "meta":
            return 30
        return 20 if "(?" in definition.expression.replace("(?:", "") or definition.exists else 10

    def _read(self, name: str) -> dict[str, Any]:
        result = self._result(name)
        if isinstance(result, Untranslated):
            raise Untranslated(Fate.LEFT_OUT, "it names a rule that is not translated", f"{name}: {result.reason}")
        return {"rule": result.name}


def list_entries(words: list[str]) -> list[str]:
    """Return the words of a setting as entries of a list file: `*@example.org` is a domain, `*.` all below it."""
    entries: dict[str, None] = {}
    for word in words:
        entry = word.lower().removeprefix("!")
        if word.startswith("!"):
            continue
        if entry.startswith("*@"):
            entry = entry[2:]
        entries.setdefault(entry[1:] if entry.startswith("*.") else entry)
        if "@" not in entry and "." not in entry.strip("."):
            entries.setdefault(f".{entry}")  # a top-level domain: every host below it
    return list(entries)


def _target(definition: Definition) -> dict[str, Any]:
    if definition.kind == "header":
        return {"header": definition.header}
    if definition.kind == "mimeheader":
        return {"mime_header": definition.header}
    return {"text": _TEXTS[definition.kind]}


def _outcome(definition: Definition, result: Rule | Untranslated) -> Outcome:
    kind = "eval" if definition.function else definition.kind
    if isinstance(result, Rule):
        written_as = result.name if result.name != definition.name else ""
        return Outcome(definition.name, kind, definition.place, Fate.TRANSLATED, written_as=written_as)
    return Outcome(definition.name, kind, definition.place, result.fate, result.reason, result.detail)
