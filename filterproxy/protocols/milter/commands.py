"""Milter commands: what the MTA tells a filter, one type each, with their wire layout.

The rule: octets of the message stay bytes, everything else is text with surrogate escapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from filterproxy.core.errors import RemoteProtocolError
from filterproxy.protocols.milter.fields import (
    ARGUMENTS,
    LETTER,
    OCTETS,
    REST,
    TEXT,
    TEXTS,
    U16,
    U32,
    FieldType,
    decode_fields,
    encode_fields,
)
from filterproxy.protocols.milter.frames import encode_frame
from filterproxy.protocols.milter.options import Actions, MacroStage, Options, Steps

ADDRESS_FAMILIES = "46LU"


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands: `code` is the command byte, `layout` the payload's fields in the attributes' order."""

    code: ClassVar[bytes]
    layout: ClassVar[tuple[FieldType, ...]] = ()

    @classmethod
    def decode(cls, payload: bytes) -> Command:
        """Return the command of a payload; raise RemoteProtocolError when it is malformed."""
        return cls(*decode_fields(cls.layout, payload))

    def encode(self) -> bytes:
        """Return the whole frame."""
        return encode_frame(self.code, encode_fields(self.layout, self._values()))

    def _values(self) -> Sequence[Any]:
        return [getattr(self, attribute.name) for attribute in fields(self)]


@dataclass(frozen=True, slots=True)
class Abort(Command):
    """The transaction is over without a message; the session goes on."""

    code: ClassVar[bytes] = b"A"


@dataclass(frozen=True, slots=True)
class Body(Command):
    """A chunk of the body, lines ended by CRLF; a chunk may end anywhere."""

    code: ClassVar[bytes] = b"B"
    layout: ClassVar[tuple[FieldType, ...]] = (REST,)
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Connect(Command):
    """The SMTP client: `family` is `4`, `6`, `L` (unix) or `U` (unknown: port 0, no address)."""

    code: ClassVar[bytes] = b"C"
    hostname: str
    family: str
    port: int = 0
    address: str = ""

    @classmethod
    def decode(cls, payload: bytes) -> Connect:
        """Return the command; what follows family `U` is ignored, MTAs differ there."""
        hostname, position = TEXT.decode(payload, 0)
        family, position = LETTER.decode(payload, position)
        if family not in ADDRESS_FAMILIES:
            raise RemoteProtocolError(f"unknown milter address family {family!r}")
        if family == "U":
            return cls(hostname, family)
        port, address = decode_fields((U16, TEXT), payload[position:])
        return cls(hostname, family, port, address)

    def encode(self) -> bytes:
        """Return the whole frame."""
        layout: tuple[FieldType, ...] = (TEXT, LETTER) if self.family == "U" else (TEXT, LETTER, U16, TEXT)
        return encode_frame(self.code, encode_fields(layout, self._values()[: len(layout)]))


@dataclass(frozen=True, slots=True)
class Macros(Command):
    """Macro values for the command with code `command`, which follows; names are without braces."""

    code: ClassVar[bytes] = b"D"
    command: str
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def decode(cls, payload: bytes) -> Macros:
        """Return the macros; raise RemoteProtocolError for a name without a value."""
        command, flat = decode_fields((LETTER, TEXTS), payload)
        if len(flat) % 2:
            raise RemoteProtocolError("a milter macro without a value")
        names = (_bare(name) for name in flat[::2])
        return cls(command, dict(zip(names, flat[1::2], strict=True)))

    def encode(self) -> bytes:
        """Return the whole frame; names of more than one letter go in braces."""
        flat = [text for name, value in self.values.items() for text in (_braced(name), value)]
        return encode_frame(self.code, encode_fields((LETTER, TEXTS), (self.command, flat)))


def _bare(name: str) -> str:
    return name[1:-1] if name.startswith("{") and name.endswith("}") else name


def _braced(name: str) -> str:
    return name if len(name) == 1 else f"{{{name}}}"


@dataclass(frozen=True, slots=True)
class EndOfMessage(Command):
    """The message is complete; some MTAs put the last body chunk here."""

    code: ClassVar[bytes] = b"E"
    layout: ClassVar[tuple[FieldType, ...]] = (REST,)
    chunk: bytes = b""


