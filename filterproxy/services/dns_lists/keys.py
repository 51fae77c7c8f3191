"""Customers' keys for DNS lists: part of the zone that is asked, and shown nowhere else.

The one rule: a key is a SecretStr until it is put into a zone, and no message quotes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from filterproxy.core.errors import ConfigError

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


class KeyFile(BaseModel):
    """A key in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(min_length=1, description="A file that holds nothing but the key.")


KeyConfig = SecretStr | KeyFile


def read_keys(keys: Mapping[str, KeyConfig], base_dir: Path) -> dict[str, str]:
    """Return the keys by name; raise ConfigError for one that cannot be read or is no label of a domain name."""
    return {name: _read(name, key, base_dir) for name, key in keys.items()}


def _read(name: str, key: KeyConfig, base_dir: Path) -> str:
    place = f"checks.dnslists.keys.{name}"
    if isinstance(key, SecretStr):
        text = key.get_secret_value()
    else:
        try:
            text = (base_dir / key.file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not ASCII"
            raise ConfigError(f"cannot read {base_dir / key.file}: {reason}", key=place) from error
    if not _LABEL.match(text):
        raise ConfigError("not a key: letters and digits, as the list's operator gave it to you", key=place)
    return text.lower()
