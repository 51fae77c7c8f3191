"""The undo journal of one change: what the slots and the counts held before it.

The rule: it exists exactly while a change may be half done. It is a sequence of plain numpy arrays, never objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filterproxy.classifier.features import VIEWS, Features
from filterproxy.classifier.learner import Floats
from filterproxy.classifier.site_files import Counts


@dataclass(frozen=True, slots=True)
class SiteArrays:
    """Everything a change writes to: scoring tables and learned records of each view, and the counts."""

    tables: Mapping[str, Floats]
    layers: Mapping[str, Floats]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal file; `intent` names the change in words of its owner."""

    file: Path

    def write(self, intent: str, features: Features, arrays: SiteArrays) -> None:
        """Store what the change is about to overwrite; afterwards the journal exists, whole."""
        temporary = self.file.with_suffix(".new")
        with temporary.open("wb") as file:
            np.save(file, np.frombuffer(intent.encode(), np.uint8), allow_pickle=False)
            np.save(file, arrays.counts.array, allow_pickle=False)
            for view in VIEWS:
                slots = features.view(view)
                np.save(file, slots, allow_pickle=False)
                np.save(file, arrays.layers[view].take(slots, axis=0), allow_pickle=False)
                np.save(file, arrays.tables[view].take(slots), allow_pickle=False)
        temporary.replace(self.file)

    def intent(self) -> str | None:
        """Return the intent of a change that was not ended, None when there is none."""
        try:
            with self.file.open("rb") as file:
                return bytes(np.load(file, allow_pickle=False)).decode()
        except FileNotFoundError:
            return None

    def undo(self, arrays: SiteArrays, *, tables: bool) -> None:
        """Put back what the change overwrote, and end it; without `tables` when they were those of another model."""
        with self.file.open("rb") as file:
            np.load(file, allow_pickle=False)
            arrays.counts.array[:] = np.load(file, allow_pickle=False)
            for view in VIEWS:
                slots = np.load(file, allow_pickle=False)
                arrays.layers[view][slots] = np.load(file, allow_pickle=False)
                values = np.load(file, allow_pickle=False)
                if tables:
                    arrays.tables[view][slots] = values
        self.end()

    def end(self) -> None:
        """Say that the change is done."""
        self.file.unlink(missing_ok=True)
