"""Authentication results as RFC 8601 spells them, and how several become one word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

RESULT_WORDS = ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")

# Best first: the word that stands for a message with several signatures (RFC 8601 has no word for a set).
_BEST_FIRST = ("pass", "temperror", "policy", "neutral", "fail", "softfail", "permerror", "none")


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One `method=result` of Authentication-Results (RFC 8601 section 2.2).

    `properties` are (`ptype.property`, value) pairs such as (`smtp.mailfrom`, `a@example.org`); values may hold
    untrusted text and are escaped where they are written. `reason` is the optional explanation.
    """

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if self.result not in RESULT_WORDS:
            raise ValueError(f"{self.result!r} is no RFC 8601 result word")

    def property(self, name: str) -> str:
        """Return the first value of the property, or an empty string."""
        return next((value for key, value in self.properties if key == name), "")


def best_word(results: Iterable[MethodResult], method: str) -> str:
    """Return one word for a method: the best of its results, `none` without any."""
    words = {result.result for result in results if result.method == method}
    return next((word for word in _BEST_FIRST if word in words), "none")


def spf_word(results: Iterable[MethodResult]) -> str:
    """Return SPF's word for the MAIL FROM identity, or for HELO when only that was checked (RFC 7208 2.4)."""
    spf = [result for result in results if result.method == "spf"]
    mail_from = [result for result in spf if result.property("smtp.mailfrom")]
    return best_word(mail_from or spf, "spf")


def summarise(results: Iterable[MethodResult]) -> dict[str, str]:
    """Return the four words of `scan --json`: spf, dkim, dmarc, arc."""
    found = list(results)
    return {"spf": spf_word(found)} | {method: best_word(found, method) for method in ("dkim", "dmarc", "arc")}
