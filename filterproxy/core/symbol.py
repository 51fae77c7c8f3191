"""Symbols: named evidence. A check declares them and fires them; only the policy turns them into an action."""

from __future__ import annotations

import re
from dataclasses import dataclass

from filterproxy.core.authentication import MethodResult

SYMBOL_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A declared symbol: UPPER_CASE name, default score, and a description an administrator can read."""

    name: str
    score: float
    description: str
    group: str = ""

    def __post_init__(self) -> None:
        if not SYMBOL_NAME.match(self.name):
            raise ValueError(f"symbol name {self.name!r} must be UPPER_CASE letters, digits and _ (at most 64)")


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """One firing of a symbol.

    `weight` multiplies the symbol's score (a Bayes probability of 0.7 fires with 0.7); `options` say what was
    seen (a domain, an address) and may hold untrusted text. `method` is the RFC 8601 result this firing stands
    for, when it stands for one: it becomes part of Authentication-Results and is what DMARC reads. `reply` is what the
    client is told when this symbol forces a refusal, instead of its description: printable ASCII.
    """

    name: str
    weight: float = 1.0
    options: tuple[str, ...] = ()
    method: MethodResult | None = None
    reply: str = ""


@dataclass(frozen=True, slots=True)
class ScoredSymbol:
    """A fired symbol with the score it contributed (0 included), its description and its text for a reply."""

    name: str
    score: float
    options: tuple[str, ...]
    description: str
    reply: str = ""
