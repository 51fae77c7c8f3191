"""Untrusted text made safe for one line of a log.

The rule: whatever comes in, what goes out is one bounded line in which nothing can pass for a separator, a second line
or another direction of writing. Escapes are `\\xNN`, `\\uNNNN` and `\\UNNNNNNNN`; a backslash is `\\\\`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Control characters, format characters (bidi overrides, zero width), surrogates, private use, unassigned, and the
# separators that some viewers break lines at.
_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))

# What is harmless in free text may still be a separator inside a value.
_QUOTED = frozenset('"')
_ADDRESS = frozenset(' "<>,')
_LISTED = frozenset(' "=,;(){}[]<>')
_BARE = frozenset(' "=,')


def escape(text: str, limit: int, separators: Iterable[str] = ()) -> str:
    """Return the text cut to `limit` characters (marked `…`), with unsafe characters and the separators escaped."""
    cut = text[:limit]
    if not (cut.isascii() and cut.isprintable() and "\\" not in cut) or any(char in cut for char in separators):
        cut = "".join(_escape_char(char, separators) for char in cut)
    return cut if len(text) <= limit else cut + "…"


def _escape_char(char: str, separators: Iterable[str]) -> str:
    if char == "\\":
        return "\\\\"
    if char not in separators and unicodedata.category(char) not in _UNSAFE_CATEGORIES:
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def address(text: str | None, limit: int = 320) -> str:
    """Return an address in angle brackets: `<a@example.org>`, `<>` for the null sender."""
    return f"<{escape(text or '', limit, _ADDRESS)}>"


def listed(text: str, limit: int = 120) -> str:
    """Return text for inside a list of options, where brackets and punctuation are separators."""
    return escape(text, limit, _LISTED)


def value(text: str, limit: int = 256) -> str:
    """Return text as the value of `key=`: bare when it is one word, else in double quotes."""
    if text and not any(char in text for char in _BARE):
        return escape(text, limit)
    return f'"{escape(text, limit, _QUOTED)}"'
