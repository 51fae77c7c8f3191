"""One milter connection from the filter's side: bytes to commands in, replies to bytes out, order enforced.

The rule: each command that awaits a reply gets exactly one decision, before the next command is taken.

State table (`-` is the peer's error; `D`, the macros, keep any state but NEW; `Q` ends all, `K` leads to READY):

    state      O      C          H          M         R         T     L        N     B     E          A
    NEW        READY  -          -          -         -         -     -        -     -     -          -
    READY      -      CONNECTED  -          -         -         -     -        -     -     -          READY
    CONNECTED  -      -          CONNECTED  ENVELOPE  -         -     -        -     -     -          CONNECTED
    ENVELOPE   -      -          CONNECTED  ENVELOPE  ENVELOPE  DATA  HEADERS  BODY  BODY  CONNECTED  CONNECTED
    DATA       -      -          CONNECTED  ENVELOPE  -         -     HEADERS  BODY  BODY  CONNECTED  CONNECTED
    HEADERS    -      -          CONNECTED  ENVELOPE  -         -     HEADERS  BODY  BODY  CONNECTED  CONNECTED
    BODY       -      -          CONNECTED  ENVELOPE  -         -     -        -     BODY  CONNECTED  CONNECTED

`U` keeps CONNECTED and ENVELOPE. MTAs may leave out ABORT, so a new MAIL or HELO ends the transaction before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.protocols.milter import commands as command
from filterproxy.protocols.milter.commands import Command, decode_command
from filterproxy.protocols.milter.frames import DEFAULT_FRAME_LIMIT, FrameDecoder
from filterproxy.protocols.milter.options import Options, Steps, Wishes, negotiate
from filterproxy.protocols.milter.replies import Discard, Progress, Reply, Skip


class State(Enum):
    """Where the SMTP session is, as far as the MTA told."""

    NEW = "new"
    READY = "ready"
    CONNECTED = "connected"
    ENVELOPE = "envelope"
    DATA = "data"
    HEADERS = "headers"
    BODY = "body"
    CLOSED = "closed"


_ENDS: Mapping[type[Command], State] = {
    command.Helo: State.CONNECTED,
    command.Mail: State.ENVELOPE,
    command.Abort: State.CONNECTED,
}
_CONTENT: Mapping[type[Command], State] = {
    command.Header: State.HEADERS,
    command.EndOfHeaders: State.BODY,
    command.Body: State.BODY,
    command.EndOfMessage: State.CONNECTED,
}
_TRANSITIONS: Mapping[State, Mapping[type[Command], State]] = {
    State.NEW: {command.Negotiate: State.READY},
    State.READY: {command.Connect: State.CONNECTED, command.Abort: State.READY},
    State.CONNECTED: {**_ENDS, command.Unknown: State.CONNECTED},
    State.ENVELOPE: {
        **_ENDS,
        **_CONTENT,
        command.Rcpt: State.ENVELOPE,
        command.Data: State.DATA,
        command.Unknown: State.ENVELOPE,
    },
    State.DATA: {**_ENDS, **_CONTENT},
    State.HEADERS: {**_ENDS, **_CONTENT},
    State.BODY: {**_ENDS, command.Body: State.BODY, command.EndOfMessage: State.CONNECTED},
    State.CLOSED: {},
}
# The step that spares the reply; commands that are not here, and not EndOfMessage, never get one.
_NO_REPLY: Mapping[type[Command], Steps] = {
    command.Connect: Steps.NR_CONNECT,
    command.Helo: Steps.NR_HELO,
    command.Mail: Steps.NR_MAIL,
    command.Rcpt: Steps.NR_RCPT,
    command.Data: Steps.NR_DATA,
    command.Unknown: Steps.NR_UNKNOWN,
    command.Header: Steps.NR_HEADER,
    command.EndOfHeaders: Steps.NR_EOH,
    command.Body: Steps.NR_BODY,
    command.EndOfMessage: Steps(0),
}
_NO_REPLY_BITS = tuple((kind, int(step)) for kind, step in _NO_REPLY.items())


class MilterConnection:
    """The filter's side of one connection; no I/O: the caller moves the bytes."""

    def __init__(self, wishes: Wishes, *, frame_limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self._wishes = wishes
        self._frames = FrameDecoder(frame_limit)
        self._awaiting: Command | None = None
        self._silent: frozenset[type[Command]] = frozenset()
        self._last_macros: tuple[bytes, Command | None] = (b"", None)
        self.state = State.NEW
        self.options: Options | None = None

    @property
    def awaits_reply(self) -> bool:
        """Tell whether the last command must be answered before the next is taken."""
        return self._awaiting is not None

    @property
    def buffered(self) -> int:
        """Return the number of bytes received and not yet taken as commands."""
        return self._frames.buffered

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the MTA."""
        self._frames.feed(data)

    def receive_eof(self) -> None:
        """Take note that the MTA closed; raise RemoteProtocolError when it did so inside a frame."""
        self.state = State.CLOSED
        if self._frames.buffered:
            raise RemoteProtocolError(f"the MTA closed inside a frame ({self._frames.buffered} bytes of it)")

    def next_command(self) -> Command | None:
        """Return the next command, or None until more bytes come.

        Raises RemoteProtocolError when the peer broke the protocol, LocalProtocolError when the last command was
        not answered.
        """
        if self._awaiting is not None:
            raise LocalProtocolError(f"{type(self._awaiting).__name__} was not answered")
        frame = None if self.state is State.CLOSED else self._frames.next_frame()
        if frame is None:
            return None
        received = self._decode(*frame)
        kind = type(received)
        if kind is command.Macros and self.state is not State.NEW:
            return received
        self.state = self._next_state(kind)
        if kind in _NO_REPLY and kind not in self._silent:
            self._awaiting = received
        return received

    def accept_offer(self, offer: command.Negotiate) -> bytes:
        """Return the answer to the MTA's offer; raise RemoteProtocolError when it offers too little."""
        self.options = negotiate(offer.options, self._wishes)
        steps = int(self.options.steps)  # a flag's `&` costs microseconds, and MTAs connect for each SMTP session
        self._silent = frozenset(kind for kind, step in _NO_REPLY_BITS if step & steps)
        return command.Negotiate(self.options).encode()

    def send(self, *replies: Reply) -> bytes:
        """Return the bytes of replies to the last command; a decision among them must be the last.

        Raises LocalProtocolError for what the MTA would refuse: nothing to answer, a modification before the end of
        the message, or one that was not negotiated.
        """
        if any(reply.decides for reply in replies[:-1]):
            raise LocalProtocolError("a decision is the last reply")
        for reply in replies:
            self._check(reply)
        frames = b"".join(reply.encode() for reply in replies)
        if replies and replies[-1].decides:
            self._awaiting = None
        return frames

    def _decode(self, code: bytes, payload: bytes) -> Command:
        """Decode a frame; MTAs send the same macros before each header field, so the last ones are kept."""
        if code != command.Macros.code:
            return decode_command(code, payload)
        known, macros = self._last_macros
        if macros is None or payload != known:
            macros = decode_command(code, payload)
            self._last_macros = (payload, macros)
        return macros

    def _next_state(self, kind: type[Command]) -> State:
        if kind is command.Quit:
            return State.CLOSED
        if kind is command.QuitNewConnection and self.state is not State.NEW:
            return State.READY
        try:
            return _TRANSITIONS[self.state][kind]
        except KeyError:
            raise RemoteProtocolError(f"{kind.__name__} in state {self.state.value}") from None

    def _check(self, reply: Reply) -> None:
        name = type(reply).__name__
        if self._awaiting is None or self.options is None:
            raise LocalProtocolError(f"{name} without a command to answer")
        modifies = not reply.decides and not isinstance(reply, Progress)
        if modifies and not isinstance(self._awaiting, command.EndOfMessage):
            raise LocalProtocolError(f"{name} before the end of the message")
        if isinstance(reply, Discard) and isinstance(self._awaiting, command.Connect | command.Helo):
            raise LocalProtocolError("Discard before MAIL")
        if isinstance(reply, Skip) and Steps.SKIP not in self.options.steps:
            raise LocalProtocolError("Skip was not negotiated")
        if reply.needs & ~self.options.actions:
            raise LocalProtocolError(f"{name} was not negotiated")
