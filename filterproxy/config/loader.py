"""Load the configuration: read, merge, validate, and say everything that is wrong at once.

The rule: a configuration is taken whole or not at all, and only what a model describes is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from filterproxy.config.endpoints import HopProblem, all_providers, endpoint, every_group, written_hops
from filterproxy.config.listeners import SmtpService
from filterproxy.config.merge import Merged, read_layers
from filterproxy.config.models import Settings
from filterproxy.config.next_hop import NextHop
from filterproxy.config.problems import LATER_CHECKS, NOT_AVAILABLE, describe, nearest
from filterproxy.config.store_url import parse_store
from filterproxy.config.yaml_loader import KeyPath, YamlDocument, format_path
from filterproxy.core.check import CheckConfig
from filterproxy.core.errors import ConfigError, ConfigErrors

M = TypeVar("M", bound=BaseModel)

# The defaults that files are merged with, not just laid over: a file that sets one threshold keeps the other.
_MERGED_DEFAULTS = ("actions",)


@dataclass(frozen=True)
class Loaded:
    """A valid configuration. `path` is None when there is no file; `base_dir` is where relative paths start."""

    settings: Settings
    checks: dict[str, CheckConfig]
    path: Path | None
    base_dir: Path
    store_path: Path
    merged: Merged = field(repr=False, compare=False)

    @property
    def state_dir(self) -> Path:
        """Return the folder of learned state: the store's."""
        return self.store_path.parent

    def origin(self, key: str | KeyPath) -> str:
        """Return where a value came from: `FILE:LINE`, or `default`."""
        path = tuple(key.split(".")) if isinstance(key, str) else key
        document = self.merged.owner(path)
        if document is None or not _is_written(path, document):
            return "default"
        return f"{document.file}:{document.mark(path).line}"

    def error(self, path: KeyPath, reason: str, *, hint: str = "", of_key: bool = False) -> ConfigError:
        """Return (not raise) the error for a key or its value, placed where it was written."""
        return _place(self.merged, path, reason, hint=hint, of_key=of_key)


def load(path: Path | None, check_types: Mapping[str, type[CheckConfig]]) -> Loaded:
    """Return the configuration of a file and of those it includes; without a file the defaults.

    `check_types` maps the names of the installed checks to the type of their configuration; a type is looked up only
    for a check that is named. Raises ConfigErrors with everything that is wrong.
    """
    base_dir = (path.parent if path else Path()).absolute()
    merged = Merged({name: Settings.model_fields[name].get_default() for name in _MERGED_DEFAULTS})
    for document in read_layers(path) if path else ():
        merged.add(document)
    loading = _Loading(merged, base_dir, check_types)
    settings = loading.settings()
    checks = loading.checks(settings)
    store_path = loading.store()
    if loading.errors or settings is None:
        raise ConfigErrors(sorted(loading.errors, key=lambda error: (error.file, error.line, error.column)))
    return Loaded(settings, checks, path, base_dir, store_path, merged)


