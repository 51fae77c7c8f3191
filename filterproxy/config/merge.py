"""Several files become one configuration, and every value remembers the file it came from.

The rule: defaults < files in `include:` in order < the including file. Maps are merged, everything else is replaced. A
key without a value is as if it were not there, except a check: `checks.spf:` enables it with its defaults.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from filterproxy.config.yaml_loader import KeyPath, YamlDocument, read_yaml
from filterproxy.core.errors import ConfigError

MAX_INCLUDES = 100


class Merged:
    """The merged data of all files; `owner` tells which file decided about a path."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self.data: dict[str, Any] = deepcopy(defaults)
        self._owners: dict[KeyPath, YamlDocument] = {}

    def add(self, document: YamlDocument) -> None:
        """Lay a file over what is there; raise ConfigError when it is not a map of keys."""
        if document.data is None:
            return
        if not isinstance(document.data, dict):
            raise document.error((), "a configuration is a map of keys and values", hint="hostname: mx.example.org")
        self._merge(self.data, document.data, (), document)

    def owner(self, path: KeyPath) -> YamlDocument | None:
        """Return the file that set the value, or else something in it; None when it is a default."""
        for length in range(len(path), 0, -1):
            document = self._owners.get(path[:length])
            if document is not None:
                return document
        below = (document for known, document in self._owners.items() if known[: len(path)] == path)
        return next(below, None)

    def _merge(self, into: dict[str, Any], new: dict[str, Any], path: KeyPath, document: YamlDocument) -> None:
        for key, value in new.items():
            here = (*path, key)
            if value is None and path == ("checks",):
                value = {}
            if value is None:
                continue
            if isinstance(value, dict):
                if not isinstance(into.get(key), dict):
                    into[key] = {}
                    self._take(here, document)
                self._merge(into[key], value, here, document)
            else:
                into[key] = deepcopy(value)
                self._take(here, document)

    def _take(self, path: KeyPath, document: YamlDocument) -> None:
        """Give the path to a document: what earlier files said below it is gone."""
        depth = len(path)
        self._owners = {known: owner for known, owner in self._owners.items() if known[:depth] != path}
        self._owners[path] = document


def read_layers(path: Path) -> list[YamlDocument]:
    """Return the files of a configuration, lowest first, the named one last; raise ConfigError."""
    layers: list[YamlDocument] = []
    _collect(path, layers, ())
    return layers


def _collect(path: Path, layers: list[YamlDocument], including: tuple[Path, ...]) -> None:
    document = read_yaml(path)
    real = path.resolve()
    for number, pattern in enumerate(_includes(document)):
        place = ("include", number)
        found = sorted(path.parent.glob(pattern)) if _is_glob(pattern) else [path.parent / pattern]
        for included in found:
            if included.resolve() in (*including, real):
                raise document.error(place, f"{included} includes itself")
            if not included.is_file():
                raise document.error(place, f"{included}: no such file")
            if len(layers) >= MAX_INCLUDES:
                raise document.error(place, f"more than {MAX_INCLUDES} files are included")
            _collect(included, layers, (*including, real))
    layers.append(document)


def _includes(document: YamlDocument) -> list[str]:
    data = document.data
    names = data.get("include") if isinstance(data, dict) else None
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise document.error(("include",), "must be a list of file names", hint="include: [local.yml]")
    if any(Path(name).is_absolute() and _is_glob(name) for name in names):
        raise ConfigError(
            "a pattern must be relative", file=document.file, key="include", hint="include: [conf.d/*.yml]"
        )
    return names


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")
