"""The database's tables and how an older database becomes a newer one.

The rule: a step that was released is never edited; a change is a new step. PRAGMA user_version is the number of steps
taken. A database of a newer version is refused untouched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from filterproxy.core.errors import ConfigError

Step = tuple[str, ...]

MIGRATIONS: tuple[Step, ...] = (
    (
        """
        CREATE TABLE history (
            id INTEGER PRIMARY KEY,
            time REAL NOT NULL,
            queue_id TEXT NOT NULL, session TEXT NOT NULL, listener TEXT NOT NULL,
            client TEXT NOT NULL, client_name TEXT NOT NULL, helo TEXT NOT NULL, user TEXT NOT NULL,
            mail_from TEXT NOT NULL, rcpt_to TEXT NOT NULL,
            header_from TEXT NOT NULL, subject TEXT NOT NULL, message_id TEXT NOT NULL, size INTEGER NOT NULL,
            action TEXT NOT NULL, score REAL NOT NULL, required_score REAL NOT NULL,
            reply TEXT NOT NULL, seconds REAL NOT NULL,
            symbols TEXT NOT NULL
        )
        """,
        "CREATE INDEX history_time ON history (time)",
        "CREATE INDEX history_queue_id ON history (queue_id)",
        """
        CREATE TABLE state (
            namespace TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires REAL,
            PRIMARY KEY (namespace, key)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX state_expires ON state (expires) WHERE expires IS NOT NULL",
    ),
    ("ALTER TABLE history ADD COLUMN message_date REAL",),
)


def migrate(connection: sqlite3.Connection, file: str, steps: Sequence[Step] = MIGRATIONS) -> None:
    """Bring the database up to date in one transaction; raise ConfigError when it is newer than this program.

    The connection is in autocommit mode (isolation_level None). sqlite3.Error passes through, with nothing changed.
    """
    if _version(connection, file, len(steps)) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster: look again now that nobody else can write.
        for step in steps[_version(connection, file, len(steps)) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps):d}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, file: str, newest: int) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > newest:
        raise ConfigError(
            f"the store has version {version}, this program knows {newest}",
            file=file,
            hint="install the newer filterproxy again, or name another file under 'store:'",
        )
    return version
