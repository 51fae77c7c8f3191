"""The server's side of SMTP and LMTP, without I/O: command lines to events, and which command may come when.

The rule: an event is only a wish; the state moves when the shell says that it was granted. What the client sends
before it may (RFC 2920) is refused and ends the dialogue, so that it is never run.

| state | EHLO, HELO (LHLO) | STARTTLS, XCLIENT | AUTH | XFORWARD | MAIL | RCPT | DATA | BDAT | RSET |
|---|---|---|---|---|---|---|---|---|---|
| hello | → ready | → hello | 503 | 503 | 503 | 503 | 503 | 503 | 250 |
| ready | → ready | → hello | ready | kept for the next MAIL | → transaction | 503 | 503 | 503 | 250 |
| transaction | → ready | 503 | 503 | 503 | 503 | transaction | → ready after the message, 503 or 554 without RCPT | → chunks, → ready when it is the last | → ready |
| chunks | → ready | 503 | 503 | 503 | 503 | 503 | 503 | as above | → ready |

QUIT, NOOP, VRFY, EXPN, ETRN and HELP are answered in every state and change none. RSET, EHLO, HELO and the end of the
message forget what XFORWARD told. STARTTLS and XCLIENT begin the dialogue anew (RFC 3207 section 4.2), and so forget
who has authenticated.
"""  # noqa: E501 - a table

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.blemishes import CRLF
from filterproxy.protocols.smtp.commands import Command, parse_command, parse_path
from filterproxy.protocols.smtp.events import (
    Answered,
    Auth,
    Chunk,
    Data,
    Event,
    Forward,
    Hello,
    Introduce,
    Mail,
    Quit,
    Rcpt,
    Reset,
    StartTls,
)
from filterproxy.protocols.smtp.lines import Fault, Line
from filterproxy.protocols.smtp.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, parse_parameters
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.xforward import parse_xclient, parse_xforward


class State(Enum):
    """Where the dialogue is."""

    HELLO = auto()
    READY = auto()
    TRANSACTION = auto()
    CHUNKS = auto()


@dataclass(slots=True)
class Permissions:
    """What this client may do, as the shell knows it; it changes with STARTTLS, XCLIENT and the next hop's EHLO.

    `forwards` allows XFORWARD and XCLIENT; `bare_newlines` commands that end with a bare LF; `bounce_free` refuses mail
    only temporarily (a content filter's client would turn 5xx into a bounce). `tls` offers STARTTLS. `mechanisms` are
    those of AUTH in upper case; `must_encrypt` and `must_authenticate` refuse mail before that has happened.
    """

    forwards: bool = False
    bare_newlines: bool = False
    bounce_free: bool = False
    lmtp: bool = False
    tls: bool = False
    mechanisms: frozenset[str] = frozenset()
    must_encrypt: bool = False
    must_authenticate: bool = False
    line_length: int = 2048


_MAIL_VERBS = frozenset({"MAIL", "RCPT", "DATA", "BDAT"})
# After these the client has to wait for the reply (RFC 2920 section 3.1, RFC 3207, RFC 4954).
_ENDS_A_GROUP = frozenset({"EHLO", "HELO", "LHLO", "DATA", "STARTTLS", "AUTH", "XCLIENT"})
_IN_TRANSACTION = frozenset({State.TRANSACTION, State.CHUNKS})
_MAX_HELLO = 255
# RFC 4954 section 4.
MAX_AUTH_LINE = 12_288
_HELLO_NAME = re.compile(r"[!-~\x80-\U0010ffff]+")
_CHUNK = re.compile(rb"([0-9]{1,20})(?:[ \t]+(LAST))?\Z", re.IGNORECASE)
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +(=|[A-Za-z0-9+/]+={0,2}))?\Z")
_FAULTS = {
    Fault.LINE_TOO_LONG: replies.LINE_TOO_LONG,
    Fault.BARE_NEWLINE: replies.BARE_NEWLINE_IN_COMMAND,
    Fault.NUL: replies.NUL_IN_COMMAND,
}


