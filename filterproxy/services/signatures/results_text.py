"""Authentication results as others write them (RFC 8601 section 2.2, and how large senders really do it).

The one rule: what stands in a comment or in quotes is never taken for a result, and a text with an unclosed one says
nothing. Properties without a type (`action=none`) and unknown words are passed over, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from filterproxy.core.authentication import RESULT_WORDS, MethodResult

MAX_TEXT = 16_384
MAX_RESULTS = 50
_LEXEME = re.compile(r"\\.|[()\";]|[^\\()\";]+", re.DOTALL)
_QUOTED_BLANK, _QUOTED_EQUALS = "\0", "\1"  # stand for a blank and an equals sign inside quotes
_HIDE = str.maketrans({" ": _QUOTED_BLANK, "\t": _QUOTED_BLANK, "=": _QUOTED_EQUALS})
_SHOW = str.maketrans({_QUOTED_BLANK: " ", _QUOTED_EQUALS: "="})


def read_results(text: str) -> tuple[MethodResult, ...]:
    """Return the results of a field's value: `authserv-id; method=result ptype.property=value …; …`."""
    if len(text) > MAX_TEXT:
        return ()
    _, *statements = _statements(text.translate({0: " ", 1: " "}))
    results = (_read(statement) for statement in statements[:MAX_RESULTS])
    return tuple(result for result in results if result is not None)


def _statements(text: str) -> Iterator[str]:
    """Yield what stands between the semicolons, comments as blanks; nothing but the first when one never ends."""
    found, current = [], ""
    depth, quoted = 0, False
    for match in _LEXEME.finditer(text):
        lexeme = match[0]
        if quoted:
            quoted = lexeme != '"'
            current += lexeme.removeprefix("\\").translate(_HIDE) if quoted else ""
        elif lexeme == "(":
            depth += 1
        elif depth:
            depth -= lexeme == ")"
            current += "" if depth else " "
        elif lexeme == '"':
            quoted = True
        elif lexeme == ";":
            found.append(current)
            current = ""
        else:
            current += lexeme
    found.append(current)
    yield from found if not (depth or quoted) else found[:1]


def _read(statement: str) -> MethodResult | None:
    words = statement.replace(" =", "=").replace("= ", "=").split()
    if not words:
        return None
    method, _, word = words[0].lower().partition("=")
    if word not in RESULT_WORDS:
        return None
    pairs = (item.partition("=") for item in words[1:])
    properties = tuple((name.lower(), value.translate(_SHOW)) for name, _, value in pairs if value and "." in name)
    return MethodResult(method.partition("/")[0], word, properties)
