"""The models of a site: which there are, which one is in use, and choosing another among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filterproxy.config.loader import Loaded
from filterproxy.config.paths import resolve_data
from filterproxy.core.errors import ConfigError, FilterproxyError
from filterproxy.core.ports import KnownModel

if TYPE_CHECKING:
    from filterproxy.classifier.selection import Selection  # loads numpy, which a site without bayes does not need


def model_folders(base_dir: Path) -> Iterator[Path]:
    """Yield the folders that hold a model file: beside the configuration, and the shipped one."""
    from filterproxy.classifier.model_file import FILE_NAME

    for file in (base_dir / "models").glob(f"*/{FILE_NAME}"):
        yield file.parent.absolute()
    shipped = resolve_data("models/default", base_dir).absolute()
    if (shipped / FILE_NAME).exists():
        yield shipped


@dataclass(frozen=True, slots=True)
class SiteModels:
    """The models of one configuration; everything here reads files: call it in a thread."""

    loaded: Loaded

    def known(self) -> list[KnownModel]:
        """Return every model with what it is; raise FilterproxyError when the choice cannot be read."""
        selection = self._selection()
        current = selection.current()
        folders = {*model_folders(self.loaded.base_dir), selection.configured, current}
        ordered = sorted(folders, key=lambda path: (path.name, str(path)))
        return [_described(folder, in_use=folder == current) for folder in ordered]

    def use(self, name: str) -> str | None:
        """Use another of the known models; return its name, None when there is none. Raises FilterproxyError."""
        from filterproxy.classifier.any_model import load_any

        selection = self._selection()
        known = (*model_folders(self.loaded.base_dir), selection.configured)
        folder = next((folder for folder in known if folder.name == name), None)
        if folder is None:
            return None
        load_any(folder)
        selection.use(folder)
        return folder.name

    def rollback(self) -> str | None:
        """Go back to the model in use before; return its name, None when there is none. Raises FilterproxyError."""
        folder = self._selection().rollback()
        return folder.name if folder else None

    def _selection(self) -> Selection:
        from filterproxy.classifier.selection import Selection

        bayes = self.loaded.checks.get("bayes")
        if bayes is None:
            raise FilterproxyError("checks.bayes is not enabled")
        configured = resolve_data(str(getattr(bayes, "model")), self.loaded.base_dir).absolute()  # noqa: B009
        return Selection(configured, self.loaded.state_dir)


def _described(folder: Path, *, in_use: bool) -> KnownModel:
    from filterproxy.classifier.any_model import load_any

    try:
        stored = load_any(folder)
    except ConfigError as error:
        return KnownModel(folder.name, in_use, problem=error.reason)
    created = str(stored.info.get("created", ""))
    return KnownModel(folder.name, in_use, stored.examples.spam, stored.examples.ham, created)
