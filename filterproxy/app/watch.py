"""Files that reload a running service when they change: the rules.

The rule: a file that is being written is left alone until it has stayed the same from one look to the next, and one
change is acted on once, whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from filterproxy.config.loader import Loaded

_Entry = tuple[int, int, int]
_MISSING: _Entry = (0, 0, 0)


def watched_files(loaded: Loaded) -> list[Path]:
    """Return the files that the enabled checks want watched."""
    return [path for config in loaded.checks.values() for path in config.watched_files(loaded.base_dir)]


def _look_at(paths: Iterable[Path]) -> dict[Path, _Entry]:
    return {path: _entry(path) for path in paths}


def _entry(path: Path) -> _Entry:
    """Return what tells whether a file has changed."""
    try:
        status = path.stat()
    except OSError:
        return _MISSING
    return status.st_mtime_ns, status.st_size, status.st_ino


class Watch:
    """Looks at the files of the configuration in use."""

    def __init__(self, loaded: Loaded) -> None:
        self._seen = self._last = _look_at(watched_files(loaded))

    def note(self, loaded: Loaded) -> None:
        """Take the files of a configuration that is about to be loaded as they are now."""
        self._seen = self._seen | _look_at(watched_files(loaded))

    def keep_only(self, loaded: Loaded) -> None:
        """Forget the files that a configuration, now in use, does not name."""
        wanted = set(watched_files(loaded))
        self._seen = {path: entry for path, entry in self._seen.items() if path in wanted}

    def changed(self, loaded: Loaded) -> list[Path]:
        """Look; return the files that have changed since they were noted, once all have settled."""
        now = _look_at({*self._seen, *watched_files(loaded)})
        settled = now == self._last
        self._last = now
        changed = sorted(path for path, entry in now.items() if self._seen.get(path) != entry)
        if not settled or not changed:
            return []
        self._seen = now
        return changed
