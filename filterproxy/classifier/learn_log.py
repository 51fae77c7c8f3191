"""The log of what was learned on a site: one row a message, by its digest, in SQLite.

The rule: a row is there exactly while its message counts in the tables; it holds the gradients that `forget` needs.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from filterproxy.classifier.learner import Examples

_SCHEMA = """
CREATE TABLE IF NOT EXISTS learned (
    digest TEXT PRIMARY KEY, is_spam INTEGER NOT NULL, learned_at REAL NOT NULL,
    raw REAL NOT NULL, text REAL NOT NULL, words REAL NOT NULL
) WITHOUT ROWID
"""
_BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """A learned message: its class, when (seconds since 1970), and the gradient of each view."""

    is_spam: bool
    learned_at: float
    gradients: tuple[float, ...]


class LearnLog:
    """The open log; raises sqlite3.Error when the file cannot be used."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)

    def find(self, digest: str) -> Row | None:
        """Return the row of a message, None when it is not learned."""
        query = "SELECT is_spam, learned_at, raw, text, words FROM learned WHERE digest = ?"
        row = self._connection.execute(query, (digest,)).fetchone()
        return Row(bool(row[0]), row[1], tuple(row[2:])) if row else None

    def put(self, digest: str, row: Row) -> None:
        """Add a message, or replace what was known of it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?)",
            (digest, int(row.is_spam), row.learned_at, *row.gradients),
        )

    def remove(self, digest: str) -> None:
        """Remove a message."""
        self._connection.execute("DELETE FROM learned WHERE digest = ?", (digest,))

    def counts(self) -> Examples:
        """Return how many messages of each class are learned."""
        rows = dict(self._connection.execute("SELECT is_spam, count(*) FROM learned GROUP BY is_spam").fetchall())
        return Examples(rows.get(1, 0), rows.get(0, 0))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
