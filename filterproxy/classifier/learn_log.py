"""The log of what was learned on a site: one row a message, by its digest, in SQLite.

The rule: a row is there exactly while its message counts in the tables; it holds what `forget` needs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filterproxy.classifier.learner import Examples
from filterproxy.classifier.model import Taught

_SCHEMA = """
CREATE TABLE IF NOT EXISTS learned (
    digest TEXT PRIMARY KEY, is_spam INTEGER NOT NULL, learned_at REAL NOT NULL,
    header REAL NOT NULL, body REAL NOT NULL, text REAL NOT NULL, fields REAL NOT NULL, words REAL NOT NULL
) WITHOUT ROWID
"""
# Those of them that nobody labelled.
_AUTOMATIC = "CREATE TABLE IF NOT EXISTS automatic (digest TEXT PRIMARY KEY) WITHOUT ROWID"
# Those of them whose stretch was learned apart (see Taught).
_TAUGHT = """
CREATE TABLE IF NOT EXISTS taught (
    digest TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, gradient REAL NOT NULL
) WITHOUT ROWID
"""
_DELETE = (
    "DELETE FROM learned WHERE digest = ?",
    "DELETE FROM automatic WHERE digest = ?",
    "DELETE FROM taught WHERE digest = ?",
)
_BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """A learned message: its class, when (seconds since 1970), and what `forget` needs (see Learned)."""

    is_spam: bool
    learned_at: float
    gradients: tuple[float, ...]
    taught: Taught = field(default_factory=Taught)


class LearnLog:
    """The open log; raises sqlite3.Error when the file cannot be used."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)
        self._connection.execute(_AUTOMATIC)
        self._connection.execute(_TAUGHT)

    def find(self, digest: str) -> Row | None:
        """Return the row of a message, None when it is not learned."""
        query = "SELECT is_spam, learned_at, header, body, text, fields, words FROM learned WHERE digest = ?"
        row = self._connection.execute(query, (digest,)).fetchone()
        return Row(bool(row[0]), row[1], tuple(row[2:]), self._taught(digest)) if row else None

    def _taught(self, digest: str) -> Taught:
        query = "SELECT first, last, gradient FROM taught WHERE digest = ?"
        row = self._connection.execute(query, (digest,)).fetchone()
        return Taught(*row) if row else Taught()

    def put(self, digest: str, row: Row, *, automatic: bool = False) -> None:
        """Add a message, or replace what was known of it; `automatic` says that nobody labelled it."""
        with self._transaction():
            self._delete(digest)
            values = (digest, int(row.is_spam), row.learned_at, *row.gradients)
            self._connection.execute("INSERT INTO learned VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            taught = row.taught
            if taught.gradient:
                values = (digest, taught.first, taught.last, taught.gradient)
                self._connection.execute("INSERT INTO taught VALUES (?, ?, ?, ?)", values)
            if automatic:
                self._connection.execute("INSERT INTO automatic VALUES (?)", (digest,))

    def remove(self, digest: str) -> None:
        """Remove a message."""
        with self._transaction():
            self._delete(digest)

    def _delete(self, digest: str) -> None:
        for statement in _DELETE:
            self._connection.execute(statement, (digest,))

    def has_automatic(self) -> bool:
        """Tell whether there is any message that nobody labelled."""
        return self._connection.execute("SELECT 1 FROM automatic LIMIT 1").fetchone() is not None

    def is_automatic(self, digest: str) -> bool:
        """Tell whether a message was learned that nobody labelled."""
        found = self._connection.execute("SELECT 1 FROM automatic WHERE digest = ?", (digest,)).fetchone()
        return found is not None

    def automatic_counts(self) -> Examples:
        """Return how many messages of each class nobody labelled."""
        query = "SELECT is_spam, count(*) FROM automatic JOIN learned USING (digest) GROUP BY is_spam"
        rows = dict(self._connection.execute(query).fetchall())
        return Examples(rows.get(1, 0), rows.get(0, 0))

    def counts(self) -> Examples:
        """Return how many messages of each class are learned."""
        rows = dict(self._connection.execute("SELECT is_spam, count(*) FROM learned GROUP BY is_spam").fetchall())
        return Examples(rows.get(1, 0), rows.get(0, 0))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
