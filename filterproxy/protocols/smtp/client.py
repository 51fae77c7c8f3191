"""The client's side of SMTP and LMTP, without I/O: commands to octets, octets to replies, each matched to its command.

The rule: every reply answers the oldest command that waits for one; a server that talks unasked is going away.

| state | command | reply | next state |
|---|---|---|---|
| greeting | – | 2xx | hello |
| hello | EHLO, HELO (LHLO) | 2xx | ready |
| ready | STARTTLS | 2xx | tls, and hello once TLS stands; octets in between break the dialogue |
| ready | AUTH | 334 | auth |
| auth | a response | 334 | auth |
| auth | a response | 2xx, 4xx, 5xx | ready |
| ready, hello | XCLIENT | 2xx | hello |
| ready | XFORWARD | any | ready |
| ready | MAIL | 2xx | transaction |
| transaction | RCPT | any | transaction |
| transaction | DATA | 354 | data |
| data | the message | 2xx, 4xx, 5xx (LMTP: one a recipient) | ready |
| ready, transaction | RSET | 2xx | ready |
| hello, ready, transaction | QUIT | any | closed |
| any | any | 421, or a reply nobody asked for | closed |

A command whose reply has not come yet may be followed by others (RFC 2920) where the server offers PIPELINING; the
states above move when the replies come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from filterproxy.core.errors import LocalProtocolError, RemoteProtocolError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.lines import encode_command, encode_stream
from filterproxy.protocols.smtp.parameters import Parameter, carried
from filterproxy.protocols.smtp.replies import CLOSING
from filterproxy.protocols.smtp.reply_reader import ReplyReader


class State(Enum):
    """Where the dialogue is, as far as the server has answered."""

    GREETING = auto()
    HELLO = auto()
    READY = auto()
    TLS = auto()
    AUTH = auto()
    TRANSACTION = auto()
    DATA = auto()
    CLOSED = auto()


class _Sent(Enum):
    """What was sent and waits for its reply."""

    NOTHING = auto()
    EHLO = auto()
    HELO = auto()
    STARTTLS = auto()
    AUTH = auto()
    RESPONSE = auto()
    XCLIENT = auto()
    XFORWARD = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    MESSAGE = auto()
    RSET = auto()
    QUIT = auto()


_ALLOWED: dict[_Sent, frozenset[State]] = {
    _Sent.EHLO: frozenset({State.HELLO, State.READY}),
    _Sent.HELO: frozenset({State.HELLO, State.READY}),
    _Sent.STARTTLS: frozenset({State.READY}),
    _Sent.AUTH: frozenset({State.READY}),
    _Sent.RESPONSE: frozenset({State.AUTH}),
    _Sent.XCLIENT: frozenset({State.HELLO, State.READY}),
    _Sent.XFORWARD: frozenset({State.READY}),
    _Sent.MAIL: frozenset({State.READY}),
    _Sent.RCPT: frozenset({State.TRANSACTION}),
    _Sent.DATA: frozenset({State.TRANSACTION}),
    _Sent.MESSAGE: frozenset({State.DATA}),
    _Sent.RSET: frozenset({State.READY, State.TRANSACTION}),
    _Sent.QUIT: frozenset({State.HELLO, State.READY, State.TRANSACTION}),
}

# Where a positive reply leads; commands that are absent stay where they are.
_MOVES: dict[_Sent, State] = {
    _Sent.NOTHING: State.HELLO,
    _Sent.EHLO: State.READY,
    _Sent.HELO: State.READY,
    _Sent.STARTTLS: State.TLS,
    _Sent.XCLIENT: State.HELLO,
    _Sent.MAIL: State.TRANSACTION,
    _Sent.DATA: State.DATA,
    _Sent.RSET: State.READY,
    _Sent.QUIT: State.CLOSED,
}

# What follows these depends on their replies (RFC 2920 section 3.1).
_ALONE = frozenset({_Sent.EHLO, _Sent.HELO, _Sent.STARTTLS, _Sent.AUTH, _Sent.RESPONSE, _Sent.XCLIENT})


class SmtpClient:
    """One dialogue with a server. The methods named like commands return octets to send.

    They raise LocalProtocolError when the state does not allow the command. With `lmtp` the hello is LHLO and the
    message is answered once for each accepted recipient (RFC 2033).
    """

    def __init__(self, *, lmtp: bool = False) -> None:
        self.state = State.GREETING
        self.extensions = Extensions()
        self.recipients = 0
        self.authenticated = False
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self._waiting: deque[_Sent] = deque([_Sent.NOTHING])

    @property
    def idle(self) -> bool:
        """Tell whether a new transaction may begin: nothing is under way in either direction."""
        return self.state is State.READY and not self._waiting and not self._reader.incomplete

    @property
    def may_quit(self) -> bool:
        """Tell whether QUIT may be sent now."""
        return not self._waiting and self.state in _ALLOWED[_Sent.QUIT]

    def ehlo(self, name: str) -> bytes:
        """Say hello with extensions (LHLO on LMTP)."""
        return self._send(_Sent.EHLO, f"{'LHLO' if self._lmtp else 'EHLO'} {name}".encode())

    def helo(self, name: str) -> bytes:
        """Say hello to a server that knows no EHLO."""
        return self._send(_Sent.HELO, f"HELO {name}".encode())

    def starttls(self) -> bytes:
        """Ask for TLS; after a positive reply nothing is read until `tls_started`."""
        return self._send(_Sent.STARTTLS, b"STARTTLS")

    def tls_started(self) -> None:
        """TLS stands: what was said before does not count (RFC 3207 section 4.2)."""
        if self.state is not State.TLS:
            raise LocalProtocolError(f"TLS is not expected in state {self.state.name}")
        self.state, self.extensions = State.HELLO, Extensions()

    def auth(self, argument: bytes) -> bytes:
        """Begin authentication: a mechanism, and its initial response in base64 if it has one (RFC 4954)."""
        return self._send(_Sent.AUTH, b"AUTH " + argument)

    def auth_response(self, line: bytes) -> bytes:
        """Answer a 334: base64, or `*` to give up."""
        return self._send(_Sent.RESPONSE, line)

    def xclient(self, command: bytes) -> bytes:
        """Speak for another client; `command` comes from `xclient_commands`. The session starts over with EHLO."""
        return self._send(_Sent.XCLIENT, command)

    def xforward(self, command: bytes) -> bytes:
        """Tell the real client; `command` comes from `xforward_commands`."""
        return self._send(_Sent.XFORWARD, command)

    def mail(self, path: Path, parameters: Iterable[Parameter] = ()) -> bytes:
        """Begin a transaction; parameters the server cannot take are left out."""
        return self._send(_Sent.MAIL, b"MAIL FROM:<" + path.wire + b">" + self._carried(parameters))

    def rcpt(self, path: Path, parameters: Iterable[Parameter] = ()) -> bytes:
        """Name a recipient; parameters the server cannot take are left out."""
        return self._send(_Sent.RCPT, b"RCPT TO:<" + path.wire + b">" + self._carried(parameters))

    def data(self) -> bytes:
        """Ask to send the message."""
        return self._send(_Sent.DATA, b"DATA")

    def message(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Send the message, dots doubled and ended; allowed after 354 only.

        The octets raise LocalProtocolError where a CR or LF stands alone: what follows is never sent then.
        """
        if self._waiting:
            raise LocalProtocolError("the message must wait for 354")
        self._expect(_Sent.MESSAGE)
        if self._lmtp:
            self._waiting.extend([_Sent.MESSAGE] * (self.recipients - 1))
        return encode_stream(pieces)

    def rset(self) -> bytes:
        """Drop the transaction."""
        return self._send(_Sent.RSET, b"RSET")

    def quit(self) -> bytes:
        """End the session."""
        return self._send(_Sent.QUIT, b"QUIT")

    def receive(self, data: bytes) -> list[Reply]:
        """Return the replies that are complete now, in the order of their commands.

        Raises RemoteProtocolError for what is no reply and for replies nobody asked for, 421 excepted: it is
        returned and closes the dialogue (RFC 5321 section 3.8).
        """
        replies = self._reader.feed(data)
        for reply in replies:
            self._received(reply)
        if self.state is State.TLS and self._reader.incomplete:
            raise RemoteProtocolError("octets in plain text after the reply to STARTTLS")
        return replies

    def _send(self, sent: _Sent, line: bytes) -> bytes:
        encoded = encode_command(line)
        if self._waiting and self._waiting[-1] in _ALONE:
            raise LocalProtocolError(f"{sent.name} must wait for the reply to {self._waiting[-1].name}")
        self._expect(sent)
        return encoded

    def _expect(self, sent: _Sent) -> None:
        if self.state is State.GREETING or self._state_when_answered() not in _ALLOWED[sent]:
            raise LocalProtocolError(f"{sent.name} is not allowed in state {self.state.name}")
        self._waiting.append(sent)

    def _state_when_answered(self) -> State:
        """Return the state after every reply still to come, if all are positive: what pipelining builds on."""
        state = self.state
        for sent in self._waiting:
            state = _MOVES.get(sent, state)
        return state

    def _carried(self, parameters: Iterable[Parameter]) -> bytes:
        texts = (parameter.text for parameter in carried(parameters, self.extensions.keywords))
        return "".join(f" {text}" for text in texts).encode("utf-8", "surrogateescape")

    def _received(self, reply: Reply) -> None:
        if self.state is State.TLS:
            raise RemoteProtocolError("a reply in plain text after the one to STARTTLS")
        if reply.code == CLOSING:
            self.state = State.CLOSED
            self._waiting.clear()
        elif not self._waiting:
            raise RemoteProtocolError(f"reply {reply.code} to no command")
        else:
            self._answered(self._waiting.popleft(), reply)

    def _answered(self, sent: _Sent, reply: Reply) -> None:
        authenticates = sent in (_Sent.AUTH, _Sent.RESPONSE)
        if reply.code // 100 == 3 and not (sent is _Sent.DATA or authenticates):
            raise RemoteProtocolError(f"reply {reply.code} does not answer {sent.name}")
        if reply.code // 100 == 2 and sent is _Sent.DATA:
            raise RemoteProtocolError(f"reply {reply.code} does not answer DATA")
        if sent is _Sent.MESSAGE:
            self._message_answered()
        elif authenticates:
            self.state = State.AUTH if reply.code // 100 == 3 else State.READY
            self.authenticated = self.authenticated or reply.code // 100 == 2
        elif reply.positive:
            self._accepted(sent, reply)

    def _message_answered(self) -> None:
        if _Sent.MESSAGE not in self._waiting:
            self.state = State.READY
            self.recipients = 0

    def _accepted(self, sent: _Sent, reply: Reply) -> None:
        self.state = _MOVES.get(sent, self.state)
        if sent is _Sent.EHLO:
            self.extensions = Extensions.parse(reply)
        elif sent is _Sent.RCPT:
            self.recipients += 1
        elif sent in (_Sent.MAIL, _Sent.RSET):
            self.recipients = 0
