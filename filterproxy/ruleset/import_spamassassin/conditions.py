"""Conditions of .cf files: `if plugin(…)`, `version >= 3.004`, `can(…)`; read by a small parser, never run.

The rule: what this importer understands counts as there: a plugin that SpamAssassin loads by default, and every feature
(`can`, `has`) of the newest version.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)*)|([A-Za-z_][\w:]*)|(&&|\|\||==|!=|>=|<=|<=>|[()!<>])|(\S))")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
PERL_VERSION = 5.036
# Options of the compatibility kind: set only when an administrator asks for the old names.
_OFF = frozenset({"Mail::SpamAssassin::Conf::compat_welcomelist_blocklist"})
_ALIASES = {
    "Mail::SpamAssassin::Plugin::Dmarc": "Mail::SpamAssassin::Plugin::DMARC",
    "Mail::SpamAssassin::Plugin::WhiteListSubject": "Mail::SpamAssassin::Plugin::WelcomeListSubject",
}
_PREFIX = "Mail::SpamAssassin::Plugin::"
# What SpamAssassin 4 loads without being asked to.
DEFAULT_PLUGINS = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        "AskDNS", "AutoLearnThreshold", "Bayes", "BodyEval", "Check", "DKIM", "DMARC", "DNSEval", "FreeMail",
        "HTMLEval", "HTTPSMismatch", "HashBL", "HeaderEval", "ImageInfo", "MIMEEval", "MIMEHeader", "Pyzor",
        "Razor2", "RelayEval", "ReplaceTags", "SPF", "SpamCop", "URIDNSBL", "URIDetail", "URIEval", "VBounce",
        "WLBLEval", "WelcomeListSubject",
    )
)  # fmt: skip


def condition_holds(text: str, plugins: Collection[str], version: str) -> bool:
    """Tell whether a condition holds; raise ValueError for one that is not understood."""
    parser = _Parser(text, plugins, float(version))
    value = parser.either()
    if parser.word:
        raise ValueError(f"unexpected {parser.word!r}")
    return bool(value)


class _Parser:
    """Reads a condition from left to right."""

    def __init__(self, text: str, plugins: Collection[str], version: float) -> None:
        self._tokens = [match[0].strip() for match in _TOKEN.finditer(text)]
        self._plugins = plugins
        self._version = version
        self._depth = 0
        self._at = 0

    @property
    def word(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        word = self.word
        self._at += 1
        return word

    def either(self) -> float:
        value = self._both()
        while self.word == "||":
            self._take()
            right = self._both()
            value = float(bool(value) or bool(right))
        return value

    def _both(self) -> float:
        value = self._comparison()
        while self.word == "&&":
            self._take()
            right = self._comparison()
            value = float(bool(value) and bool(right))
        return value

    def _comparison(self) -> float:
        left = self._term()
        compare = _COMPARISONS.get(self.word)
        if compare is None:
            return left
        self._take()
        return float(compare(left, self._term()))

    def _term(self) -> float:
        word = self._take()
        self._depth += 1
        if self._depth > 200:
            raise ValueError("the condition is too long")
        if word == "!":
            return float(not self._term())
        if word == "(":
            value = self.either()
            self._expect(")")
            return value
        if word[:1].isdigit():
            return float(word)
        return self._name(word)

    def _name(self, word: str) -> float:
        if word == "version":
            return self._version
        if word == "perl_version":
            return PERL_VERSION
        if word == "local_tests_only":
            return 0.0
        if word not in ("plugin", "can", "has"):
            raise ValueError(f"{word!r} is not understood" if word else "it ends too early")
        self._expect("(")
        name = self._take()
        self._expect(")")
        name = _ALIASES.get(name, name)
        if word == "plugin":
            return float(name in self._plugins)
        return float(name.startswith("Mail::SpamAssassin::") and name not in _OFF and self._loaded(name))

    def _loaded(self, name: str) -> bool:
        return not name.startswith(_PREFIX) or name.rpartition("::")[0] in self._plugins

    def _expect(self, word: str) -> None:
        found = self._take()
        if found != word:
            raise ValueError(f"{word!r} expected instead of {found!r}")
