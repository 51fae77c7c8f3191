"""The server's side of SMTP, without I/O: command lines to events, and which command may come when.

The rule: an event is only a wish; the state moves when the shell says that it was granted. What the client sends
before it may (RFC 2920) is refused and ends the dialogue, so that it is never run.

| state | EHLO, HELO | XFORWARD | MAIL | RCPT | DATA | RSET |
|---|---|---|---|---|---|---|
| hello | → ready | 503 | 503 | 503 | 503 | 250 |
| ready | → ready | kept for the next MAIL | → transaction | 503 | 503 | 250 |
| transaction | → ready | 503 | 503 | transaction | → ready after the message, 503 or 554 without RCPT | → ready |

QUIT, NOOP, VRFY, EXPN, ETRN and HELP are answered in every state and change none. RSET, EHLO, HELO and the end of the
message forget what XFORWARD told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.commands import Command, Path, parse_command, parse_path
from filterproxy.protocols.smtp.lines import Fault, Line
from filterproxy.protocols.smtp.parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, Parameter, parse_parameters
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.protocols.smtp.xforward import parse_xforward


class State(Enum):
    """Where the dialogue is."""

    HELLO = auto()
    READY = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO (`extended`) or HELO with the client's name, printable text of at most 255 characters."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """XFORWARD: facts about the real client for the next transaction."""

    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM; an empty address is the null sender."""

    path: Path
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO."""

    path: Path
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Data:
    """DATA, with at least one recipient accepted."""


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command that needs nobody else: its reply."""

    reply: Reply


Event = Hello | Forward | Mail | Rcpt | Data | Reset | Quit | Answered

_MAIL_VERBS = frozenset({"MAIL", "RCPT", "DATA"})
_MAX_HELLO = 255
_HELLO_NAME = re.compile(r"[!-~\x80-\U0010ffff]+")
_FAULTS = {
    Fault.LINE_TOO_LONG: replies.LINE_TOO_LONG,
    Fault.BARE_NEWLINE: replies.BARE_NEWLINE_IN_COMMAND,
    Fault.NUL: replies.NUL_IN_COMMAND,
}


class SmtpServer:
    """One dialogue with a client.

    `forwards` allows XFORWARD; `bare_newlines` allows commands that end with a bare LF; `bounce_free` refuses mail
    only temporarily (a content filter's client would turn 5xx into a bounce).
    """

    def __init__(self, *, forwards: bool = False, bare_newlines: bool = False, bounce_free: bool = False) -> None:
        self.state = State.HELLO
        self.extended = False
        self.helo = ""
        self.attributes: dict[str, str] = {}
        self.recipients = 0
        self._refused_recipients = 0
        self._forwards = forwards
        self._bare_newlines = bare_newlines
        self._bounce_free = bounce_free

    def receive(self, line: Line, *, more: bool) -> Event:
        """Return the event of a line; `more` tells that octets after it are here already. Raises Refused."""
        if line.fault is not None and not (self._bare_newlines and _only_lf_is_bare(line)):
            raise Refused(_FAULTS[line.fault])
        command = parse_command(line.text)
        try:
            if more and not self.may_be_followed(command):
                raise Refused(replies.UNAUTHORISED_PIPELINING, close=True)
            return self._parse(command)
        except Refused as refused:
            if self._bounce_free and command.verb in _MAIL_VERBS:
                raise Refused(replies.temporary(refused.reply), close=refused.close) from refused
            raise

    def may_be_followed(self, command: Command) -> bool:
        """Tell whether the client may send more before it has read the reply (RFC 2920 section 3.1)."""
        return self.extended and command.verb not in {"EHLO", "HELO", "DATA"}

    def greeted(self, hello: Hello) -> None:
        """EHLO or HELO was granted."""
        self.end_transaction()
        self.state = State.READY
        self.helo, self.extended = hello.name, hello.extended

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

    def end_transaction(self) -> None:
        """The transaction is over: message answered, RSET, or a new hello."""
        if self.state is State.TRANSACTION:
            self.state = State.READY
        self.attributes = {}
        self.recipients = self._refused_recipients = 0

    def _parse(self, command: Command) -> Event:
        parser = _PARSERS.get(command.verb)
        if parser is None:
            raise Refused(replies.NOT_RECOGNIZED)
        return parser(self, command.argument)

    def _ehlo(self, argument: bytes) -> Event:
        return Hello(_hello_name(argument), extended=True)

    def _helo(self, argument: bytes) -> Event:
        return Hello(_hello_name(argument), extended=False)

    def _xforward(self, argument: bytes) -> Event:
        if not self._forwards:
            raise Refused(replies.FORWARD_DENIED)
        self._require_hello()
        if self.state is State.TRANSACTION:
            raise Refused(replies.FORWARD_IN_MAIL)
        return Forward(parse_xforward(argument))

    def _mail(self, argument: bytes) -> Event:
        self._require_hello()
        if self.state is State.TRANSACTION:
            raise Refused(replies.NESTED_MAIL)
        path, octets = parse_path(argument, b"FROM:", replies.BAD_MAIL, replies.BAD_SENDER)
        return Mail(path, parse_parameters(octets, MAIL_PARAMETERS))

    def _rcpt(self, argument: bytes) -> Event:
        self._require_hello()
        if self.state is not State.TRANSACTION:
            raise Refused(replies.NEED_MAIL)
        path, octets = parse_path(argument, b"TO:", replies.BAD_RCPT, replies.BAD_RECIPIENT)
        if not path.address:
            raise Refused(replies.BAD_RECIPIENT)
        return Rcpt(path, parse_parameters(octets, RCPT_PARAMETERS))

    def _data(self, argument: bytes) -> Event:
        self._require_hello()
        _require_no_argument(argument)
        if self.state is not State.TRANSACTION:
            raise Refused(replies.NEED_MAIL)
        if not self.recipients:
            raise Refused(replies.NO_VALID_RECIPIENTS if self._refused_recipients else replies.NEED_RCPT)
        return Data()

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
            raise Refused(replies.HELLO_FIRST)


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
    "XFORWARD": SmtpServer._xforward,
    "MAIL": SmtpServer._mail,
    "RCPT": SmtpServer._rcpt,
    "DATA": SmtpServer._data,
    "RSET": SmtpServer._rset,
    "QUIT": SmtpServer._quit,
    "NOOP": SmtpServer._noop,
    "VRFY": SmtpServer._vrfy,
    "HELP": SmtpServer._help,
    "EXPN": SmtpServer._not_available,
    "ETRN": SmtpServer._not_available,
    "STARTTLS": SmtpServer._not_available,
    "AUTH": SmtpServer._not_available,
    "BDAT": SmtpServer._not_available,
    "XCLIENT": SmtpServer._not_available,
}
