"""Writing scores into YAML files by hand and eye: only the numbers change, every other byte stays.

A parser tells where each number stands, and the text is spliced there, because a file that is dumped anew loses what
no YAML data holds: line lengths, indentation, quotes, line ends. What was written is read again before it is taken.

The rule: a file is replaced whole or not at all, keeps its mode and owner, and then says exactly what it said before
but for the scores.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from filterproxy.config.yaml_loader import KeyPath, YamlDocument, load_yaml
from filterproxy.core.errors import ConfigError

SECTIONS = ("rules", "composites", "lists")

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_NUMBER = re.compile(r"[-+.\w]+")
_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")
_BEFORE_NUMBER = re.compile(r"""(?:&[^\s,\[\]{}]+\s+)?["']?""")


@dataclass(frozen=True, slots=True)
class Edited:
    """A file's text before and after, not yet written."""

    path: Path
    before: str
    after: str
    of_config: bool = False

    def write(self) -> None:
        """Replace the file such that readers find the old one or the new one; raise ConfigError."""
        try:
            if self.path.read_bytes() != self.before.encode("utf-8"):
                raise ConfigError("the file was changed in the meantime; it stays as it is", file=str(self.path))
            _replace(self.path.resolve(), self.after.encode("utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot write: {error.strerror}", file=str(self.path)) from error

    def diff(self) -> str:
        """Return the change as a unified diff."""
        before, after = (text.splitlines() for text in (self.before, self.after))
        lines = difflib.unified_diff(before, after, str(self.path), str(self.path), lineterm="")
        return "".join(line + "\n" for line in lines)


def edit_rules(path: Path, scores: Mapping[str, float]) -> Edited:
    """Return a rules file with other scores of the named rules, composites and lists.

    Raises ConfigError when the file cannot be read or written, lacks the symbol, or shares a number by an anchor.
    """
    text, document = _read(path)
    places = _Text(text, document)
    expected = deepcopy(document.data)
    for name, score in scores.items():
        section, number = _find(document, name)
        places.set((section, number), "score", score)
        _put(expected[section][number], "score", score)
    return _checked(path, text, places.spliced(), expected)


def edit_config(path: Path, scores: Mapping[str, float]) -> Edited:
    """Return a configuration file with these entries in `scores:`, which is added when there is none."""
    text, document = _read(path)
    places = _Text(text, document)
    expected = deepcopy(document.data) if document.data is not None else {}
    if not isinstance(expected, dict):
        raise document.error((), "a configuration is a map of keys and values")
    present = expected.get("scores")
    if present:
        for name, score in scores.items():
            places.set(("scores",), name, score)
    elif "scores" in expected:
        places.fill(("scores",), scores)
    else:
        places.append("scores", scores)
    expected["scores"] = present or {}
    for name, score in scores.items():
        _put(expected["scores"], name, score)
    return replace(_checked(path, text, places.spliced(), expected), of_config=True)


def formatted(score: float) -> str:
    """Return a score as it is written: `2`, `2.5`, `-0.3`."""
    return f"{score:.4f}".rstrip("0").rstrip(".") if score else "0"


def _read(path: Path) -> tuple[str, YamlDocument]:
    """Return the text, line ends as they are, and what it says."""
    try:
        raw = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot read: {error.strerror}", file=str(path)) from error
    document = load_yaml(raw, str(path))
    # Root may write anything; a file that its owner made read-only is left alone all the same.
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise ConfigError("the file is read-only", file=str(path), hint="chmod u+w, or --write config")
    try:
        return raw.decode("utf-8"), document
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8, so it is not changed", file=str(path), hint="save it as UTF-8") from error


def _find(document: YamlDocument, name: str) -> tuple[str, int]:
    for section in SECTIONS:
        for number, item in enumerate((document.data or {}).get(section) or ()):
            if isinstance(item, dict) and item.get("name") == name:
                return section, number
    raise ConfigError(f"there is no rule {name} any more", file=document.file)


def _put(data: dict[str, Any], key: str, score: float) -> None:
    """Put a score into plain data as it will be read; what was written in quotes stays in quotes."""
    data[key] = formatted(score) if isinstance(data.get(key), str) else score


def _checked(path: Path, before: str, after: str, expected: Any) -> Edited:
    """Return the edit when the new text says what it should; anything else is a bug or a shared number."""
    if load_yaml(after.encode("utf-8"), str(path)).data != expected:
        reason = "a score here is shared with something else by an anchor, so it is not changed"
        raise ConfigError(reason, file=str(path), hint="write the number out at each place, or use --write config")
    return Edited(path, before, after)


def where_written(files: Iterable[Path]) -> dict[str, Path]:
    """Return for each rule, composite and list the file that holds it."""
    found: dict[str, Path] = {}
    for file in files:
        data = load_yaml(file.read_bytes(), str(file)).data or {}
        found.update({item["name"]: file for section in SECTIONS for item in data.get(section) or ()})
    return found


class _Text:
    """A file's text with the edits to make, each a span of it and what to put there."""

    def __init__(self, text: str, document: YamlDocument) -> None:
        self._text, self._document = text, document
        # A byte order mark is no character of the first line for the parser.
        start = 1 if text.startswith("\ufeff") else 0
        self._starts = [start, *(match.end() for match in _BREAK.finditer(text))]
        self._flows = _flow_maps(text.encode("utf-8"))
        found = _BREAK.search(text)
        self._line_end = found[0] if found else "\n"
        self._edits: list[tuple[int, int, str]] = []

    def set(self, parent: KeyPath, key: str, score: float) -> None:
        """Put a number at a key of a map, adding the key when it is not there."""
        if (*parent, key) in self._document.keys:
            begin, end = self._number(parent, key)
            self._edits.append((begin, end, formatted(score)))
        else:
            self._insert(parent, key, score)

    def fill(self, path: KeyPath, scores: Mapping[str, float]) -> None:
        """Put a map where a key has no value or an empty map."""
        inline = "{" + ", ".join(f"{name}: {formatted(score)}" for name, score in scores.items()) + "}"
        begin = self._offset(self._document.values[path])
        match = re.compile(r"\{\s*\}|~|null\b").match(self._text, begin)
        if match:
            self._edits.append((begin, match.end(), inline))
            return
        key = self._offset(self._document.keys[path])
        colon = self._text.index(":", key) + 1
        self._edits.append((colon, colon, f" {inline}"))

    def append(self, key: str, scores: Mapping[str, float]) -> None:
        """Add a map at the end of the file, or at the beginning of one that is a map in braces."""
        if () in self._document.values and self._is_flow(()):
            inline = ", ".join(f"{name}: {formatted(score)}" for name, score in scores.items())
            begin = self._text.index("{", self._offset(self._document.values[()])) + 1
            comma = ", " if self._document.data else ""
            self._edits.append((begin, begin, f"{key}: {{{inline}}}{comma}"))
            return
        lines = [f"{key}:", *(f"  {name}: {formatted(score)}" for name, score in scores.items())]
        place = self._document_end()
        if place and not self._text[:place].endswith(("\n", "\r")):
            # The last line may belong to a text that a line end would change: go before the first key instead.
            place = self._offset(self._document.values[()])
        self._edits.append((place, place, "".join(line + self._line_end for line in lines)))

    def spliced(self) -> str:
        """Return the text with all edits made."""
        text = self._text
        for begin, end, new in sorted(self._edits, reverse=True):
            text = text[:begin] + new + text[end:]
        return text

    def _number(self, parent: KeyPath, key: str) -> tuple[int, int]:
        """Return the span of the number at a key, or of the alias that stands there."""
        begin = self._offset(self._document.keys[(*parent, key)])
        begin = _skip_key(self._text, begin)
        alias = _ALIAS.match(self._text, begin)
        if alias:
            return alias.span()
        begin = self._offset(self._document.values[(*parent, key)])
        before = _BEFORE_NUMBER.match(self._text, begin)
        number = _NUMBER.match(self._text, before.end() if before else begin)
        if number is None:
            raise self._document.error((*parent, key), "this is no plain number, so it is not changed")
        return number.span()

    def _insert(self, parent: KeyPath, key: str, score: float) -> None:
        """Add a key to a map: before its second key, which stands on a line of its own, or before the only one."""
        inside = [path for path in self._document.keys if path[:-1] == parent]
        mark = self._document.keys[inside[1] if len(inside) > 1 and key == "score" else inside[0]]
        begin = self._offset(mark)
        if self._is_flow(parent):
            self._edits.append((begin, begin, f"{key}: {formatted(score)}, "))
        else:
            indent = self._line_end + " " * (mark.column - 1)
            self._edits.append((begin, begin, f"{key}: {formatted(score)}{indent}"))

    def _is_flow(self, path: KeyPath) -> bool:
        return tuple(self._document.values[path]) in self._flows

    def _offset(self, mark: tuple[int, int]) -> int:
        line, column = mark
        return self._starts[line - 1] + column - 1

    def _document_end(self) -> int:
        """Return where the document ends: before a line `...`, else at the end of the text."""
        end = re.search(r"^\.\.\.\s*$", self._text, re.MULTILINE)
        return end.start() if end else len(self._text)


def _skip_key(text: str, begin: int) -> int:
    """Return where the value after a plain or quoted key begins."""
    if text[begin] in "\"'":
        begin = text.index(text[begin], begin + 1) + 1
    colon = text.index(":", begin) + 1
    return colon + len(text[colon:]) - len(text[colon:].lstrip(" \t"))


def _flow_maps(raw: bytes) -> set[tuple[int, int]]:
    """Return the places (line and column from 1) of the maps in braces."""
    return {
        (event.start_mark.line + 1, event.start_mark.column + 1)
        for event in yaml.parse(raw, Loader=yaml.CSafeLoader)
        if isinstance(event, yaml.MappingStartEvent) and event.flow_style and event.start_mark
    }


def _replace(path: Path, content: bytes) -> None:
    """Replace a file's content atomically; mode and owner stay."""
    status = path.stat()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_all(edits: Iterable[Edited]) -> Iterator[Edited]:
    """Write files that were all prepared before the first is written; yield each when it is written."""
    for edit in edits:
        edit.write()
        yield edit
