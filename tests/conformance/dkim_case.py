"""How a vector for DKIM is made: signed with fresh keys, then altered, restricted, broken or misused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.signing import MESSAGE as TWO_BLANKS
from tests.signing import key_record, rsa_key, sign

NOW = 1_767_225_600  # the start of 2026
NAME = "sel._domainkey.example.org"
MESSAGE = TWO_BLANKS.replace(b"Subject:  a", b"Subject: a")

# RFC 8601 has `neutral` for what cannot be processed; a permerror says the same and that no retry will help.
CORRESPONDING = {"permerror": "neutral"}


@dataclass(frozen=True)
class DkimVector:
    """One message with its DNS. `results` are our words for its signatures, topmost first; `theirs` mailauth's."""

    name: str
    message: bytes
    results: tuple[str, ...]
    dns: dict[tuple[str, str], Sequence[Any] | str]
    theirs: tuple[str, ...] = ()
    why: str = ""
    about_time: bool = False

    def __post_init__(self) -> None:
        assert bool(self.theirs) == bool(self.why), "a disagreement needs a reason, and a reason a disagreement"

    @property
    def expected_of_mailauth(self) -> tuple[str, ...]:
        """Return its words, topmost signature first."""
        return self.theirs or tuple(CORRESPONDING.get(word, word) for word in self.results)


@dataclass
class Case:
    """How a vector is made; tags of None are left out of the signature."""

    name: str
    result: str | tuple[str, ...]
    tags: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    records: Sequence[Any] | str | None = None  # instead of the key's own record
    record: dict[str, str] = field(default_factory=dict)  # tags of the key's record
    message: bytes = MESSAGE
    altered: Any = None  # a function of the signed message
    replaced: tuple[bytes, bytes] = (b"", b"")  # text in the signed message
    dns: dict[tuple[str, str], Any] = field(default_factory=dict)
    theirs: str | tuple[str, ...] = ()
    why: str = ""

    def vector(self) -> DkimVector:
        key = self.key or rsa_key()
        raw = sign(self.message, key, **self.tags)
        if self.replaced[0]:
            assert self.replaced[0] in raw
            raw = raw.replace(*self.replaced, 1)
        raw = self.altered(raw) if self.altered else raw
        records = [key_record(key, **self.record)] if self.records is None else self.records
        return DkimVector(
            self.name,
            raw,
            _words(self.result),
            {(NAME, "TXT"): records} | self.dns,
            _words(self.theirs),
            self.why,
            about_time=bool({"t", "x"} & self.tags.keys()),
        )


def _words(result: str | tuple[str, ...]) -> tuple[str, ...]:
    return (result,) if isinstance(result, str) else result
