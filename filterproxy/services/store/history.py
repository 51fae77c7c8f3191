"""One row of the history: what is remembered about a message, and its form in the database.

The rule: every text is cut and made storable here, whatever a message contained; bodies are never kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from filterproxy.core.symbol import ScoredSymbol

COLUMNS = (
    "time",
    "queue_id",
    "session",
    "listener",
    "client",
    "client_name",
    "helo",
    "user",
    "mail_from",
    "rcpt_to",
    "header_from",
    "subject",
    "message_id",
    "size",
    "action",
    "score",
    "required_score",
    "reply",
    "seconds",
    "symbols",
    "message_date",
)

_TEXT_LIMIT = 500
_RECIPIENT_LIMIT = 1000
_SYMBOL_LIMIT = 1000
_OPTION_LIMIT = 200
_OPTIONS_LIMIT = 16


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One scanned message. `client` is an IP address, `reply` what the client got.

    `time` and `message_date` (its Date, None without one that can be read) are in seconds since the epoch.

    `symbols` are all that fired, also with score 0.
    """

    time: float
    action: str
    score: float
    required_score: float
    queue_id: str = ""
    session: str = ""
    listener: str = ""
    client: str = ""
    client_name: str = ""
    helo: str = ""
    user: str = ""
    mail_from: str = ""
    rcpt_to: tuple[str, ...] = ()
    header_from: str = ""
    subject: str = ""
    message_id: str = ""
    size: int = 0
    reply: str = ""
    seconds: float = 0.0
    symbols: tuple[ScoredSymbol, ...] = ()
    message_date: float | None = None


class HistoryReader(Protocol):
    """Where rows are read from."""

    async def history(self, *, limit: int = 100) -> list[HistoryRow]:
        """Return rows, newest first; raise StoreError."""

    async def history_page(
        self, *, limit: int, before: int | None = None, row_id: int | None = None, **filters: Any
    ) -> list[tuple[int, HistoryRow]]:
        """Return rows with their ids, newest first; raise StoreError."""


def encode(row: HistoryRow) -> tuple[Any, ...]:
    """Return the row's values in the order of COLUMNS."""
    return tuple(_column(name, getattr(row, name)) for name in COLUMNS)


def decode(values: Iterable[Any]) -> HistoryRow:
    """Return the row of the values of COLUMNS."""
    fields = dict(zip(COLUMNS, values, strict=True))
    fields["rcpt_to"] = tuple(json.loads(fields["rcpt_to"]))
    fields["symbols"] = tuple(
        ScoredSymbol(name, score, tuple(options), description)
        for name, score, options, description in json.loads(fields["symbols"])
    )
    return HistoryRow(**fields)


def to_json(row: HistoryRow) -> dict[str, Any]:
    """Return the row as JSON-able data, symbols as maps of name, score, options and description."""
    data: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    data["symbols"] = [
        {
            "name": symbol.name,
            "score": symbol.score,
            "options": list(symbol.options),
            "description": symbol.description,
        }
        for symbol in row.symbols
    ]
    return data


def _column(name: str, value: Any) -> Any:
    if name == "rcpt_to":
        return _json([_text(address) for address in value[:_RECIPIENT_LIMIT]])
    if name == "symbols":
        return _json([_symbol(symbol) for symbol in value[:_SYMBOL_LIMIT]])
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return None
    return min(int(value), 2**63 - 1) if name == "size" else _real(value)


def _symbol(symbol: ScoredSymbol) -> list[Any]:
    options = [_text(option, _OPTION_LIMIT) for option in symbol.options[:_OPTIONS_LIMIT]]
    return [symbol.name, _real(symbol.score), options, _text(symbol.description)]


def _real(value: float) -> float:
    # SQLite stores NaN as NULL, which no column takes.
    return 0.0 if math.isnan(value) else float(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _text(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return text that SQLite takes: octets that were no UTF-8 as `\\udcNN`, NUL as `\\x00`, cut."""
    return text[:limit].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
