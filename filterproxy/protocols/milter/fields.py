"""The field types of milter frames and how a frame's payload is laid out from them.

The rule: a payload is used up exactly; a field that is cut short or bytes left over are the peer's error. Text that is
not UTF-8 survives as surrogate escapes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError

_U16 = struct.Struct("!H")
_U32 = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field: `decode(payload, position)` gives (value, next position), `encode(value)` gives its bytes."""

    name: str
    decode: Callable[[bytes, int], tuple[Any, int]]
    encode: Callable[[Any], bytes]


def decode_fields(layout: Sequence[FieldType], payload: bytes) -> list[Any]:
    """Return the values of a payload; raise RemoteProtocolError when it does not fit the layout exactly."""
    values = []
    position = 0
    for kind in layout:
        value, position = kind.decode(payload, position)
        values.append(value)
    if position != len(payload):
        raise RemoteProtocolError(f"{len(payload) - position} bytes too many in a milter frame")
    return values


def encode_fields(layout: Sequence[FieldType], values: Sequence[Any]) -> bytes:
    """Return the payload of the values; raise LocalProtocolError for a value that cannot be framed."""
    return b"".join(kind.encode(value) for kind, value in zip(layout, values, strict=True))


def to_text(octets: bytes) -> str:
    """Return UTF-8 text; other octets become surrogate escapes."""
    return octets.decode("utf-8", "surrogateescape")


def to_octets(text: str) -> bytes:
    """Return the octets of text made by `to_text`."""
    return text.encode("utf-8", "surrogateescape")


def _decode_octets(payload: bytes, position: int) -> tuple[bytes, int]:
    end = payload.find(b"\0", position)
    if end < 0:
        raise RemoteProtocolError("a string in a milter frame has no end")
    return payload[position:end], end + 1


def _encode_octets(value: bytes) -> bytes:
    if b"\0" in value:
        raise LocalProtocolError("NUL in a milter string")
    return value + b"\0"


def _decode_text(payload: bytes, position: int) -> tuple[str, int]:
    octets, position = _decode_octets(payload, position)
    return to_text(octets), position


def _encode_text(value: str) -> bytes:
    return _encode_octets(to_octets(value))


def _decode_texts(payload: bytes, position: int) -> tuple[tuple[str, ...], int]:
    if position == len(payload):
        return (), position
    if not payload.endswith(b"\0"):
        raise RemoteProtocolError("a string in a milter frame has no end")
    return tuple(to_text(part) for part in payload[position:-1].split(b"\0")), len(payload)


def _encode_texts(values: Sequence[str]) -> bytes:
    return b"".join(map(_encode_text, values))


def _decode_argument_list(payload: bytes, position: int) -> tuple[tuple[str, ...], int]:
    values, position = _decode_texts(payload, position)
    if not values:
        raise RemoteProtocolError("a milter command without its argument")
    return values, position


def _decode_rest(payload: bytes, position: int) -> tuple[bytes, int]:
    return payload[position:], len(payload)


def _number(kind: struct.Struct) -> tuple[Callable[[bytes, int], tuple[int, int]], Callable[[int], bytes]]:
    def decode(payload: bytes, position: int) -> tuple[int, int]:
        end = position + kind.size
        if end > len(payload):
            raise RemoteProtocolError("a number in a milter frame is cut short")
        return kind.unpack_from(payload, position)[0], end

    def encode(value: int) -> bytes:
        try:
            return kind.pack(value)
        except struct.error as error:
            raise LocalProtocolError(f"{value!r} does not fit a milter number") from error

    return decode, encode


def _decode_byte(payload: bytes, position: int) -> tuple[str, int]:
    if position >= len(payload):
        raise RemoteProtocolError("a letter in a milter frame is missing")
    return chr(payload[position]), position + 1


def _encode_byte(value: str) -> bytes:
    if len(value) != 1 or not value.isascii():
        raise LocalProtocolError(f"{value!r} is no milter letter")
    return value.encode("ascii")


def _decode_parameters(payload: bytes, position: int) -> tuple[tuple[str, ...], int]:
    """Return the words of one string, which may be left out."""
    if position >= len(payload):
        return (), position
    text, position = _decode_text(payload, position)
    return tuple(text.split()), position


def _encode_parameters(values: Sequence[str]) -> bytes:
    """ESMTP parameters are one string with spaces between them, there even when it is empty."""
    return _encode_text(" ".join(values))


OCTETS = FieldType("octets", _decode_octets, _encode_octets)
TEXT = FieldType("text", _decode_text, _encode_text)
TEXTS = FieldType("texts", _decode_texts, _encode_texts)
ARGUMENTS = FieldType("arguments", _decode_argument_list, _encode_texts)
PARAMETERS = FieldType("parameters", _decode_parameters, _encode_parameters)
REST = FieldType("rest", _decode_rest, bytes)
U16 = FieldType("u16", *_number(_U16))
U32 = FieldType("u32", *_number(_U32))
LETTER = FieldType("letter", _decode_byte, _encode_byte)
