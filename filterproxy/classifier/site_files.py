"""Where a site keeps what it learned, and the tables that all its processes score by.

    STATE/bayes/v<features>/learned-<view>.f4      learned here: records to add to the model's, float32 (slots, 4)
    STATE/bayes/v<features>/learned-counts.f4      how much that was (see Counts)
    STATE/bayes/v<features>/<checksum>/<view>.f4   model and learned records folded into what scoring reads
    STATE/bayes/v<features>/lock                   held by whoever writes any of these

The rule: readers map and never lock; the tables of a model appear whole, by a rename, or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filterproxy.classifier.features import TABLE_BITS, VIEWS
from filterproxy.classifier.hashing import FEATURE_VERSION, Slots
from filterproxy.classifier.learner import COLUMNS, DenseState, Examples, Floats, fold
from filterproxy.classifier.model_file import SparseTable, StoredModel
from filterproxy.classifier.threshold import WINDOW, HamScores

_SPAM, _HAM, _SCORES, _COUNTS = 0, 1, 2, 8
_NAME_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """What was learned here, mapped: spam, ham, number of ham scores, five unused, then the WINDOW latest ham scores.

    Whole numbers in float32 are exact up to 2^24.
    """

    array: Floats

    def learned(self) -> Examples:
        """Return how many messages were learned here."""
        return Examples(int(self.array[_SPAM]), int(self.array[_HAM]))

    def scores(self) -> int:
        """Return how many ham scores were ever added."""
        return int(self.array[_SCORES])

    def ham_scores(self) -> HamScores:
        """Return the ham scores, mapped too; only their number is a copy."""
        return HamScores(self.array[_COUNTS:], self.scores())

    def set(self, learned: Examples, scores: int) -> None:
        """Store the numbers."""
        self.array[_SPAM], self.array[_HAM], self.array[_SCORES] = learned.spam, learned.ham, scores


@dataclass(frozen=True, slots=True)
class LayeredState:
    """The records of a model that is never written plus those of a layer that is."""

    base: SparseTable
    layer: Floats

    def read(self, slots: Slots) -> Floats:
        """Return the sums of both, shape (n, 4), as a copy."""
        records: Floats = self.base.read(slots) + self.layer.take(slots, axis=0)
        return records

    def write(self, slots: Slots, records: Floats) -> None:
        """Put what the model does not hold itself into the layer."""
        DenseState(self.layer).write(slots, records - self.base.read(slots))


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """The files of a site in a folder."""

    folder: Path

    @classmethod
    def of(cls, state_dir: Path) -> SiteFiles:
        """Return the files below a state folder, for the features of this program."""
        return cls(state_dir / "bayes" / f"v{FEATURE_VERSION}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock: one writer at a time; raises OSError when the folder cannot be written."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.adopt(self.folder.parent)
            self.adopt(self.folder)
        lock = self.folder / "lock"
        is_new = not lock.exists()
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            if is_new:
                self.adopt(lock)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def counts(self, *, writable: bool) -> Counts:
        """Return what was learned here, mapped."""
        return Counts(self._map(self.folder / "learned-counts.f4", (_COUNTS + WINDOW,), writable))

    def layer(self, view: str, *, writable: bool) -> Floats | None:
        """Return the learned records of a view, mapped; None when nothing was learned and it is not to be written."""
        file = self.folder / f"learned-{view}.f4"
        if not writable and not file.exists():
            return None
        return self._map(file, (1 << TABLE_BITS[view], len(COLUMNS)), writable)

    def tables(self, stored: StoredModel, *, writable: bool) -> dict[str, Floats]:
        """Return what scoring reads, mapped, one array a view; made first when it is not there."""
        if not self.tables_folder(stored).is_dir():
            with self.locked():
                self.build(stored)
        return self.map_tables(stored, writable=writable)

    def map_tables(self, stored: StoredModel, *, writable: bool) -> dict[str, Floats]:
        """Return the tables of `tables`, which must be there."""
        folder = self.tables_folder(stored)
        return {view: self._map(folder / f"{view}.f4", (1 << TABLE_BITS[view],), writable) for view in VIEWS}

    def tables_id(self, stored: StoredModel) -> tuple[int, int] | None:
        """Return what changes when the tables are removed and made anew; None when they are not there."""
        return folder_id(self.tables_folder(stored))

    def drop_other_tables(self, stored: StoredModel) -> None:
        """Remove the tables of other models, which will not follow what is learned now."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and entry != self.tables_folder(stored):
                shutil.rmtree(entry, ignore_errors=True)

    def build(self, stored: StoredModel) -> None:
        """Make the tables, under the lock, unless they are there."""
        folder = self.tables_folder(stored)
        if folder.is_dir():
            return
        building = self.folder / f".building-{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            for view in VIEWS:
                file = building / f"{view}.f4"
                fold_table(stored, view, self.layer(view, writable=False)).tofile(file)
                self.adopt(file)
            self.counts(writable=True)
            self.adopt(building)
            building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def adopt(self, path: Path) -> None:
        """Give a file that root has made to the owner of the state folder: the filter's processes are not root."""
        if os.geteuid() == 0:
            owner = self.folder.parent.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def tables_folder(self, stored: StoredModel) -> Path:
        """Return where the tables are."""
        return self.folder / stored.checksum[:_NAME_LENGTH]

    def _map(self, file: Path, shape: tuple[int, ...], writable: bool) -> Floats:
        """Return a file as an array; a writable one is made, full of zeros, when it is not there."""
        size = 4 * int(np.prod(shape))
        if writable and not file.exists():
            with file.open("xb") as made:
                made.truncate(size)
            self.adopt(file)
        if file.stat().st_size != size:
            raise OSError(errno.EIO, f"damaged: it should have {size} bytes", str(file))
        return np.asarray(np.memmap(file, np.float32, "r+" if writable else "r", shape=shape))


def folder_id(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from another one made in its place; None when it is not there."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def fold_table(stored: StoredModel, view: str, layer: Floats | None = None) -> Floats:
    """Return the table that scoring reads, of a model and of what was learned on top of it."""
    table = stored.tables[view]
    values = np.zeros(1 << table.bits, np.float32)
    if layer is None:
        values[table.slots] = fold(stored.options, table.records)
        return values
    used = np.union1d(table.slots, np.flatnonzero(layer.any(axis=1)).astype(np.uint32))
    values[used] = fold(stored.options, LayeredState(table, layer).read(used))
    return values
