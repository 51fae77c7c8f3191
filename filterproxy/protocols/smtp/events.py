"""What a client asks for, as types: the events that `protocols.smtp.server` makes of command lines.

The rule: an event is only a wish; whether it is granted is the shell's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.commands import Path
from filterproxy.protocols.smtp.parameters import Parameter


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, LHLO (`extended`) or HELO with the client's name, printable text of at most 255 characters."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """XFORWARD: facts about the real client for the next transaction."""

    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Introduce:
    """XCLIENT: facts about the real client for the rest of the connection, which begins anew."""

    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH with a mechanism that is offered; `initial` is the base64 of the initial response, None without one."""

    mechanism: str
    initial: bytes | None


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
class Chunk:
    """BDAT: `size` octets follow its line, `last` ends the message. `refusal` is the reply once they are read away."""

    size: int
    last: bool
    refusal: Reply | None = None


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


Event = Hello | Forward | Introduce | StartTls | Auth | Mail | Rcpt | Data | Chunk | Reset | Quit | Answered