class SmtpServer:
    """One dialogue with a client that has these permissions; `user` is who has authenticated, else empty."""

    def __init__(self, permissions: Permissions | None = None) -> None:
        self.permissions = permissions or Permissions()
        self.state = State.HELLO
        self.extended = False
        self.helo = ""
        self.user = ""
        self.attributes: dict[str, str] = {}
        self.recipients = 0
        self._refused_recipients = 0

    @property
    def in_transaction(self) -> bool:
        """Tell whether MAIL was granted and the message has not ended."""
        return self.state in _IN_TRANSACTION

    def receive(self, line: Line, *, more: bool) -> Event:
        """Return the event of a line; `more` tells that octets after it are here already. Raises Refused."""
        if line.fault is not None and not (self.permissions.bare_newlines and _only_lf_is_bare(line)):
            raise Refused(_FAULTS[line.fault])
        command = parse_command(line.text)
        if len(line.text) + len(CRLF) > self.permissions.line_length and command.verb != "AUTH":
            raise Refused(replies.LINE_TOO_LONG)
        try:
            if more and not self.may_be_followed(command):
                raise Refused(replies.UNAUTHORISED_PIPELINING, close=True)
            return self._parse(command)
        except Refused as refused:
            if self.permissions.bounce_free and command.verb in _MAIL_VERBS:
                raise Refused(replies.temporary(refused.reply), close=refused.close) from refused
            raise

    def may_be_followed(self, command: Command) -> bool:
        """Tell whether the client may send more before it has read the reply (RFC 2920 section 3.1)."""
        return self.extended and command.verb not in _ENDS_A_GROUP

    def greeted(self, hello: Hello) -> None:
        """EHLO, HELO or LHLO was granted."""
        self.end_transaction()
        self.state = State.READY
        self.helo, self.extended = hello.name, hello.extended

    def begin_anew(self) -> None:
        """STARTTLS or XCLIENT was granted: nothing that the client said before counts."""
        self.end_transaction()
        self.state = State.HELLO
        self.helo, self.user, self.extended = "", "", False

    def authenticated(self, user: str) -> None:
        """AUTH was granted."""
        self.user = user

    def told(self, forward: Forward) -> None:
        """XFORWARD was granted; several commands add up."""
        self.attributes.update(forward.attributes)

    def mail_accepted(self) -> None:
        """MAIL was granted."""
        self.state = State.TRANSACTION

    def rcpt_answered(self, reply: Reply) -> None:
        """RCPT was answered, either way."""
        if reply.positive:
            self.recipients += 1
        else:
            self._refused_recipients += 1

    def chunk_taken(self) -> None:
        """A BDAT chunk that was not the last was granted."""
        self.state = State.CHUNKS

    def end_transaction(self) -> None:
        """The transaction is over: message answered, RSET, or a new hello."""
        if self.in_transaction:
            self.state = State.READY
        self.attributes = {}
        self.recipients = self._refused_recipients = 0

    def _parse(self, command: Command) -> Event:
        parser = _PARSERS.get(command.verb)
        if parser is None:
            raise Refused(replies.NOT_RECOGNIZED)
        return parser(self, command.argument)

    def _ehlo(self, argument: bytes) -> Event:
        if self.permissions.lmtp:
            raise Refused(replies.LHLO_WANTED)
        return Hello(_hello_name(argument), extended=True)

    def _helo(self, argument: bytes) -> Event:
        if self.permissions.lmtp:
            raise Refused(replies.LHLO_WANTED)
        return Hello(_hello_name(argument), extended=False)

    def _lhlo(self, argument: bytes) -> Event:
        if not self.permissions.lmtp:
            raise Refused(replies.NOT_RECOGNIZED)
        return Hello(_hello_name(argument), extended=True)

    def _xforward(self, argument: bytes) -> Event:
        self._require_trust("XFORWARD")
        self._require_hello()
        return Forward(parse_xforward(argument))

    def _xclient(self, argument: bytes) -> Event:
        self._require_trust("XCLIENT")
        return Introduce(parse_xclient(argument))

    def _starttls(self, argument: bytes) -> Event:
        _require_no_argument(argument)
        if not self.permissions.tls:
            raise Refused(replies.NOT_AVAILABLE)
        self._require_no_transaction("STARTTLS")
        return StartTls()

    def _auth(self, argument: bytes) -> Event:
        self._require_hello()
        if not self.extended or not self.permissions.mechanisms:
            raise Refused(replies.ENCRYPTION_FOR_AUTH if self.permissions.tls else replies.NOT_AVAILABLE)
        if self.user:
            raise Refused(replies.AUTHENTICATED_ALREADY)
        self._require_no_transaction("AUTH")
        match = _AUTH.match(argument)
        if match is None:
            raise Refused(replies.BAD_AUTH)
        mechanism = match[1].decode("ascii").upper()
        if mechanism not in self.permissions.mechanisms:
            raise Refused(replies.UNKNOWN_MECHANISM)
        # `=` is an initial response of no octets (RFC 4954 section 4).
        return Auth(mechanism, b"" if match[2] == b"=" else match[2])

    def _mail(self, argument: bytes) -> Event:
        self._require_hello()
        if self.in_transaction:
            raise Refused(replies.NESTED_MAIL)
        if self.permissions.must_encrypt:
            raise Refused(replies.ENCRYPTION_FIRST)
        if self.permissions.must_authenticate and not self.user:
            raise Refused(replies.AUTHENTICATION_FIRST)
        path, octets = parse_path(argument, b"FROM:", replies.BAD_MAIL, replies.BAD_SENDER)
        return Mail(path, parse_parameters(octets, MAIL_PARAMETERS))

    def _rcpt(self, argument: bytes) -> Event:
        self._require_hello()
        if self.state is State.CHUNKS:
            raise Refused(replies.CHUNKS_UNDER_WAY)
        if self.state is not State.TRANSACTION:
            raise Refused(replies.NEED_MAIL)
        path, octets = parse_path(argument, b"TO:", replies.BAD_RCPT, replies.BAD_RECIPIENT)
        if not path.address:
            raise Refused(replies.BAD_RECIPIENT)
        return Rcpt(path, parse_parameters(octets, RCPT_PARAMETERS))

    def _data(self, argument: bytes) -> Event:
        self._require_hello()
        _require_no_argument(argument)
        if self.state is State.CHUNKS:
            raise Refused(replies.CHUNKS_UNDER_WAY)
        refusal = self._no_message()
        if refusal is not None:
            raise Refused(refusal)
        return Data()

    def _bdat(self, argument: bytes) -> Event:
        """Return a Chunk even when it is refused: its octets come whatever we answer (RFC 3030 section 2)."""
        match = _CHUNK.match(argument)
        if match is None:
            # Nobody can tell where the chunk ends and commands go on.
            raise Refused(replies.BAD_BDAT, close=True)
        refusal = replies.HELLO_FIRST if self.state is State.HELLO else self._no_message()
        if refusal is not None and self.permissions.bounce_free:
            refusal = replies.temporary(refusal)
        return Chunk(int(match[1]), match[2] is not None, refusal)

    def _no_message(self) -> Reply | None:
        """Return why no message may come now, None when one may."""
        if not self.in_transaction:
            return replies.NEED_MAIL
        if self.recipients:
            return None
        return replies.NO_VALID_RECIPIENTS if self._refused_recipients else replies.NEED_RCPT

    def _rset(self, argument: bytes) -> Event:
        _require_no_argument(argument)
        return Reset()

    def _quit(self, argument: bytes) -> Event:
        _require_no_argument(argument)
        return Quit()

    def _noop(self, _argument: bytes) -> Event:
        return Answered(replies.OK)

    def _help(self, _argument: bytes) -> Event:
        return Answered(replies.HELP)

    def _vrfy(self, argument: bytes) -> Event:
        if not argument:
            raise Refused(replies.BAD_VRFY)
        return Answered(replies.CANNOT_VERIFY)

    def _not_available(self, _argument: bytes) -> Event:
        raise Refused(replies.NOT_AVAILABLE)

    def _require_hello(self) -> None:
        if self.state is State.HELLO:
            raise Refused(replies.LHLO_FIRST if self.permissions.lmtp else replies.HELLO_FIRST)

    def _require_trust(self, verb: str) -> None:
        if not self.permissions.forwards:
            raise Refused(replies.not_from_you(verb))
        self._require_no_transaction(verb)

    def _require_no_transaction(self, verb: str) -> None:
        if self.in_transaction:
            raise Refused(replies.not_in_a_transaction(verb))


