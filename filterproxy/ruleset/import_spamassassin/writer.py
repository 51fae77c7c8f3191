"""Translated rules as the text of a rules file.

The rule: what is written loads, and reads like a file that a person wrote: one rule after the other, expressions in
single quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from filterproxy.ruleset.import_spamassassin.translate import Rule

_WORD = re.compile(r"[A-Za-z_][\w.:-]*[\w.-]\Z")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


MARK = "# Written by `filterproxy rules import-spamassassin`"


def rules_file(rules: Iterable[Rule], source: str) -> str:
    """Return the text of a rules file."""
    lines = [f"{MARK} from {_comment(source)}.", "# The rules are their authors' and keep their licence.", "rules:"]
    for rule in rules:
        lines += _lines(rule)
    return "\n".join(lines) + "\n"


def list_text(entries: Iterable[str]) -> str:
    """Return the text of a list file."""
    return "\n".join([f"{MARK}.", *entries]) + "\n"


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _lines(rule: Rule) -> Iterator[str]:
    yield f"  - name: {rule.name}"
    if not rule.is_part:
        yield f"    score: {rule.score:g}"
        if rule.description:
            yield f"    description: {_scalar(rule.description)}"
        if rule.group:
            yield f"    group: {_scalar(rule.group)}"
    yield f"    match: {_flow(rule.match)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else _scalar(value)


def _scalar(text: str) -> str:
    if _WORD.match(text) and text.lower() not in _RESERVED:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)
