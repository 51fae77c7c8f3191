"""Milter replies: what a filter answers, one type each, with their wire layout.

The rule: a modification is no decision; after any number of them exactly one decision ends the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply as SmtpReply
from filterproxy.protocols.milter.fields import (
    OCTETS,
    PARAMETERS,
    REST,
    TEXT,
    U32,
    FieldType,
    decode_fields,
    encode_fields,
)
from filterproxy.protocols.milter.frames import encode_frame
from filterproxy.protocols.milter.options import Actions


@dataclass(frozen=True, slots=True)
class Reply:
    """Base of all replies; `needs` is the action that must have been negotiated, `decides` ends the event."""

    code: ClassVar[bytes]
    layout: ClassVar[tuple[FieldType, ...]] = ()
    needs: ClassVar[Actions] = Actions(0)
    decides: ClassVar[bool] = False

    @classmethod
    def decode(cls, payload: bytes) -> Reply:
        """Return the reply of a payload; raise RemoteProtocolError when it is malformed."""
        return cls(*decode_fields(cls.layout, payload))

    def encode(self) -> bytes:
        """Return the whole frame; raise LocalProtocolError for a value that cannot be framed."""
        return encode_frame(self.code, encode_fields(self.layout, self._values()))

    def _values(self) -> Sequence[Any]:
        return [getattr(self, attribute.name) for attribute in fields(self)]


@dataclass(frozen=True, slots=True)
class AddRcpt(Reply):
    """Add a recipient."""

    code: ClassVar[bytes] = b"+"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT,)
    needs: ClassVar[Actions] = Actions.ADD_RCPT
    path: str


@dataclass(frozen=True, slots=True)
class AddRcptWithParameters(Reply):
    """Add a recipient with ESMTP parameters."""

    code: ClassVar[bytes] = b"2"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT, PARAMETERS)
    needs: ClassVar[Actions] = Actions.ADD_RCPT_PARAMETERS
    path: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteRcpt(Reply):
    """Remove a recipient."""

    code: ClassVar[bytes] = b"-"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT,)
    needs: ClassVar[Actions] = Actions.DELETE_RCPT
    path: str


@dataclass(frozen=True, slots=True)
class Accept(Reply):
    """Let the message pass, with the modifications so far."""

    code: ClassVar[bytes] = b"a"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ReplaceBody(Reply):
    """A chunk of a new body."""

    code: ClassVar[bytes] = b"b"
    layout: ClassVar[tuple[FieldType, ...]] = (REST,)
    needs: ClassVar[Actions] = Actions.CHANGE_BODY
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Continue(Reply):
    """Go on with the next event."""

    code: ClassVar[bytes] = b"c"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Discard(Reply):
    """Tell the client that all is well and drop the message; not at connect or HELO."""

    code: ClassVar[bytes] = b"d"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ChangeFrom(Reply):
    """Replace the envelope sender."""

    code: ClassVar[bytes] = b"e"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT, PARAMETERS)
    needs: ClassVar[Actions] = Actions.CHANGE_FROM
    path: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectionFailure(Reply):
    """Make the MTA's connection to the filter fail."""

    code: ClassVar[bytes] = b"f"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class AddHeader(Reply):
    """Append a header field; `value` is what follows the colon (with its space when that was negotiated)."""

    code: ClassVar[bytes] = b"h"
    layout: ClassVar[tuple[FieldType, ...]] = (OCTETS, OCTETS)
    needs: ClassVar[Actions] = Actions.ADD_HEADERS
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader(Reply):
    """Insert a header field before the field with that index; 0 is the very top."""

    code: ClassVar[bytes] = b"i"
    layout: ClassVar[tuple[FieldType, ...]] = (U32, OCTETS, OCTETS)
    needs: ClassVar[Actions] = Actions.ADD_HEADERS
    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class SymbolList(Reply):
    """Ask for macros at a stage; filters normally put this into their negotiation answer."""

    code: ClassVar[bytes] = b"l"
    layout: ClassVar[tuple[FieldType, ...]] = (U32, TEXT)
    needs: ClassVar[Actions] = Actions.SET_SYMBOL_LIST
    stage: int
    names: str


