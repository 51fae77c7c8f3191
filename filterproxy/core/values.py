"""Values people write in configuration: durations (`20s`, `2m`, `30d`) and sizes (`10MB`, `64KiB`)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*\Z")


def parse_seconds(value: Any) -> Any:
    """Return seconds for a number or a text such as `20s`; raise ValueError for an unknown unit."""
    return _parse(value, _UNITS, "s", "a duration such as 20s, 5m, 12h or 30d")


def parse_size(value: Any) -> Any:
    """Return bytes for a number or a text such as `10MB` (10^6) or `10MiB` (2^20)."""
    size = _parse(value, _SIZES, "", "a size such as 500KB, 10MB or 64MiB")
    return int(size) if isinstance(size, float) else size


def _parse(value: Any, units: dict[str, Any], default_unit: str, wanted: str) -> Any:
    if not isinstance(value, str):
        return value
    match = _NUMBER.match(value)
    unit = match and (match[2].lower() or default_unit)
    if match is None or unit not in units:
        raise ValueError(f"{value!r} is not {wanted}")
    return float(match[1]) * units[unit]


_TEXT_OR_NUMBER = {"anyOf": [{"type": "string"}, {"type": "number"}]}

Seconds = Annotated[float, BeforeValidator(parse_seconds), WithJsonSchema(_TEXT_OR_NUMBER)]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_TEXT_OR_NUMBER)]
