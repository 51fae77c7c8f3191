"""Where the configuration and the shipped data are found.

The rule: what lies beside the configuration wins over what was installed, and nothing else is ever searched.
"""

from __future__ import annotations

import os
from pathlib import Path

from filterproxy.core.errors import ConfigError

FILE_NAME = "filterproxy.yml"
VARIABLE = "FILTERPROXY_CONFIG"
SYSTEM_FILE = Path("/etc/filterproxy") / FILE_NAME

# The only data that ships: folder names relative to a configuration, and to the installed package's data.
SHIPPED = ("models/default", "rules")

_PACKAGE = Path(__file__).resolve().parent.parent


def find_config(explicit: Path | None) -> Path | None:
    """Return `-c`, else $FILTERPROXY_CONFIG, else ./filterproxy.yml, else /etc/filterproxy/filterproxy.yml, else None.

    Raises ConfigError when a file that was asked for by name is not there.
    """
    asked = explicit or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if asked is not None:
        if not asked.exists():
            named_by = "" if explicit else f"the file that {VARIABLE} names"
            raise ConfigError("no such file", file=str(asked), hint=named_by)
        return asked
    return next((path for path in (Path(FILE_NAME), SYSTEM_FILE) if path.is_file()), None)


def installed_data() -> Path:
    """Return the folder that holds the shipped `models` and `rules`: in the wheel, or beside a source checkout."""
    in_wheel = _PACKAGE / "_data"
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent


def resolve_data(path: str, base_dir: Path) -> Path:
    """Return the place of a configured path, which may be a glob pattern (`rules/*.yml`) in its last parts.

    A relative path starts at the configuration's folder. When nothing is there, `models/default` and `rules/…` are
    taken from the installed package. The result may not exist: whoever reads it says so with the key it came from.
    """
    local = base_dir / path
    if Path(path).is_absolute() or _exists(local) or not _is_shipped(path):
        return local
    installed = installed_data() / path
    return installed if _exists(installed) else local


def _is_shipped(path: str) -> bool:
    normal = os.path.normpath(path)
    return any(normal == name or normal.startswith(name + os.sep) for name in SHIPPED)


def _exists(path: Path) -> bool:
    if path.exists():
        return True
    return any(char in str(path) for char in "*?[") and any(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
