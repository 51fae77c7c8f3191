"""How far a training has come, so that one that was interrupted goes on from there.

The rule: a checkpoint fits exactly the list of messages it was made with; any other list has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filterproxy.classifier.model import Model
from filterproxy.classifier.model_file import load, save
from filterproxy.classifier.reading import Example
from filterproxy.core.errors import ConfigError

NAME = ".training.fpm"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint file for one list of messages."""

    file: Path
    fingerprint: str

    @classmethod
    def of(cls, folder: Path, examples: Sequence[Example]) -> Checkpoint:
        """Return the checkpoint in a folder for a list of messages."""
        digest = hashlib.sha256()
        for example in examples:
            source = example.source
            # Where an archive was unpacked to is another place each time.
            place = (source.name, "" if source.unpacked else source.path, source.offset, source.length, source.error)
            digest.update(f"{example.is_spam} {place}\n".encode("utf-8", "surrogateescape"))
        return cls(folder / NAME, digest.hexdigest())

    def load(self) -> tuple[Model, int] | None:
        """Return the model and how many messages it has learned, None when there is nothing to go on from."""
        try:
            stored = load(self.file)
        except ConfigError:
            return None
        if stored.info.get("fingerprint") != self.fingerprint:
            return None
        return stored.to_model(), int(stored.info["position"])

    def save(self, model: Model, position: int) -> None:
        """Store the model after so many messages; raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        save(self.file, model, {"fingerprint": self.fingerprint, "position": position})

    def remove(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)
