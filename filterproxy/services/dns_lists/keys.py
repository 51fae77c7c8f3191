"""Customers' keys for DNS lists: part of the zone that is asked, and shown nowhere else.

The one rule: a key is a SecretStr until it is put into a zone, and no message quotes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from filterproxy.core.errors import ConfigError

# Zones in which every customer has a name of their own.
_CUSTOMERS_ONLY = (".dq.spamhaus.net", ".mail.abusix.zone")

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


class KeyFile(BaseModel):
    """A key in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(min_length=1, description="A file that holds nothing but the key.")


def _without_quoting(value: Any) -> Any:
    """Refuse here what is neither text nor a map with a file: pydantic's own message would show the value."""
    names_a_file = isinstance(value, dict) and value.keys() == {"file"} and isinstance(value["file"], str)
    if not (names_a_file or isinstance(value, str | KeyFile | SecretStr)):
        raise ValueError("a key is text in quotes, or a map with its file: {file: NAME}")
    return value


KeyConfig = Annotated[SecretStr | KeyFile, BeforeValidator(_without_quoting)]


def holds_a_key(zone: str) -> bool:
    """Tell whether a zone is known to have a customer's key in its name."""
    return zone.strip().rstrip(".").lower().endswith(_CUSTOMERS_ONLY)


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