def _only_lf_is_bare(line: Line) -> bool:
    return line.fault is Fault.BARE_NEWLINE and b"\r" not in line.text and b"\0" not in line.text


def _require_no_argument(argument: bytes) -> None:
    if argument:
        raise Refused(replies.NO_ARGUMENT)


def _hello_name(argument: bytes) -> str:
    name = argument.decode("utf-8", "surrogateescape")
    if len(name) > _MAX_HELLO or not _HELLO_NAME.fullmatch(name):
        raise Refused(replies.BAD_HELLO)
    return name


# Private on purpose: the table is part of the class, written below it because it names its methods.
_PARSERS: Mapping[str, Callable[[SmtpServer, bytes], Event]] = {
    "EHLO": SmtpServer._ehlo,
    "HELO": SmtpServer._helo,
    "LHLO": SmtpServer._lhlo,
    "STARTTLS": SmtpServer._starttls,
    "AUTH": SmtpServer._auth,
    "XCLIENT": SmtpServer._xclient,
    "XFORWARD": SmtpServer._xforward,
    "MAIL": SmtpServer._mail,
    "RCPT": SmtpServer._rcpt,
    "DATA": SmtpServer._data,
    "BDAT": SmtpServer._bdat,
    "RSET": SmtpServer._rset,
    "QUIT": SmtpServer._quit,
    "NOOP": SmtpServer._noop,
    "VRFY": SmtpServer._vrfy,
    "HELP": SmtpServer._help,
    "EXPN": SmtpServer._not_available,
    "ETRN": SmtpServer._not_available,
}
