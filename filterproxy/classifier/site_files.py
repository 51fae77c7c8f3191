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
from filterproxy.classifier.learner import COLUMNS, Examples, Floats, fold
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
        self.layer[slots] = records - self.base.read(slots)


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
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def counts(self, *, writable: bool) -> Counts:
        """Return what was learned here, mapped."""
        return Counts(_map(self.folder / "learned-counts.f4", (_COUNTS + WINDOW,), writable))

    def layer(self, view: str, *, writable: bool) -> Floats | None:
        """Return the learned records of a view, mapped; None when nothing was learned and it is not to be written."""
        file = self.folder / f"learned-{view}.f4"
        if not writable and not file.exists():
            return None
        return _map(file, (1 << TABLE_BITS[view], len(COLUMNS)), writable)

    def tables(self, stored: StoredModel, *, writable: bool) -> dict[str, Floats]:
        """Return what scoring reads, mapped, one array a view; made first when it is not there."""
        folder = self.folder / stored.checksum[:_NAME_LENGTH]
        if not folder.is_dir():
            with self.locked():
                self._build(stored, folder)
        return {view: _map(folder / f"{view}.f4", (1 << TABLE_BITS[view],), writable) for view in VIEWS}

    def drop_other_tables(self, stored: StoredModel) -> None:
        """Remove the tables of other models, which will not follow what is learned now."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and entry.name != stored.checksum[:_NAME_LENGTH]:
                shutil.rmtree(entry, ignore_errors=True)

    def _build(self, stored: StoredModel, folder: Path) -> None:
        if folder.is_dir():
            return
        building = self.folder / f".building-{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            for view in VIEWS:
                fold_table(stored, view, self.layer(view, writable=False)).tofile(building / f"{view}.f4")
            self.counts(writable=True)
            building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)


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


def _map(file: Path, shape: tuple[int, ...], writable: bool) -> Floats:
    """Return a file as an array; a writable one is made, full of zeros, when it is not there."""
    size = 4 * int(np.prod(shape))
    if writable and not file.exists():
        with file.open("xb") as made:
            made.truncate(size)
    if file.stat().st_size != size:
        raise OSError(errno.EIO, f"damaged: it should have {size} bytes", str(file))
    return np.asarray(np.memmap(file, np.float32, "r+" if writable else "r", shape=shape))
