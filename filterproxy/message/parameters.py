"""Values with parameters (Content-Type, Content-Disposition), with RFC 2231 and what senders make of it.

The one rule: linear in the length of the field, and the first of two equal parameters counts.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from filterproxy.message.charset import decode_text
from filterproxy.message.encoded_words import decode_words
from filterproxy.message.limits import Limits

_PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"?|([^;]*+))', re.DOTALL)
_COMMENT = re.compile(r"\([^()]*+\)")
_SECTION = re.compile(r"([^*]++)(?:\*(\d{1,4}))?(\*)?\Z")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def parse_value(text: str) -> str:
    """Return the value before the parameters, lower case, comments removed."""
    value = text.partition(";")[0]
    if "(" in value:
        value = _COMMENT.sub("", value)
    return value.strip().lower()


def parse_parameters(text: str, limits: Limits, defects: set[str]) -> dict[str, str]:
    """Return the parameters of a field's unfolded text: names in lower case, values decoded (RFC 2231, 2047)."""
    found: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(text)):
        if count >= limits.parameters:
            defects.add("parameter_limit")
            break
        name = match[1].lower()
        value = match[3].strip() if match[2] is None else _unquote(match[2])
        section = _SECTION.match(name) if "*" in name else None
        if section is None:
            found.setdefault(name, decode_words(value, limits, defects) if "=?" in value else value)
        else:
            numbered = sections.setdefault(section[1], {})
            numbered.setdefault(int(section[2] or 0), (value, bool(section[3])))
    for name, numbered in sections.items():
        found[name] = _join_sections(numbered, defects)
    return found


def _unquote(value: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", value) if "\\" in value else value


def _join_sections(sections: dict[int, tuple[str, bool]], defects: set[str]) -> str:
    charset, data = "", bytearray()
    for position, (_, (value, extended)) in enumerate(sorted(sections.items())):
        if not extended:
            data += value.encode("utf-8", "replace")
            continue
        if position == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        data += unquote_to_bytes(value)
    return decode_text(bytes(data), charset, defects, may_detect=False)
