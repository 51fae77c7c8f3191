"""The configuration in use, as YAML that means the same when it is read again, each value with its origin if wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from pydantic import BaseModel

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.loader import Loaded
from filterproxy.config.yaml_loader import KeyPath, plain_scalar
from filterproxy.core.action import Action

_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*\Z")


def to_plain(value: Any) -> Any:
    """Return a configuration value as data that YAML and JSON can hold; durations are seconds, sizes octets."""
    if isinstance(value, BaseModel):
        shown = value.model_fields_set if getattr(value, "sparse", False) else type(value).model_fields
        return {name: to_plain(getattr(value, name)) for name in type(value).model_fields if name in shown}
    if isinstance(value, Mapping):
        return {key.key if isinstance(key, Action) else str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Action):
        return value.key
    if isinstance(value, frozenset | set):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, SocketAddress):
        # A name server is an address too, but only a next hop has another scheme than smtp.
        return str(value) if value.scheme == "smtp" else f"{value.scheme}://{value}"
    if isinstance(value, IPv4Network | IPv6Network):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def effective(loaded: Loaded) -> dict[str, Any]:
    """Return the whole configuration as plain data."""
    data: dict[str, Any] = to_plain(loaded.settings)
    data["checks"] = {name: to_plain(config) for name, config in loaded.checks.items()}
    return data


def render(loaded: Loaded, *, origin: bool = False) -> str:
    """Return the configuration as YAML; with `origin` every line that holds a value says where it came from."""
    note = (lambda path: loaded.origin(path)) if origin else (lambda path: "")
    lines = list(_map(effective(loaded), (), 0, note))
    width = min(60, max((len(text) for text, source in lines if source), default=0))
    return "".join(f"{text:<{width}}  # {source}\n" if source else f"{text}\n" for text, source in lines)


Note = Callable[[KeyPath], str]


def _map(data: Mapping[str, Any], path: KeyPath, depth: int, note: Note) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        here = (*path, key)
        start = f"{'  ' * depth}{_scalar(key)}:"
        if isinstance(value, dict) and value:
            yield start, ""
            yield from _map(value, here, depth + 1, note)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield start, ""
            yield from _list(value, here, depth + 1, note)
        else:
            yield f"{start} {_flow(value)}", note(here)


def _list(items: list[Any], path: KeyPath, depth: int, note: Note) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(items):
        dash = f"{'  ' * (depth - 1)}- "
        if not isinstance(item, dict) or not item:
            yield dash + _flow(item), note((*path, number))
            continue
        for line, (text, source) in enumerate(_map(item, (*path, number), depth, note)):
            yield (dash + text.lstrip() if line == 0 else text), source


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(key)}: {_flow(item)}' for key, item in value.items())}}}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _BARE.match(value) and plain_scalar(value) == value:
        return value
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value).replace("inf", ".inf")
    return json.dumps(value, ensure_ascii=False)
