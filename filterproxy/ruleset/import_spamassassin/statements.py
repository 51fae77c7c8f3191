""".cf files as statements: comments, escapes, `lang`, `include`, `if` and `require_version`; Mail::SpamAssassin::Conf.

The rule: text is read as bytes, one character each, as SpamAssassin compares bytes; a line that is wrong is noted with
its file and line, and the rest is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from filterproxy.core.errors import ConfigError
from filterproxy.ruleset.import_spamassassin.conditions import condition_holds

MAX_FILE = 16 * 1024 * 1024
MAX_LINE = 64 * 1024
MAX_INCLUDES = 100
SUFFIXES = (".cf", ".pre")
VERSION = "4.000001"

_COMMENT = re.compile(r"(?<!\\)#.*")
_LANGUAGE = re.compile(r"lang\s+(\S+)\s+")


class Place(NamedTuple):
    """Where something is written."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Statement(NamedTuple):
    """One setting: its key in lower case, and the rest of the line."""

    key: str
    value: str
    place: Place


class Problem(NamedTuple):
    """A line that could not be used, and why."""

    place: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(slots=True)
class _If:
    """An open condition: whether what stands inside counts."""

    key: str
    place: Place
    outer: bool
    active: bool


@dataclass
class Reader:
    """Reads files in turn; `problems` are the lines that could not be used."""

    plugins: set[str]
    language: str = "en"
    problems: list[Problem] = field(default_factory=list)
    _files: int = 0

    def folder(self, folder: Path) -> Iterator[Statement]:
        """Yield the statements of the .pre and .cf files of a folder (or of one file), in SpamAssassin's order.

        Raises ConfigError when the folder cannot be read or has no such file.
        """
        for path in find_files(folder):
            yield from self.file(path)

    def file(self, path: Path) -> Iterator[Statement]:
        """Yield the statements of a file and of those it includes."""
        self._files += 1
        ifs: list[_If] = []
        active = True
        for number, line in enumerate(self._lines(path), 1):
            place = Place(str(path), number)
            statement = self._statement(line, place)
            if statement is None:
                continue
            if statement.key in ("if", "ifplugin", "else", "endif"):
                active = self._condition(statement, ifs, active)
            elif not active:
                continue
            elif statement.key == "require_version":
                active = self._required(statement)
            elif statement.key == "include":
                yield from self._include(statement, path)
            else:
                if statement.key == "loadplugin":
                    self.plugins.add(statement.value.split(None, 1)[0] if statement.value else "")
                yield statement
        for left in ifs:
            self.note(left.place, f"`{left.key}` without `endif`")

    def note(self, place: Place, reason: str) -> None:
        """Note a line that could not be used."""
        self.problems.append(Problem(place, reason))

    def _lines(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as stream:
                raw = stream.read(MAX_FILE + 1)
        except OSError as error:
            self.note(Place(str(path), 1), f"cannot read: {error.strerror or error}")
            return []
        if len(raw) > MAX_FILE:
            self.note(Place(str(path), 1), f"not read: larger than {MAX_FILE} bytes")
            return []
        return raw.decode("latin-1").replace("\r\n", "\n").split("\n")

    def _statement(self, line: str, place: Place) -> Statement | None:
        if len(line) > MAX_LINE:
            self.note(place, f"the line has more than {MAX_LINE} characters")
            return None
        if "\0" in line:
            self.note(place, "a NUL byte: this is no text file")
            return None
        if "#" in line:
            line = _COMMENT.sub("", line).replace("\\#", "#")
        line = line.strip(" \t\r\f\v")
        language = _LANGUAGE.match(line)
        if language:
            if not self.language.lower().startswith(language[1].lower()):
                return None
            line = line[language.end() :]
        if not line:
            return None
        key, _, value = line.replace("\t", " ", 1 if "\t" in line.split(" ", 1)[0] else 0).partition(" ")
        return Statement(key.lower().replace("-", "_"), value.strip(), place)

    def _condition(self, statement: Statement, ifs: list[_If], active: bool) -> bool:
        """Return whether what follows counts."""
        key, value, place = statement
        if key in ("if", "ifplugin"):
            text = f"plugin({value})" if key == "ifplugin" else value
            holds = False
            try:
                holds = condition_holds(text, self.plugins, VERSION)
            except ValueError as error:
                self.note(place, f"`{key}`: {error}; what it encloses is left out")
            ifs.append(_If(key, place, active, active and holds))
            return active and holds
        if not ifs:
            self.note(place, f"`{key}` without `if`")
            return active
        if key == "else":
            ifs[-1].active = ifs[-1].outer and not ifs[-1].active
            return ifs[-1].active
        return ifs.pop().outer

    def _required(self, statement: Statement) -> bool:
        """Return whether the rest of the file counts: it is written for this version, or for any."""
        if statement.value in ("@@VERSION@@", "") or statement.value.startswith(("3.", "4.")):
            return True
        self.note(
            statement.place,
            f"it requires version {statement.value}; rules of 3.x and 4.x are read: the rest is left out",
        )
        return False

    def _include(self, statement: Statement, path: Path) -> Iterator[Statement]:
        target = path.parent / statement.value
        if not statement.value or not target.is_file():
            self.note(statement.place, f"include: no such file: {target}")
        elif self._files >= MAX_INCLUDES + 200 or target.resolve() == path.resolve():
            self.note(statement.place, f"include: {target} is included in a circle or too many files are")
        else:
            yield from self.file(target)


def find_files(folder: Path) -> list[Path]:
    """Return the .pre and .cf files of a folder in SpamAssassin's order; raise ConfigError without any."""
    if folder.is_file():
        return [folder]
    try:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    except OSError as error:
        raise ConfigError(f"cannot read: {error.strerror or error}", file=str(folder)) from error
    if not found:
        raise ConfigError(
            "no .cf file in this folder", file=str(folder), hint="Debian has them in /usr/share/spamassassin, "
            "`sa-update` writes them to /var/lib/spamassassin/VERSION/updates_spamassassin_org",
        )  # fmt: skip
    return sorted(found, key=lambda path: (path.suffix != ".pre", path.name))
