"""Opening the database file: pragmas, permissions, and words for what is wrong.

The rule: every connection is opened here, so that all of them agree on WAL, time-outs and who may read the file.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from filterproxy.core.errors import ConfigError, FilterproxyError
from filterproxy.services.store.schema import migrate

BUSY_SECONDS = 5.0
_RETRY_SECONDS = 0.02


class StoreError(FilterproxyError):
    """The store cannot answer or take a value now."""


def open_for_writing(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Return a connection to an up-to-date database, made if it is not there.

    Raises ConfigError when folder or file may not be written or the database is of a newer version, and
    sqlite3.Error when it cannot be used now (locked, full, damaged). The connection may move between threads.
    """
    _create(path)
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            return _prepared(path, busy_seconds)
        except sqlite3.OperationalError as error:
            # Turning WAL on does not wait for others who do the same, as all workers do at a first start.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _prepared(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = _connect(path, busy_seconds)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # With WAL a crash of the machine may lose the newest rows but never damages the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Return a connection that changes nothing; raise sqlite3.Error."""
    return _connect(path, busy_seconds, mode="ro")


def file_identity(path: Path) -> tuple[int, int]:
    """Return what tells a file from another one at the same path; (0, 0) when there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _connect(path: Path, busy_seconds: float, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )


def _create(path: Path) -> None:
    """Make folder and file: the history is about people's mail, so only owner and group may read it.

    A file that is there is never opened here: closing it would drop the locks of this process's other connections
    (POSIX advisory locks belong to the process, not to the descriptor).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        if not path.is_file():
            raise IsADirectoryError(errno.EISDIR, "it is not a file")
        for item in (path, path.parent):
            if not os.access(item, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = f"cannot write the store: {error.strerror or error}"
        raise ConfigError(reason, file=str(path), hint="set 'store:' to a file this user may write") from error
