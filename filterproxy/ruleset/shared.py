"""The ruleset that was loaded last, for whoever asks for the same files again.

The rule: it is handed out only while every rules file says what it said then, with its lists as they are now; a list
that cannot be read is the error that loading makes of it.

The supervisor loads it before it forks, so that the workers share its memory; a reload without a change of rules takes
the one in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from filterproxy.ruleset import loader
from filterproxy.ruleset.facts import TextLimits
from filterproxy.ruleset.ruleset import RuleSet

_Key = tuple[Path, TextLimits, tuple[tuple[Path, str], ...]]
_last: tuple[_Key, RuleSet] | None = None


def load(patterns: Sequence[str], base_dir: Path, limits: TextLimits) -> RuleSet:
    """Return the ruleset of the files that the patterns stand for; raise ConfigError as `loader.load` does."""
    global _last
    files = loader.find_files(patterns, base_dir)
    key = (base_dir, limits, tuple((file, _digest(file)) for file in files))
    if _last is not None and _last[0] == key and not _last[1].refresh_lists():
        return _last[1]
    _last = None  # what cannot be loaded now is an error each time
    loaded = loader.load(files, base_dir, limits)
    # A file that changed while it was read says something else now: it is read anew next time.
    _last = (key, loaded)
    return loaded


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"  # loading says why
