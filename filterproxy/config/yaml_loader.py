"""YAML text to plain data that knows where every key and value was written.

The rule: a file is data and nothing else. No tags but YAML's own scalars, no duplicate keys, no merge keys, bounded
depth and bounded aliases. Plain scalars follow YAML 1.2's core schema (`no` and `12:30` are text, not false and 750)
and every key is text. It reads libyaml's events instead of composing nodes, because composing recurses without a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from filterproxy.core.errors import ConfigError

Key = str | int
KeyPath = tuple[Key, ...]

MAX_DEPTH = 50
MAX_ALIASED = 10_000
MAX_BYTES = 16 * 1024 * 1024

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z|0x[0-9a-fA-F]{1,16}\Z|0o[0-7]{1,20}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?\Z")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_STANDARD = "tag:yaml.org,2002:"


class Mark(NamedTuple):
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class _Node:
    """A value with its place; `children` are (key, key's place, node) for a map, or (index, place, node) for a list."""

    value: Any
    mark: Mark
    children: list[tuple[Key, Mark, _Node]] = field(default_factory=list)
    size: int = 1


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """Plain data (dict, list, str, int, float, bool, None) and the places of its keys and values.

    A path is the tuple of keys and list indexes from the top: `("listeners", 0, "address")`.
    """

    data: Any
    file: str
    keys: Mapping[KeyPath, Mark]
    values: Mapping[KeyPath, Mark]

    def mark(self, path: KeyPath, *, of_key: bool = False) -> Mark:
        """Return the place of the value (or of its key); of the nearest enclosing value when the path is not there."""
        for length in range(len(path), -1, -1):
            places = self.keys if of_key and length == len(path) else self.values
            if path[:length] in places:
                return places[path[:length]]
        return Mark(1, 1)

    def error(self, path: KeyPath, reason: str, *, hint: str = "", of_key: bool = False) -> ConfigError:
        """Return (not raise) the error for a value, or for its key, with file, line and column."""
        line, column = self.mark(path, of_key=of_key)
        return ConfigError(reason, file=self.file, line=line, column=column, key=format_path(path), hint=hint)


def format_path(path: KeyPath) -> str:
    """Return a path as people write it: `listeners[0].address`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def read_yaml(path: Path) -> YamlDocument:
    """Read a YAML file; raise ConfigError when it cannot be read or is not what `load_yaml` takes."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read: {error.strerror or error}", file=str(path)) from error
    return load_yaml(raw, str(path))


def load_yaml(text: str | bytes, file: str) -> YamlDocument:
    """Return the one document of a text (None without any); raise ConfigError with line and column."""
    if len(text) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES} bytes", file=file)
    try:
        root = _Builder(file).build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _syntax_error(file, error.problem or str(error.context), mark) from error
    except yaml.YAMLError as error:
        raise _reader_error(file, text, error) from error
    except UnicodeError as error:
        raise ConfigError(f"not UTF-8: {error}", file=file) from error
    keys: dict[KeyPath, Mark] = {}
    values: dict[KeyPath, Mark] = {}
    data = _plain(root, (), keys, values)
    return YamlDocument(data, file, keys, values)


class _Builder:
    """Turns one document's events into nodes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.anchors: dict[str, _Node] = {}
        self.aliased = 0

    def build(self, events: Iterator[Any]) -> _Node:
        """Return the document's root node."""
        root = _Node(None, Mark(1, 1))
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.error(event, "a second document ('---'): a file holds one")
                root = self.node(next(events), events, 0)
        return root

    def node(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        """Return the node that begins with the event."""
        if depth > MAX_DEPTH:
            raise self.error(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(self.scalar(event), _mark(event))
        elif isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(event, events, depth)
        else:
            node = self.sequence(event, events, depth)
        # Only a finished node can be referred to, so no structure ever contains itself.
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any) -> _Node:
        """Return the node an alias stands for; all aliases together may repeat only so much."""
        node = self.anchors.get(event.anchor)
        if node is None:
            raise self.error(event, f"alias *{event.anchor} names no anchor that is complete before it")
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            raise self.error(event, f"aliases repeat more than {MAX_ALIASED} values")
        return node

    def mapping(self, start: Any, events: Iterator[Any], depth: int) -> _Node:
        """Return a map's node; a key that is there already is an error."""
        self.check_tag(start, "map")
        node = _Node({}, _mark(start))
        seen: dict[str, Mark] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, mark = self.key(event), _mark(event)
            if key in seen:
                raise self.error(event, f"duplicate key {key!r}; it is in line {seen[key].line} already")
            seen[key] = mark
            child = self.node(next(events), events, depth + 1)
            node.children.append((key, mark, child))
            node.size += child.size
        return node

    def key(self, event: Any) -> str:
        """Return a key's text."""
        if not isinstance(event, yaml.ScalarEvent):
            raise self.error(event, "a key must be plain text")
        if event.value == "<<" and event.implicit[0]:
            raise self.error(event, "merge keys ('<<') are not supported; use 'include:' or write the values out")
        return str(event.value)

    def sequence(self, start: Any, events: Iterator[Any], depth: int) -> _Node:
        """Return a list's node."""
        self.check_tag(start, "seq")
        node = _Node([], _mark(start))
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            child = self.node(event, events, depth + 1)
            node.children.append((len(node.children), _mark(event), child))
            node.size += child.size
        return node

    def check_tag(self, event: Any, name: str) -> None:
        """Refuse any tag but the standard one."""
        if event.tag not in (None, "!", _STANDARD + name):
            raise self.error(event, f"tag {event.tag!r} is not allowed: a file is plain data")

    def scalar(self, event: Any) -> Any:
        """Return a scalar's value by YAML 1.2's core schema."""
        if event.tag not in (None, "!"):
            self.check_tag(event, "str")
            return event.value
        return plain_scalar(event.value) if event.implicit[0] else event.value

    def error(self, event: Any, reason: str) -> ConfigError:
        """Return the error for an event's place."""
        line, column = _mark(event)
        return ConfigError(reason, file=self.file, line=line, column=column)


def plain_scalar(text: str) -> Any:
    """Return null, a boolean, a number, or the text itself."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.match(text):
        return float(text)
    infinite = _INFINITE.match(text)
    return float(infinite[1] + "inf") if infinite else text


def _plain(node: _Node, path: KeyPath, keys: dict[KeyPath, Mark], values: dict[KeyPath, Mark]) -> Any:
    values[path] = node.mark
    if not isinstance(node.value, dict | list):
        return node.value
    items: list[tuple[Key, Any]] = []
    for key, mark, child in node.children:
        keys[(*path, key)] = mark
        items.append((key, _plain(child, (*path, key), keys, values)))
    return dict(items) if isinstance(node.value, dict) else [value for _, value in items]


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax_error(file: str, problem: str, mark: Any) -> ConfigError:
    place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
    return ConfigError(f"not YAML: {problem}", file=file, **place)


def _reader_error(file: str, text: str | bytes, error: yaml.YAMLError) -> ConfigError:
    reason = getattr(error, "reason", None) or str(error)
    before = text[: getattr(error, "position", 0)]
    line = before.count(b"\n" if isinstance(before, bytes) else "\n") + 1  # type: ignore[arg-type]
    return ConfigError(f"not YAML: {reason}", file=file, line=line)
