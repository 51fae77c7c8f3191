"""The Authentication-Results header field (RFC 8601): how ours is written, and which inbound ones claim to be ours.

The rule: values that came from outside are written as tokens or quoted strings, never as syntax.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from filterproxy.core.authentication import MethodResult
from filterproxy.message.domains import ascii_domain
from filterproxy.message.encoded_words import decode_words
from filterproxy.message.limits import Limits

# An RFC 2045 token, or local-part@domain (RFC 8601 section 2.2, pvalue); everything else is quoted.
_PLAIN = re.compile(r"(?:[A-Za-z0-9!#$%&'*+\-.^_`{|}~]*@)?[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_MAX_VALUE = 256
_LINE = 78
_LEXEME = re.compile(rb'\\.|[()";]|[^\\()";]+', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


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
    return _fold(words)


def _fold(words: list[str]) -> str:
    """Return the words on lines of 78 characters where that is possible."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) >= _LINE:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n\t ".join(lines)


def _value(text: str) -> str:
    if not text.isascii():  # a domain in its ASCII form loses nothing; other text has none here
        local_part, at, domain = text.rpartition("@")
        text = f"{local_part}{at}{ascii_domain(domain)}"
    text = _clean(text)
    return text if _PLAIN.match(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = _clean(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:_MAX_VALUE]


def carries_authserv_id(value: bytes | str, hostname: str) -> bool:
    """Tell whether an Authentication-Results value names our host as its author (RFC 8601 section 5).

    Comments, folding, quoting, encoded words, letter case, control characters and a final dot do not hide the name;
    what cannot be read is taken as ours, because removing a field of nobody's costs nothing and keeping a forged one
    does.
    """
    octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    words = _first_words(octets)
    if not words:
        return True
    # A reader may take a comment or a blank inside the name for nothing; a version may follow the name.
    candidates = {words[0], "".join(words), "".join(words[:-1])}
    # RFC 2047 words have no place here, but some libraries decode them in any field.
    candidates |= {decode_words(word, Limits(), set()) for word in candidates if "=?" in word}
    return _comparable(hostname) in {_comparable(candidate) for candidate in candidates}


def _comparable(name: str) -> str:
    return ascii_domain(name.strip().rstrip("."))


def _first_words(value: bytes) -> list[str]:
    """Return the words before the first semicolon without comments and quotes, none when one of those never ends."""
    kept: list[bytes] = []
    depth, quoted = 0, False
    for match in _LEXEME.finditer(value):
        lexeme = match[0]
        if lexeme == b"(" and not quoted:
            depth += 1
        elif lexeme == b")" and not quoted:
            depth = max(depth - 1, 0)
            kept.append(b" ")
        elif depth:
            continue
        elif lexeme == b'"':
            quoted = not quoted
        elif lexeme in (b";", b"\\;") and not quoted:
            break
        else:
            kept.append(lexeme[1:] if lexeme[:1] == b"\\" else lexeme)
    if depth or quoted:
        return []
    return _CONTROL.sub("", b"".join(kept).decode("utf-8", "replace")).split()