class _Loading:
    """One run over the merged data; collects errors instead of stopping at the first."""

    def __init__(self, merged: Merged, base_dir: Path, check_types: Mapping[str, type[CheckConfig]]) -> None:
        self.merged, self.base_dir, self.check_types = merged, base_dir, check_types
        self.errors: list[ConfigError] = []

    def settings(self) -> Settings | None:
        """Return the valid settings, or None when there are errors in them."""
        checks = self.merged.data.get("checks")
        if isinstance(checks, dict):
            # `name: false` takes back what an included file enabled.
            self.merged.data["checks"] = {name: value for name, value in checks.items() if value is not False}
        settings = self.validate(Settings, self.merged.data, ())
        if settings is not None:
            self.errors.extend(_contradictions(settings, self.merged))
        return settings

    def checks(self, settings: Settings | None) -> dict[str, CheckConfig]:
        """Return the valid configurations of the enabled checks."""
        named = settings.checks if settings else self.merged.data.get("checks")
        if not isinstance(named, dict):
            return {}
        configs = {name: self.check(name, value) for name, value in named.items() if isinstance(value, dict | None)}
        return {name: config for name, config in configs.items() if config is not None}

    def check(self, name: str, value: dict[str, Any] | None) -> CheckConfig | None:
        """Return one check's valid configuration, or None."""
        if name not in self.check_types:
            later = name in LATER_CHECKS
            reason = NOT_AVAILABLE if later else "no such check is installed"
            hint = "" if later else nearest(name, self.check_types)
            self.errors.append(_place(self.merged, ("checks", name), reason, hint=hint, of_key=True))
            return None
        try:
            return self.validate(self.check_types[name], value or {}, ("checks", name))
        except ConfigError as error:  # the check's own package is broken
            self.errors.append(_place(self.merged, ("checks", name), error.reason, hint=error.hint, of_key=True))
            return None

    def store(self) -> Path:
        """Return the database's path."""
        url = self.merged.data.get("store", Settings.model_fields["store"].get_default())
        try:
            return parse_store(url, self.base_dir) if isinstance(url, str) else Path()
        except ValueError as error:
            self.errors.append(_place(self.merged, ("store",), str(error)))
            return Path()

    def validate(self, model: type[M], data: Any, prefix: KeyPath) -> M | None:
        """Return the model of the data, or None after noting what is wrong."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            schema = model.model_json_schema()
            self.errors.extend(
                describe(
                    error.errors(include_url=False), data, schema, prefix, lambda *a, **k: _place(self.merged, *a, **k)
                )
            )
            return None


def _is_written(path: KeyPath, document: YamlDocument) -> bool:
    """Tell whether the file has the value itself, or a shorthand it was made from (`next_hop: "host:25"`)."""
    if path in document.values:
        return True
    nearest_written = max((known for known in document.values if known == path[: len(known)]), key=len)
    value = document.data
    for piece in nearest_written:
        value = value[piece]
    return not isinstance(value, dict | list) and path[len(nearest_written) :] == ("address",)


def _place(merged: Merged, path: KeyPath, reason: str, *, hint: str = "", of_key: bool = False) -> ConfigError:
    document = merged.owner(path)
    if document is None:
        return ConfigError(reason, key=format_path(path), hint=hint)
    return document.error(path, reason, hint=hint, of_key=of_key)


def _contradictions(settings: Settings, merged: Merged) -> Iterator[ConfigError]:
    """Yield errors of keys that are right one by one and wrong together."""
    taken: dict[str, int] = {}
    for number, listener in enumerate(settings.listeners):
        path = ("listeners", number, "address")
        address = str(listener.address)
        if address in taken:
            yield _place(merged, path, f"{address} is listener {taken[address]}'s address already")
        taken.setdefault(address, number)
    for number, listener in enumerate(settings.listeners):
        if isinstance(listener, SmtpService):
            yield from _next_hop_problems(listener.next_hop, ("listeners", number, "next_hop"), settings, merged, taken)


def _next_hop_problems(
    next_hop: NextHop, place: KeyPath, settings: Settings, merged: Merged, taken: Mapping[str, int]
) -> Iterator[ConfigError]:
    """Yield what is wrong with a next hop, its several hops and its routes."""
    providers = all_providers(settings.providers)
    for group_path, group in every_group(next_hop):
        path: KeyPath = (*place, *group_path)
        try:
            for hop_path, hop in written_hops(group):
                path = (*place, *group_path, *hop_path)
                address = endpoint(hop, providers, Path()).address
                if str(address) in taken:
                    yield _place(merged, path, f"{address} is a listener of this filter: mail would loop")
        except HopProblem as problem:
            path = (*path, problem.key) if problem.key else path
            hint = nearest(getattr(hop, problem.key), problem.valid) if problem.key == "provider" else ""
            yield _place(merged, path, problem.reason, hint=hint or _valid(problem.valid))


def _valid(words: tuple[str, ...]) -> str:
    return f"valid: {', '.join(words)}" if words else ""
