"""Messages from files, folders, mboxes, Maildirs, tar archives, indexes and standard input, one at a time.

The rule: whatever cannot be read becomes one item with an error and never an exception; nothing but regular files is
ever opened, and never more than one message is held. The `From ` line of an mbox is no part of a message.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, cast

from filterproxy.core.errors import ConfigError

MAX_MESSAGE = 64 * 1024 * 1024
STDIN = "-"

_CHUNK = 1 << 20
_ARCHIVE = re.compile(r"\.(?:tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz))\Z", re.IGNORECASE)
_FROM_LINE = re.compile(rb"From [^\r\n]{0,900}\d\d:\d\d[^\r\n]{0,90}\r?\n")
_FIELD_START = re.compile(rb">?[!-9;-~]{1,200}[ \t]?:|From ")
_RECEIVED = re.compile(rb"^Received:(?:[^\n]|\n(?=[ \t])){0,4000}", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(rb"^Date:(?:[^\n]|\n(?=[ \t])){0,300}", re.IGNORECASE | re.MULTILINE)
_HEADER_SPAN = 65_536

Judge = Literal["spam", "ham"]


@dataclass(frozen=True, slots=True)
class CorpusItem:
    """One message, or why there is none.

    `name` is the path as given (`path:N` from 1 in an mbox, `path:member` in an archive, `-` for standard input);
    `raw` is None when `error` says what is wrong.
    """

    name: str
    raw: bytes | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Locator:
    """Where one message lies, so that it can be read later and again; `length` -1 is the whole file.

    `unpacked` says that the file is a temporary copy of what `name` names.
    """

    name: str
    path: str
    offset: int = 0
    length: int = -1
    error: str = ""
    unpacked: bool = False

    def read(self) -> CorpusItem:
        """Return the message; whatever goes wrong is the item's error."""
        if self.error:
            return CorpusItem(self.name, None, self.error)
        try:
            with _open_regular(self.path) as file:
                file.seek(self.offset)
                raw = _read_limited(file, self.length)
        except (OSError, ValueError) as error:
            return CorpusItem(self.name, None, _reason(error))
        return CorpusItem(self.name, _without_from_line(raw))

    def read_start(self) -> bytes:
        """Return the first 64 KiB of the message, empty when it cannot be read."""
        try:
            with _open_regular(self.path) as file:
                file.seek(self.offset)
                return file.read(_HEADER_SPAN if self.length < 0 else min(self.length, _HEADER_SPAN))
        except (OSError, ValueError):
            return b""


@dataclass(frozen=True, slots=True)
class IndexLine:
    """One line of an index: the label, the path as written, and the file it means."""

    judge: Judge
    path: str
    file: Path

    def read(self) -> CorpusItem:
        """Return the message under the path as the index writes it."""
        return Locator(self.path, str(self.file)).read()


def read_messages(paths: Iterable[str | Path]) -> Iterator[CorpusItem]:
    """Yield the messages of files, folders (recursive), mboxes, Maildirs, tar archives and `-` (standard input)."""
    for path in paths:
        if str(path) == STDIN:
            yield read_stdin()
            continue
        for file in _files(str(path)):
            if not file.error and _ARCHIVE.search(file.path):
                yield from _read_archive(file.path)
            else:
                yield from (located.read() for located in _split(file))


def locate_messages(paths: Iterable[str | Path], room: Path | None = None) -> Iterator[Locator]:
    """Yield where the messages of files, folders, mboxes and Maildirs lie, without reading bodies into memory.

    Tar archives and standard input cannot be read in any order: their messages are unpacked into files in the folder
    `room`, which must outlive the locators; without it neither is read.
    """
    for number, path in enumerate(paths):
        if room is not None and str(path) == STDIN:
            yield from _unpack([read_stdin()], room / f"{number:06d}")
            continue
        for file in _files(str(path)):
            if room is not None and not file.error and _ARCHIVE.search(file.path):
                yield from _unpack(_read_archive(file.path), room / f"{number:06d}")
            else:
                yield from _split(file)


def _unpack(items: Iterable[CorpusItem], folder: Path) -> Iterator[Locator]:
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in folder.iterdir())  # a folder may hold several archives
    for item in items:
        if item.raw is None:
            yield Locator(item.name, "", error=item.error)
            continue
        file = folder / f"{number:08d}"
        file.write_bytes(item.raw)
        number += 1
        yield Locator(item.name, str(file), length=len(item.raw), unpacked=True)