@dataclass(frozen=True, slots=True)
class ChangeHeader(Reply):
    """Change the `index`-th field (from 1) of that name; an empty value removes it."""

    code: ClassVar[bytes] = b"m"
    layout: ClassVar[tuple[FieldType, ...]] = (U32, OCTETS, OCTETS)
    needs: ClassVar[Actions] = Actions.CHANGE_HEADERS
    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Progress(Reply):
    """Still working: the MTA starts its time-out again."""

    code: ClassVar[bytes] = b"p"


@dataclass(frozen=True, slots=True)
class Quarantine(Reply):
    """Put the message on hold; no decision, so Accept follows."""

    code: ClassVar[bytes] = b"q"
    layout: ClassVar[tuple[FieldType, ...]] = (TEXT,)
    needs: ClassVar[Actions] = Actions.QUARANTINE
    reason: str


@dataclass(frozen=True, slots=True)
class Reject(Reply):
    """Answer with the MTA's own 5xx."""

    code: ClassVar[bytes] = b"r"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Skip(Reply):
    """No more events of this kind for this message."""

    code: ClassVar[bytes] = b"s"
    decides: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class TempFail(Reply):
    """Answer with the MTA's own 4xx."""

    code: ClassVar[bytes] = b"t"
    decides: ClassVar[bool] = True


# MTAs insist on an enhanced code of the reply code's class (RFC 3463) in each line.
_REPLY_LINE = re.compile(r"([45])[0-9]{2}[ -]\1\.[0-9]{1,3}\.[0-9]{1,3}(?: [^\r\n\0]*)?\Z")


@dataclass(frozen=True, slots=True)
class ReplyCode(Reply):
    """Answer with this SMTP reply: 4xx or 5xx with enhanced codes, one or more lines without CR, LF or NUL."""

    code: ClassVar[bytes] = b"y"
    decides: ClassVar[bool] = True
    text: str

    @classmethod
    def of(cls, reply: SmtpReply) -> ReplyCode:
        """Return the milter form of an SMTP reply; one without an enhanced code gets `X.0.0`."""
        text = str(reply)
        if not _is_reply(text):
            text = str(SmtpReply(reply.code, reply.lines, f"{reply.code // 100}.0.0"))
        return cls(text)

    @classmethod
    def decode(cls, payload: bytes) -> ReplyCode:
        """Return the reply with `%%` undone; a lone `%` is dropped, as MTAs do."""
        (text,) = decode_fields((TEXT,), payload)
        return cls(re.sub("%(.?)", lambda match: "%" if match[1] == "%" else match[1], text, flags=re.DOTALL))

    def encode(self) -> bytes:
        """Return the whole frame; MTAs read the text as a format, so each `%` is doubled."""
        if not _is_reply(self.text):
            raise LocalProtocolError(f"not a milter reply: {self.text!r}")
        # An SMTP reply is ASCII unless the client asked for SMTPUTF8, which a milter does not know.
        octets = self.text.encode("ascii", "replace").replace(b"%", b"%%")
        return encode_frame(self.code, octets + b"\0")


def _is_reply(text: str) -> bool:
    return all(_REPLY_LINE.match(line) for line in text.split("\r\n"))


@dataclass(frozen=True, slots=True)
class Shutdown(Reply):
    """End the SMTP session with 421."""

    code: ClassVar[bytes] = b"4"
    decides: ClassVar[bool] = True


REPLIES: Mapping[bytes, type[Reply]] = {
    reply.code: reply
    for reply in (
        AddRcpt,
        AddRcptWithParameters,
        DeleteRcpt,
        Accept,
        ReplaceBody,
        Continue,
        Discard,
        ChangeFrom,
        ConnectionFailure,
        AddHeader,
        InsertHeader,
        SymbolList,
        ChangeHeader,
        Progress,
        Quarantine,
        Reject,
        Skip,
        TempFail,
        ReplyCode,
        Shutdown,
    )
}


def decode_reply(code: bytes, payload: bytes) -> Reply:
    """Return the reply of one frame (what an MTA would read); raise RemoteProtocolError when it is malformed."""
    reply = REPLIES.get(code)
    if reply is None:
        raise RemoteProtocolError(f"unknown milter reply {code!r}")
    return reply.decode(payload)
