"""What is wrong with a configuration, in words: where it is, what it is, and what would be right.

The rule: an error names file, line and key, and the nearest valid key or the valid values; keys and types that belong
to later versions are told apart from typing mistakes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from filterproxy.config.yaml_loader import KeyPath
from filterproxy.core.errors import ConfigError

NOT_AVAILABLE = "not available in this version"

# What the documentation names but this version does not have; paths use "*" for any one piece.
LATER_KEYS: tuple[tuple[str, ...], ...] = (
    ("quarantine",),
    ("greylisting",),
    ("console",),
    ("redis",),
)
LATER_CHECKS = frozenset(("greylisting", "greylist"))

MakeError = Callable[..., ConfigError]


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a hint: the valid word most like this one, or all valid words when there are few."""
    words = sorted(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid: {', '.join(words)}" if words else ""


def describe(
    details: Iterable[ErrorDetails], data: Any, schema: Mapping[str, Any], prefix: KeyPath, make: MakeError
) -> Iterator[ConfigError]:
    """Yield one ConfigError for each of pydantic's errors about `data`, which lies at `prefix` in the configuration.

    `make(path, reason, hint=…, of_key=…)` places an error. Several errors of one value become the first of them.
    """
    found = [(_path(detail["loc"], data), detail) for detail in details]
    later = {path[:-1] for path, _ in found if _is_later_key((*prefix, *path))}
    seen: set[KeyPath] = set()
    for path, detail in found:
        # What is missing beside a key of a later version would not be missing there.
        if path in seen or (detail["type"] == "missing" and path[:-1] in later):
            continue
        seen.add(path)
        reason, hint, of_key = _words(detail, (*prefix, *path), path, data, schema)
        yield make((*prefix, *path), reason, hint=hint, of_key=of_key)


def _path(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """Return pydantic's location without what is not in the file: type tags, and keys inside a shorthand text."""
    path: list[int | str] = []
    node = data
    for piece in loc:
        if isinstance(node, dict):
            if piece in node:
                node = node[piece]
            elif piece == node.get("type") or piece == "[key]":
                continue
            else:
                node = None
        elif isinstance(node, list) and isinstance(piece, int) and piece < len(node):
            node = node[piece]
        else:
            break
        path.append(piece)
    return tuple(path)


def _words(
    detail: ErrorDetails, full: KeyPath, path: KeyPath, data: Any, schema: Mapping[str, Any]
) -> tuple[str, str, bool]:
    """Return what is wrong, what would be right, and whether the key (not its value) is at fault."""
    kind, given, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        if _is_later_key(full):
            return NOT_AVAILABLE, "", True
        return "unknown key", nearest(str(path[-1]), _valid_keys(schema, detail["loc"][:-1])), True
    if kind == "missing":
        return "is required", "", True
    if kind == "union_tag_invalid":
        word, valid = str(context["tag"]), str(context["expected_tags"])
        return f"type {word!r}: unknown type", f"valid: {valid.replace(chr(39), '')}", False
    if kind == "union_tag_not_found":
        return "needs a 'type'", f"valid: {', '.join(_tags(schema, detail['loc']))}", False
    if kind == "literal_error":
        reason = f"unknown value {_shown(given)}"
        return reason, "valid: " + str(context["expected"]).replace("'", "").replace(" or ", ", "), False
    of_key = detail["loc"][-1:] == ("[key]",)
    if kind == "value_error":
        return str(context["error"]), "", of_key
    return _sentence(detail["msg"]), f"got {_shown(given)}", of_key


def _is_later_key(path: KeyPath) -> bool:
    return any(_matches(path, pattern) for pattern in LATER_KEYS)


def _matches(path: KeyPath, pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(want in ("*", have) for want, have in zip(pattern, path, strict=True))


def _sentence(message: str) -> str:
    """Return pydantic's message as the end of the sentence that begins with the key."""
    message = re.sub(r"^Input should be ", "must be ", message)
    message = re.sub(r", unable to .*$", "", message)
    return message.replace("dictionary", "map of keys and values").replace("valid tuple", "list")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _valid_keys(schema: Mapping[str, Any], loc: tuple[int | str, ...]) -> set[str]:
    return {key for node in _nodes(schema, loc) for key in node.get("properties", {})}


def _tags(schema: Mapping[str, Any], loc: tuple[int | str, ...]) -> list[str]:
    return sorted(
        tag for node in _nodes(schema, loc) for tag in node.get("discriminator", {}).get("mapping", {}) if tag
    )


def _nodes(schema: Mapping[str, Any], loc: tuple[int | str, ...]) -> list[Mapping[str, Any]]:
    """Return the parts of a JSON Schema that describe the place at pydantic's location."""
    nodes = list(_alternatives(schema, schema))
    for piece in loc:
        below = [child for node in nodes for child in _children(node, piece)]
        nodes = [alternative for child in below for alternative in _alternatives(child, schema)]
    return nodes


def _children(node: Mapping[str, Any], piece: int | str) -> Iterator[Mapping[str, Any]]:
    mapping = node.get("discriminator", {}).get("mapping", {})
    if isinstance(piece, int):
        if "items" in node:
            yield node["items"]
    elif piece in mapping:
        yield {"$ref": mapping[piece]}
    elif piece in node.get("properties", {}):
        yield node["properties"][piece]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]


def _alternatives(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        yield from _alternatives(schema["$defs"][name], schema)
        return
    yield node
    for choice in node.get("anyOf", ()):
        yield from _alternatives(choice, schema)
