"""Ready-made definitions of DNS lists, in YAML files.

The rule: what is wrong with a file is said with file, line and key, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from filterproxy.config.paths import resolve_data
from filterproxy.config.problems import describe
from filterproxy.config.yaml_loader import read_yaml
from filterproxy.core.errors import ConfigError, ConfigErrors
from filterproxy.services.dns_lists.definition import DefinitionsFile, ListConfig


def load_definitions(patterns: Iterable[str], base_dir: Path) -> dict[str, ListConfig]:
    """Return the lists that the files define, by name; a later file replaces a list of the same name.

    A relative pattern (`rules/dnslists/*.yml`) starts at `base_dir`, and what ships is found in the installed package.
    Raises ConfigError.
    """
    lists: dict[str, ListConfig] = {}
    for pattern in patterns:
        for file in _files(pattern, base_dir):
            lists |= {entry.name: entry for entry in _read(file).lists}
    return lists


def _files(pattern: str, base_dir: Path) -> list[Path]:
    place = resolve_data(pattern, base_dir).absolute()
    found = [path for path in sorted(Path(place.anchor).glob(str(place.relative_to(place.anchor)))) if path.is_file()]
    if not found:
        hint = "those that ship are rules/dnslists/*.yml"
        raise ConfigError(f"no such file: {place}", key="checks.dnslists.definitions", hint=hint)
    return found


def _read(file: Path) -> DefinitionsFile:
    document = read_yaml(file)
    data = document.data or {}
    try:
        return DefinitionsFile.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigErrors(
            list(describe(details, data, DefinitionsFile.model_json_schema(), (), document.error))
        ) from error
