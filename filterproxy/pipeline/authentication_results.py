"""The Authentication-Results header field (RFC 8601): how ours is written, and which inbound ones claim to be ours.

The rule: values that came from outside are written as tokens or quoted strings, never as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from filterproxy.core.authentication import MethodResult

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~@/]+\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_MAX_VALUE = 256
_FIRST_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^\s;()"]+)', re.DOTALL)


def authentication_results_value(authserv_id: str, results: Sequence[MethodResult]) -> str:
    """Return the field's value: our authserv-id and one `method=result` a line, or `none` (RFC 8601 section 2.2)."""
    if not results:
        return f"{_value(authserv_id)}; none"
    return ";\n\t".join([_value(authserv_id), *(_result(result) for result in results)])


def _result(result: MethodResult) -> str:
    words = [f"{result.method}={result.result}"]
    if result.reason:
        words.append(f"reason={_quoted(result.reason)}")
    words += [f"{name}={_value(value)}" for name, value in result.properties if value]
    return " ".join(words)


def _value(text: str) -> str:
    text = _clean(text)
    return text if _TOKEN.match(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = _clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_MAX_VALUE]


def carries_authserv_id(value: bytes, hostname: str) -> bool:
    """Tell whether an Authentication-Results value names our host as its author (RFC 8601 section 5).

    Comments, folding, quoting, letter case and a final dot do not hide the name; what cannot be read is taken as
    ours, because removing a field of nobody's costs nothing and keeping a forged one does.
    """
    rest = _skip_comments(value)
    if rest is None:
        return True
    match = _FIRST_TOKEN.match(rest)
    if match is None:
        return True
    name = re.sub(rb"\\(.)", rb"\1", match[1]) if match[1] is not None else match[2]
    return name.decode("utf-8", "replace").strip().rstrip(".").lower() == hostname.rstrip(".").lower()


def _skip_comments(value: bytes) -> bytes | None:
    """Return the value after leading white space and comments (RFC 5322 section 3.2.2), None when one never ends."""
    position, depth = 0, 0
    while position < len(value):
        char = value[position : position + 1]
        if depth and char == b"\\":
            position += 1
        elif char == b"(":
            depth += 1
        elif depth and char == b")":
            depth -= 1
        elif not depth and not char.isspace():
            return value[position:]
        position += 1
    return None if depth else b""
