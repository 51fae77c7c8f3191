"""Regular expressions of rules: compiled by RE2, so that no text and no expression takes more than linear time.

The rule: what RE2 cannot take runs under a time limit when it is one of a few well-known constructs (see `limited`),
and is refused otherwise, with the name of the construct and what to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeAlias

import re2
import regex

from filterproxy.ruleset.limited import LimitedExpression, widened

MAX_LENGTH = 20_000
# Each expression keeps what it learned of texts in this much memory; hundreds of them share a process.
_MEMORY = 1 << 20
_MEMORY_OF_LARGE_ONES = 48 << 20
_MEMORY_OF_AN_INSTRUCTION = 1 << 10
# A wider expression of more instructions learns new states for every text, because of its long counted repetitions.
_MOST_INSTRUCTIONS = 500
_LONG_REPETITION = 40

# Each construct of other engines that RE2 has not: how it is recognised, its name, what would be right. The first ones
# can be matched under a time limit.
_ACCENTED_RANGE = re.compile("\\[[^\\]]*?(.-[\u00c0-\u024f\u1e00-\u1eff]|[\u00c0-\u024f\u1e00-\u1eff]-[^\\]])")
_LIMITED = (
    (r"\(\?<?[=!]", "look-around", "match the text itself, or use `not:`, `all:` or a second rule in a composite"),
    (r"\\[1-9]|\(\?P=|\\[gk][{<']", "a backreference", "write the repeated text out"),
    (r"\(\?>", "an atomic group", "write (?:…): matching never goes back here"),
    (
        r"(?:[*+?]|\{\d+(?:,\d*)?\})\+",
        "a possessive quantifier",
        "leave out the last +: matching never goes back here",
    ),
    (r"\(\?\(", "a conditional group", "write the two cases as alternatives: (?:…|…)"),
)
_REFUSED = (
    (r"\(\?#", "a comment in the expression", "put comments after a # in the YAML"),
    (r"\(\?[a-z]*x", "the flag x", "write the expression without extra white space"),
    (r"\\Z", r"\Z", r"write \z for the end of the text"),
    (r"\\[GKRXhHNuU]", "an escape of another engine", r"write the characters as a class, or as \x{…}"),
)


Compiled: TypeAlias = "re2._Regexp | LimitedExpression"


class ExpressionError(ValueError):
    """An expression that cannot be used; `hint` says what would be right, where that is known."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


def compile_expression(pattern: str, *, raw: bool = False, longest: int = MAX_LENGTH) -> Compiled:
    """Return the compiled expression; raise ExpressionError that names what is wrong and what would be right.

    What RE2 has not but `limited` has becomes a LimitedExpression.

    It searches UTF-8. `raw`: it searches bytes of unknown encoding, in which each byte is one character and
    characters of the expression outside ASCII stand for their UTF-8 bytes.
    """
    if len(pattern) > longest:
        raise ExpressionError(f"the expression has more than {longest} characters", "use a list file and `in_list:`")
    try:
        return compile_linear(pattern, raw=raw)
    except re2.error as error:
        limited = limiting_construct(pattern) is not None or "repetition size" in _text(error)
        if not limited or _find(_REFUSED, pattern):
            raise _explain(pattern, error) from None
    try:
        return LimitedExpression(pattern, raw=raw, wider=_wider(pattern, raw))
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        raise ExpressionError(f"the expression is wrong: {error}") from None


def compile_linear(pattern: str, *, raw: bool = False) -> re2._Regexp:
    """Return the expression compiled by RE2; raise re2.error when it has what RE2 has not."""
    try:
        compiled = _compile(pattern, raw, _MEMORY)
    except re2.error as error:
        if "too large" not in _text(error):
            raise
        return _compile(pattern, raw, _MEMORY_OF_LARGE_ONES)
    # What has too little room for its states is matched many times slower.
    wanted = min(compiled.programsize * _MEMORY_OF_AN_INSTRUCTION, _MEMORY_OF_LARGE_ONES)
    return _compile(pattern, raw, wanted) if wanted > _MEMORY else compiled


def _wider(pattern: str, raw: bool) -> re2._Regexp | None:
    """Return the wider expression: one that RE2 takes and, where loosening repetitions helps, one of few states."""
    compiled: re2._Regexp | None = None
    for most in (math.inf, _LONG_REPETITION, 0):
        wider = widened(pattern, most=most)
        try:
            compiled = None if wider is None else compile_linear(wider, raw=raw)
        except re2.error:
            continue
        if compiled is None or compiled.programsize <= _MOST_INSTRUCTIONS or most < math.inf:
            break
    return compiled


def compile_across(linear: str, *, raw: bool) -> re2._Regexp:
    """Return what finds an expression in pieces that stand on a line each, or a wider one of fewer states."""
    compiled = compile_linear(f"(?m){linear}", raw=raw)
    wider = widened(linear, most=_LONG_REPETITION) if compiled.programsize > _MOST_INSTRUCTIONS else None
    try:
        return compiled if wider in (None, linear) else compile_linear(f"(?m){wider}", raw=raw)
    except re2.error:
        return compiled


def limiting_construct(pattern: str) -> tuple[str, str] | None:
    """Return what needs a time limit in an expression (`look-around ('(?!' at character 8)`) and what avoids it."""
    return _find(_LIMITED, pattern)


def is_limited(pattern: str) -> bool:
    """Tell whether an expression that can be compiled needs a time limit."""
    return isinstance(compile_expression(pattern), LimitedExpression)


def _find(constructs: Sequence[tuple[str, str, str]], pattern: str) -> tuple[str, str] | None:
    for construct, name, advice in constructs:
        found = re.search(r"(?<!\\)(?:\\\\)*(" + construct + ")", pattern)
        if found:
            return f"{name} ({found[1]!r} at character {found.start(1) + 1})", advice
    return None


def _compile(pattern: str, raw: bool, memory: int) -> re2._Regexp:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = memory
    if raw:
        options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode("utf-8", "surrogatepass"), options)


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _explain(pattern: str, error: Exception) -> ExpressionError:
    found = _find(_REFUSED, pattern)
    if found:
        return ExpressionError(f"{found[0]} is not supported in expressions", found[1])
    return ExpressionError(f"the expression is wrong: {_text(error)}")


def check_ranges(pattern: str) -> None:
    """Raise ExpressionError for a range of accented letters: texts in normal form have no accents."""
    found = _ACCENTED_RANGE.search(pattern)
    if found:
        raise ExpressionError(
            f"the range {found[1]!r} would mean other letters, as accents are removed before texts are compared",
            r"write \pL for any letter, or set `normalize: false`",
        )


def any_of(patterns: Sequence[str]) -> str:
    """Return an expression that matches what any of the expressions matches."""
    return patterns[0] if len(patterns) == 1 else "|".join(f"(?:{pattern})" for pattern in patterns)


def literally(texts: Sequence[str]) -> str:
    """Return an expression that matches any of the texts."""
    return any_of([re2.escape(text) for text in texts])
