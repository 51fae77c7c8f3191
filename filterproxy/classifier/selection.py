"""Which model a site uses: the configured one, or one chosen since with `models use`.

The choice is a small JSON file in the state folder, replaced by a rename; workers look at it once a second.

The rule: the newer word counts. A choice was made against a configured model; when the configuration names another one
since, the choice is void.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from filterproxy.classifier.model_file import write_atomically
from filterproxy.core.errors import ConfigError

_LONGEST_HISTORY = 50


class Choice(BaseModel):
    """The file's contents: the configured model it was made against, and the chosen ones, latest last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    configured: str
    chosen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice of a site whose configuration names `configured`; both paths are absolute."""

    configured: Path
    state_dir: Path

    @property
    def file(self) -> Path:
        """Return where the choice is kept."""
        return self.state_dir / "bayes" / "model.json"

    def current(self) -> Path:
        """Return the model to use; raise ConfigError when the choice cannot be read."""
        chosen = self.chosen()
        return Path(chosen[-1]) if chosen else self.configured

    def chosen(self) -> tuple[str, ...]:
        """Return the models chosen one after another, latest last; empty when the configured one is in use."""
        try:
            choice = Choice.model_validate_json(self.file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "this is no choice of a model"
            raise ConfigError(f"cannot read: {reason}", file=str(self.file), hint="remove it") from error
        return choice.chosen if choice.configured == str(self.configured) else ()

    def use(self, model: Path) -> None:
        """Choose a model from now on."""
        self._write((*self.chosen(), str(model))[-_LONGEST_HISTORY:])

    def rollback(self) -> Path | None:
        """Go back to the model in use before; return it, or None when nothing was chosen."""
        chosen = self.chosen()
        if not chosen:
            return None
        self._write(chosen[:-1])
        return self.current()

    def _write(self, chosen: tuple[str, ...]) -> None:
        choice = Choice(configured=str(self.configured), chosen=chosen)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.file, choice.model_dump_json().encode())
        except OSError as error:
            raise ConfigError(f"cannot write: {error.strerror}", file=str(self.file)) from error
