"""Where a message is kept between its client and the next hop: in memory, or in a file once it is large.

The rule: memory stays within `memory_size` a message while it comes and goes, and a file has no name, so that it is
gone with the process whatever happens.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from filterproxy.protocols.smtp.blemishes import Blemishes, BlemishFinder, Normalizer, blemishes, normalize_newlines
from filterproxy.protocols.smtp.reading import MemoryBody

_CHUNK = 256 * 1024


class Spool:
    """A message as it comes (a `Body`), and after `finish` as it is: with CRLF line ends only when `normalize` is set.

    `append` and `finish` raise OSError when the file cannot be written. `close` gives everything back.
    """

    def __init__(self, memory_size: int, folder: Path | None, line_limit: int | None, *, normalize: bool) -> None:
        self._memory_size = memory_size
        self._folder = folder
        self._line_limit = line_limit
        self._memory = MemoryBody()
        self._file: IO[bytes] | None = None
        self._finder = BlemishFinder(line_limit)
        self._normalizer = Normalizer() if normalize else None
        self.size = 0
        self.blemishes = Blemishes()

    @property
    def in_file(self) -> bool:
        """Tell whether the message is in a file."""
        return self._file is not None

    def append(self, octets: bytes) -> None:
        """Keep octets."""
        self.size += len(octets)
        if self._file is None and self.size <= self._memory_size:
            self._memory.append(octets)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - it lives as long as the message
                prefix="filterproxy-", dir=self._folder, buffering=0
            )
            self._write(self._memory.whole())
            self._memory.clear()
        self._write(octets)

    def clear(self) -> None:
        """Keep nothing."""
        self.size = 0
        self._memory.clear()
        self._close_file()

    def finish(self) -> None:
        """The message is complete: look at what is wrong with it, and have it as it goes on."""
        if self._file is None:
            raw = self._memory.whole()
            self.blemishes = blemishes(raw, self._line_limit)
            if self._normalizer is not None:
                self._memory.clear()
                self._memory.append(normalize_newlines(raw))
                self.size = len(self._memory.whole())
            return
        self.blemishes = self._finder.finish()
        if self._normalizer is not None:
            _write_all(self._file, self._normalizer.finish())
        self.size = self._file.tell()

    def head(self, size: int) -> bytes:
        """Return the first `size` octets, or all when there are no more."""
        if self._file is None:
            raw = self._memory.whole()
            return raw if len(raw) <= size else raw[:size]
        self._file.seek(0)
        pieces = []
        while size > 0 and (piece := self._file.read(min(size, _CHUNK))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def tail(self, start: int) -> Iterator[bytes]:
        """Yield what comes after the first `start` octets."""
        if self._file is None:
            if rest := self._memory.whole()[start:]:
                yield rest
            return
        self._file.seek(start)
        while piece := self._file.read(_CHUNK):
            yield piece

    def close(self) -> None:
        """Give the memory and the file back."""
        self._memory.clear()
        self._close_file()

    def _write(self, octets: bytes) -> None:
        assert self._file is not None
        self._finder.feed(octets)
        _write_all(self._file, octets if self._normalizer is None else self._normalizer.feed(octets))

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_all(file: IO[bytes], octets: bytes) -> None:
    """Write all octets: an unbuffered file may take less, and then says why at the next attempt."""
    view = memoryview(octets)
    while view:
        view = view[file.write(view) :]
