"""A resolver that answers from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from filterproxy.core.ports import DnsAnswer, DnsStatus


class FakeResolver:
    """Answers from `{(name, type): records}`; `None` as records is a TEMPERROR, a missing name NXDOMAIN.

    Records are what `DnsAnswer.records` holds. Every question is kept
    in `asked`, so that a test can prove what was (not) looked up.
    """

    def __init__(self, table: Mapping[tuple[str, str], Sequence[Any] | None] | None = None) -> None:
        self._table = {
            (name.lower().rstrip("."), rtype.upper()): found for (name, rtype), found in (table or {}).items()
        }
        self._names = {name for name, _ in self._table}
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        """Return the table's answer."""
        key = (name.lower().rstrip("."), rtype.upper())
        self.asked.append(key)
        if key in self._table:
            return _answer(self._table[key])
        exists = any(known == key[0] or known.endswith("." + key[0]) for known in self._names)
        return DnsAnswer(DnsStatus.NODATA if exists else DnsStatus.NXDOMAIN)


def _answer(records: Sequence[Any] | None) -> DnsAnswer:
    if records is None:
        return DnsAnswer(DnsStatus.TEMPERROR, reason="SERVFAIL")
    if not records:
        return DnsAnswer(DnsStatus.NODATA)
    return DnsAnswer(DnsStatus.FOUND, tuple(records))