def read_index(index_file: str | Path) -> Iterator[IndexLine]:
    """Yield the lines `spam|ham path` of an index in its order; paths are relative to the index file.

    Raises ConfigError, with the line number, for a line that is neither blank nor of that form or when the index itself
    cannot be read.
    """
    index = Path(index_file)
    try:
        with index.open(encoding="utf-8", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                judge, _, path = line.strip().partition(" ")
                if not judge:
                    continue
                if judge.lower() not in ("spam", "ham") or not path.strip():
                    reason = "this is no line of an index"
                    raise ConfigError(reason, file=str(index), line=number, hint="write: spam PATH, or: ham PATH")
                path = path.strip()
                yield IndexLine(cast(Judge, judge.lower()), path, index.parent / path)
    except OSError as error:
        raise ConfigError(_reason(error), file=str(index)) from error


def read_stdin() -> CorpusItem:
    """Return the one message on standard input."""
    try:
        return CorpusItem(STDIN, _without_from_line(_read_limited(sys.stdin.buffer, -1)))
    except (OSError, ValueError) as error:
        return CorpusItem(STDIN, None, _reason(error))


def received_time(raw: bytes) -> datetime | None:
    """Return when the message came in: the topmost Received field's date, else Date; None when neither is a date."""
    header = raw[:_HEADER_SPAN].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for field in (_RECEIVED.search(header), _DATE.search(header)):
        if field is None:
            continue
        text = field[0].rpartition(b";")[2] if field[0][:8].lower() == b"received" else field[0].partition(b":")[2]
        try:
            moment = parsedate_to_datetime(" ".join(text.decode("latin-1").split()))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _reason(error: Exception) -> str:
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def _open_regular(path: str) -> IO[bytes]:
    """Open a regular file; a FIFO or device is an error and is never waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return os.fdopen(descriptor, "rb")


def _read_limited(file: IO[bytes], length: int) -> bytes:
    raw = file.read(min(length, MAX_MESSAGE + 1) if length >= 0 else MAX_MESSAGE + 1)
    if len(raw) > MAX_MESSAGE:
        raise ValueError(f"larger than {MAX_MESSAGE >> 20} MiB")
    return raw


def _without_from_line(raw: bytes) -> bytes:
    match = _FROM_LINE.match(raw)
    return raw[match.end() :] if match else raw


def _files(path: str) -> Iterator[Locator]:
    """Yield the files below a path in a stable order; a Maildir gives its messages and those of its subfolders."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        yield Locator(path, path, error=_reason(error))
        return
    if not stat.S_ISDIR(mode):
        yield Locator(path, path)
        return
    yield from _folder(path)


def _folder(path: str) -> Iterator[Locator]:
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        yield Locator(path, path, error=_reason(error))
        return
    names = {entry.name for entry in entries}
    maildir = {"cur", "new"} <= names
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        if maildir and not _in_maildir(entry.name, is_folder):
            continue
        if is_folder and (maildir or not entry.name.startswith(".") or _is_maildir(entry.path)):
            yield from _folder(entry.path)
        elif not is_folder and not entry.name.startswith(".") and not entry.is_dir():
            yield Locator(entry.path, entry.path)


def _in_maildir(name: str, is_folder: bool) -> bool:
    """Tell whether an entry of a Maildir holds messages; `tmp` and the server's index files do not."""
    return is_folder and (name in ("cur", "new") or name.startswith("."))


def _is_maildir(path: str) -> bool:
    return Path(path, "cur").is_dir() and Path(path, "new").is_dir()


def _split(file: Locator) -> Iterator[Locator]:
    """Yield the messages of one file: itself, or each message of an mbox with at least two."""
    if file.error:
        yield file
        return
    try:
        with _open_regular(file.path) as opened:
            spans = _mbox_spans(opened)
            first = next(spans, None)
            second = next(spans, None)
            if first is None or second is None:
                yield file
                return
            yield Locator(f"{file.name}:1", file.path, *first)
            yield Locator(f"{file.name}:2", file.path, *second)
            for number, span in enumerate(spans, 3):
                yield Locator(f"{file.name}:{number}", file.path, *span)
    except (OSError, ValueError) as error:
        yield Locator(file.name, file.path, error=_reason(error))


def _mbox_spans(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each message of an mbox; nothing when the file does not begin like one."""
    line = file.readline(_CHUNK)
    if not _FROM_LINE.match(line):
        return
    start = position = 0
    candidate, blank = -1, False
    while line:
        if candidate >= 0 and _FIELD_START.match(line):
            yield start, candidate - start
            start = candidate
        candidate = position if blank and _FROM_LINE.match(line) else -1
        position += len(line)
        blank = line in (b"\n", b"\r\n")
        line = file.readline(_CHUNK)
    yield start, position - start


def _read_archive(path: str) -> Iterator[CorpusItem]:
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.isfile() and not _is_hidden(member.name):
                    yield from _read_member(archive, member, f"{path}:{member.name}")
    except (OSError, EOFError, tarfile.TarError, ValueError, zlib.error, lzma.LZMAError) as error:
        yield CorpusItem(path, None, f"broken archive: {_reason(error)}")


def _is_hidden(name: str) -> bool:
    """Tell whether a member is what a folder's hidden files are; the folders themselves may be a Maildir's."""
    return name.rpartition("/")[2].startswith(".")


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Iterator[CorpusItem]:
    file = archive.extractfile(member) if member.size <= MAX_MESSAGE else None
    if file is None:
        yield CorpusItem(name, None, f"larger than {MAX_MESSAGE >> 20} MiB")
        return
    raw = file.read()
    spans = list(_mbox_spans(BytesIO(raw)))
    if len(spans) < 2:
        yield CorpusItem(name, _without_from_line(raw))
        return
    for number, (begin, length) in enumerate(spans, 1):
        yield CorpusItem(f"{name}:{number}", _without_from_line(raw[begin : begin + length]))