@dataclass(frozen=True, slots=True)
class Helo(Command):
    """HELO or EHLO."""

    code: ClassVar[bytes] = b"H"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT,)
    name: str


@dataclass(frozen=True, slots=True)
class QuitNewConnection(Command):
    """The session is over, another one follows on the same connection."""

    code: ClassVar[bytes] = b"K"


@dataclass(frozen=True, slots=True)
class Header(Command):
    """One header field; folds are LF in `value`, whose leading space is there only when that was negotiated."""

    code: ClassVar[bytes] = b"L"
    layout: ClassVar[tuple[FieldType, ...]] = (OCTETS, OCTETS)
    name: bytes
    value: bytes

    @classmethod
    def decode(cls, payload: bytes) -> Header:
        """Return the field (this is the most frequent command, hence a way of its own)."""
        parts = payload.split(b"\0")
        if len(parts) != 3 or parts[2]:
            raise RemoteProtocolError("a milter header is not two strings")
        return cls(parts[0], parts[1])


@dataclass(frozen=True, slots=True)
class Mail(Command):
    """MAIL FROM: the path as sent (`<a@example.org>`) and its ESMTP parameters."""

    code: ClassVar[bytes] = b"M"
    layout: ClassVar[tuple[FieldType, ...]] = (ARGUMENTS,)
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndOfHeaders(Command):
    """No more header fields."""

    code: ClassVar[bytes] = b"N"


@dataclass(frozen=True, slots=True)
class Negotiate(Command):
    """The MTA's offer."""

    code: ClassVar[bytes] = b"O"
    options: Options

    @classmethod
    def decode(cls, payload: bytes) -> Negotiate:
        """Return the offer, or a filter's answer with its macro lists."""
        version, actions, steps, rest = decode_fields((U32, U32, U32, REST), payload)
        return cls(Options(version, Actions(actions), Steps(steps), dict(_macro_lists(rest))))

    def encode(self) -> bytes:
        """Return the whole frame."""
        options = self.options
        payload = encode_fields((U32, U32, U32), (options.version, options.actions, options.steps))
        for stage, names in options.macros.items():
            payload += encode_fields((U32, TEXT), (stage, names))
        return encode_frame(self.code, payload)


def _macro_lists(rest: bytes) -> Iterator[tuple[MacroStage, str]]:
    position = 0
    while position < len(rest):
        stage, position = U32.decode(rest, position)
        names, position = TEXT.decode(rest, position)
        try:
            yield MacroStage(stage), names
        except ValueError:
            raise RemoteProtocolError(f"unknown milter macro stage {stage}") from None


@dataclass(frozen=True, slots=True)
class Quit(Command):
    """The session and the connection are over."""

    code: ClassVar[bytes] = b"Q"


@dataclass(frozen=True, slots=True)
class Rcpt(Command):
    """RCPT TO: the path as sent and its ESMTP parameters."""

    code: ClassVar[bytes] = b"R"
    layout: ClassVar[tuple[FieldType, ...]] = (ARGUMENTS,)
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Data(Command):
    """DATA (from protocol version 4 on)."""

    code: ClassVar[bytes] = b"T"


@dataclass(frozen=True, slots=True)
class Unknown(Command):
    """An SMTP command that the MTA does not know (from protocol version 3 on)."""

    code: ClassVar[bytes] = b"U"
    layout: ClassVar[tuple[FieldType, ...]] = (OCTETS,)
    line: bytes


COMMANDS: Mapping[bytes, type[Command]] = {
    command.code: command
    for command in (
        Abort,
        Body,
        Connect,
        Macros,
        EndOfMessage,
        Helo,
        QuitNewConnection,
        Header,
        Mail,
        EndOfHeaders,
        Negotiate,
        Quit,
        Rcpt,
        Data,
        Unknown,
    )
}


def decode_command(code: bytes, payload: bytes) -> Command:
    """Return the command of one frame; raise RemoteProtocolError for an unknown code or a malformed payload."""
    command = COMMANDS.get(code)
    if command is None:
        raise RemoteProtocolError(f"unknown milter command {code!r}")
    return command.decode(payload)
