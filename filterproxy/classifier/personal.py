"""Models of single domains and recipients, on top of the shared one: what they learned corrects its score.

One SQLite file holds them all. A model is a table of weights over the words view, learned by AdaGrad on the logistic
loss of the whole score (shared, domain and recipient together), so that it learns only where the rest is wrong.

The rule: a change is one transaction, and a message has a personal model only when all its recipients share it. With
examples of one class alone a personal model moves a score very little.
"""

from __future__ import annotations

import math
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filterproxy.classifier.features import TABLE_BITS
from filterproxy.classifier.hashing import Slots
from filterproxy.classifier.learner import Examples, Floats, probability

FILE_NAME = "personal.db"
BITS = 17
_SHIFT = np.uint32(TABLE_BITS["words"] - BITS)
_SIZE = 1 << BITS
_STEP, _FIRST_SQUARES = np.float32(0.3), np.float32(1e-4)
# How far a personal model may move a score, in log-odds: this much with one class only, and as much again for each
# example of the rarer class.
_REACH, _FARTHEST = 1.5, 12.0
_CACHED = 64
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    owner TEXT PRIMARY KEY, version INTEGER NOT NULL, spam INTEGER NOT NULL, ham INTEGER NOT NULL,
    weights BLOB NOT NULL, squares BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS learned (
    owner TEXT NOT NULL, digest TEXT NOT NULL, is_spam INTEGER NOT NULL, gradient REAL NOT NULL,
    PRIMARY KEY (owner, digest)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Owners:
    """Who may have a model of their own here, and what in an address is no part of the mailbox's name."""

    domains: bool = False
    recipients: bool = False
    delimiter: str = "+"

    def __bool__(self) -> bool:
        return self.domains or self.recipients

    def of(self, rcpt_to: Iterable[str]) -> tuple[str, ...]:
        """Return whose models apply to a message: a domain and a recipient, if all recipients share it."""
        mailboxes = {self.mailbox(address) for address in rcpt_to}
        domains = {mailbox.rpartition("@")[2] for mailbox in mailboxes if "@" in mailbox}
        found = []
        if self.domains and len(domains) == 1 and all("@" in mailbox for mailbox in mailboxes):
            found.append(f"@{domains.pop()}")
        if self.recipients and len(mailboxes) == 1:
            found += mailboxes
        return tuple(found)

    def mailbox(self, address: str) -> str:
        """Return an address as it names a model: lower case, without what follows the delimiter."""
        local, at, domain = address.strip().lower().rpartition("@")
        if self.delimiter and self.delimiter in local[1:]:
            local = local[0] + local[1:].partition(self.delimiter)[0]
        return f"{local}{at}{domain.rstrip('.')}"


@dataclass(frozen=True, slots=True)
class PersonalModel:
    """The part of a personal model that scoring needs."""

    owner: str
    version: int
    examples: Examples
    weights: Floats

    def score(self, words: Slots) -> float:
        """Return what the model adds to the log-odds, for the slots of all words."""
        return _limited(self.weights, _folded(words), self.examples)


def total(models: Sequence[PersonalModel], words: Slots) -> float:
    """Return what some models together add to the log-odds."""
    return math.fsum(model.score(words) for model in models)


class PersonalModels:
    """The models of a site for scoring, in a small cache; what is learned counts at the next message.

    The file is looked for anew when it is not there; opening it creates nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._cache: OrderedDict[str, PersonalModel] = OrderedDict()

    def find(self, owners: Iterable[str]) -> list[PersonalModel]:
        """Return the models of the owners that have one; raises sqlite3.Error or OSError."""
        connection = self._current()
        if connection is None:
            return []
        found = (self._find(connection, owner) for owner in owners)
        return [model for model in found if model is not None]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._opened = None, None
        self._cache.clear()

    def _current(self) -> sqlite3.Connection | None:
        """Return a connection to the file as it is there now."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self.close()
            return None
        if self._opened != (status.st_dev, status.st_ino):
            self.close()
            self._connection = sqlite3.connect(self._file, timeout=0.1, isolation_level=None, check_same_thread=False)
            self._opened = status.st_dev, status.st_ino
        return self._connection

    def _find(self, connection: sqlite3.Connection, owner: str) -> PersonalModel | None:
        row = connection.execute("SELECT version FROM models WHERE owner = ?", (owner,)).fetchone()
        cached = self._cache.pop(owner, None)
        if row is None:
            return None
        if cached is None or cached.version != row[0]:
            query = "SELECT version, spam, ham, weights FROM models WHERE owner = ?"
            version, spam, ham, weights = connection.execute(query, (owner,)).fetchone()
            cached = PersonalModel(owner, version, Examples(spam, ham), _unpack(weights))
        self._cache[owner] = cached
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return cached


class TooManyModelsError(Exception):
    """There are as many personal models as there may be."""


@dataclass(slots=True)
class _Table:
    """A personal model while it is changed."""

    examples: Examples
    weights: Floats
    squares: Floats

    def step(self, slots: Slots, is_spam: bool, gradient: float, sign: int) -> None:
        """Learn (sign 1) an example or take it back (-1), as Learner does."""
        if slots.size:
            slope = np.float32(gradient / math.sqrt(slots.size))
            squares = self.squares[slots] + (slope * slope if sign > 0 else np.float32(0))
            self.weights[slots] -= np.float32(sign) * _STEP * slope / np.sqrt(squares + _FIRST_SQUARES)
            self.squares[slots] = squares if sign > 0 else np.maximum(squares - slope * slope, 0)
        self.examples.count(is_spam, sign)


class PersonalStore:
    """The models of a site for learning; raises sqlite3.Error when the file cannot be used."""

    def __init__(self, folder: Path, max_models: int) -> None:
        self.file = folder / FILE_NAME
        self._max_models = max_models
        self._connection = sqlite3.connect(self.file, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def learn(self, owner: str, digest: str, words: Slots, is_spam: bool, score: float) -> bool | None:
        """Learn a message that has this score without the owner's own part.

        Return None when it is new, else what it was learned as before; raises TooManyModelsError.
        """
        slots = _folded(words)
        with self._transaction():
            before = self._row(owner, digest)
            if before is not None and before[0] == is_spam:
                return is_spam
            table = self._load(owner)
            if before is not None:
                table.step(slots, *before, -1)
            own = _limited(table.weights, slots, table.examples)
            gradient = probability(score + own) - float(is_spam)
            table.step(slots, is_spam, gradient, 1)
            self._save(owner, table)
            self._connection.execute(
                "INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?)", (owner, digest, int(is_spam), gradient)
            )
        return None if before is None else before[0]

    def forget(self, owner: str, digest: str, words: Slots) -> bool:
        """Take a message back; return False when it was never learned. An owner without messages has no model."""
        with self._transaction():
            before = self._row(owner, digest)
            if before is None:
                return False
            table = self._load(owner)
            table.step(_folded(words), *before, -1)
            self._connection.execute("DELETE FROM learned WHERE owner = ? AND digest = ?", (owner, digest))
            if table.examples.spam + table.examples.ham > 0:
                self._save(owner, table)
            else:
                self._connection.execute("DELETE FROM models WHERE owner = ?", (owner,))
        return True

    def counts(self) -> dict[str, Examples]:
        """Return how many messages each owner's model has learned."""
        rows = self._connection.execute("SELECT owner, spam, ham FROM models ORDER BY owner")
        return {owner: Examples(spam, ham) for owner, spam, ham in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _row(self, owner: str, digest: str) -> tuple[bool, float] | None:
        query = "SELECT is_spam, gradient FROM learned WHERE owner = ? AND digest = ?"
        row = self._connection.execute(query, (owner, digest)).fetchone()
        return (bool(row[0]), row[1]) if row else None

    def _load(self, owner: str) -> _Table:
        query = "SELECT spam, ham, weights, squares FROM models WHERE owner = ?"
        row = self._connection.execute(query, (owner,)).fetchone()
        if row is not None:
            return _Table(Examples(row[0], row[1]), _unpack(row[2]), _unpack(row[3]))
        (models,) = self._connection.execute("SELECT count(*) FROM models").fetchone()
        if models >= self._max_models:
            raise TooManyModelsError
        return _Table(Examples(), np.zeros(_SIZE, np.float32), np.zeros(_SIZE, np.float32))

    def _save(self, owner: str, table: _Table) -> None:
        # A model that was removed and made anew must not have a version that somebody has cached.
        (version,) = self._connection.execute("SELECT abs(random())").fetchone()
        self._connection.execute(
            "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?)",
            (owner, version, table.examples.spam, table.examples.ham, _pack(table.weights), _pack(table.squares)),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _folded(words: Slots) -> Slots:
    return np.unique(words >> _SHIFT)


def _limited(weights: Floats, slots: Slots, examples: Examples) -> float:
    if slots.size == 0:
        return 0.0
    reach = min(_REACH * (1 + min(examples.spam, examples.ham)), _FARTHEST)
    score = float(weights[slots].sum(dtype=np.float64)) / math.sqrt(slots.size)
    return min(max(score, -reach), reach)


def _pack(values: Floats) -> bytes:
    return zlib.compress(values.astype("<f4").tobytes(), 1)


def _unpack(data: bytes) -> Floats:
    try:
        content = zlib.decompressobj().decompress(data, 4 * _SIZE + 1)
    except zlib.error as error:
        raise sqlite3.DatabaseError(f"a personal model is damaged: {error}") from error
    if len(content) != 4 * _SIZE:
        raise sqlite3.DatabaseError("a personal model is damaged: it has the wrong size")
    values = np.frombuffer(content, "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise sqlite3.DatabaseError("a personal model is damaged: a weight is not finite")
    return values
