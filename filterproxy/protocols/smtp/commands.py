"""Command lines to typed commands and paths (RFC 5321 section 4.1), in one linear pass.

The rule: what is inside the angle brackets goes on octet for octet, and is refused when two readers could read it
differently (controls, blanks or angle brackets outside quotes, a second `@`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.replies import Refused

# Possessive repeats, so that no input makes this quadratic; never of a group, which Python before 3.11.5 gets wrong.
_PLAIN = rb'[^\x00-\x20"<>\\\x7f]'
_QUOTED = rb'"[^\x00-\x1f"\\\x7f]*+(?:\\[\x20-\x7e][^\x00-\x1f"\\\x7f]*+)*"'
_BRACKETED = re.compile(rb"<(" + _PLAIN + rb"*+(?:" + _QUOTED + _PLAIN + rb"*+)*)>")
_UNBRACKETED = re.compile(rb'[^\x00-\x20"<>\\\x7f]++')
_VERB = re.compile(rb"[A-Za-z]{1,16}\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """A verb in upper case and the octets after it, without the blanks around them."""

    verb: str
    argument: bytes


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse or forward path: `address` without a source route, `wire` as it stood between the brackets."""

    address: str
    wire: bytes

    @property
    def is_ascii(self) -> bool:
        """Tell whether the path needs no SMTPUTF8."""
        return self.wire.isascii()


def parse_command(line: bytes) -> Command:
    """Return the command of a line; a line that begins with no word gives an empty verb."""
    verb, _, argument = line.partition(b" ")
    if not _VERB.match(verb):
        return Command("", line)
    return Command(verb.decode("ascii").upper(), argument.strip(b" \t"))


def parse_path(argument: bytes, keyword: bytes, syntax: Reply, malformed: Reply) -> tuple[Path, bytes]:
    """Return the path after `FROM:` or `TO:` and the octets of the parameters.

    Raises Refused with `syntax` when the form is wrong and with `malformed` when the address is. A blank after the
    colon and missing brackets are accepted, as other servers do.
    """
    if argument[: len(keyword)].upper() != keyword:
        raise Refused(syntax)
    rest = argument[len(keyword) :].lstrip(b" \t")
    match = (_BRACKETED if rest.startswith(b"<") else _UNBRACKETED).match(rest)
    if match is None:
        raise Refused(malformed if rest else syntax)
    wire, parameters = match[match.re.groups], rest[match.end() :]
    if parameters and not parameters.startswith(b" "):
        raise Refused(malformed)
    return Path(_address(wire, malformed), wire), parameters


def _address(wire: bytes, malformed: Reply) -> str:
    route, colon, mailbox = wire.partition(b":") if wire.startswith(b"@") else (b"", b":", wire)
    if not colon or (route and not mailbox):
        raise Refused(malformed)
    local, at, domain = mailbox.rpartition(b"@")
    if at and (not local or not domain or b'"' in domain or _has_bare_at(local)):
        raise Refused(malformed)
    return mailbox.decode("utf-8", "surrogateescape")


def _has_bare_at(local: bytes) -> bool:
    """Tell whether an `@` stands outside quotes; quotes are balanced here."""
    return b"@" in local and b"@" in b"".join(_outside_quotes(local))


def _outside_quotes(local: bytes) -> list[bytes]:
    return re.sub(rb"\\.", b"", local, flags=re.DOTALL).split(b'"')[::2]
