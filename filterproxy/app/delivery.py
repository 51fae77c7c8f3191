"""One message through a next hop, step by step, for `filterproxy test-delivery`.

The rule: what is shown is the dialogue as it was, without secrets; nothing of the pipeline is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from secrets import token_hex

from filterproxy.config.loader import Loaded
from filterproxy.config.yaml_loader import KeyPath
from filterproxy.core.envelope import domain_of
from filterproxy.core.errors import ConfigError, NextHopError
from filterproxy.core.reply import Reply
from filterproxy.pipeline.registry import nearest
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.commands import Path, parse_path
from filterproxy.protocols.smtp.parameters import Parameter
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.services.next_hop import NextHop, NextHopConnection
from filterproxy.services.next_hop.connection import Trace
from filterproxy.services.next_hop.hop import Hop


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the message: a word for people, and whether it was delivered or another try may help."""

    text: str
    delivered: bool = False
    temporary: bool = False


def choose_hops(found: list[tuple[KeyPath, NextHop]], name: str, to: str) -> tuple[Hop, ...]:
    """Return the servers to try in turn: those of a name or address, else where mail for the recipient goes.

    Raises ConfigError when there is none.
    """
    if not found:
        raise ConfigError("no listener has a next hop", hint="listeners: [{type: smtp, …, next_hop: …}]")
    if not name:
        return found[0][1].route(domain_of(to)).hops
    known: dict[str, list[Hop]] = {}
    for _, next_hop in found:
        for hop in next_hop.everywhere():
            for word in {hop.endpoint.name, str(hop.endpoint.address)}:
                known.setdefault(word, []).append(hop)
    if name not in known:
        raise ConfigError(f"no next hop is called {name!r}", hint=nearest(name, known))
    return tuple(known[name][:1])


def parse_address(text: str) -> Path:
    """Return an address as a path; raise ConfigError when it is none."""
    try:
        path, rest = parse_path(f"TO:<{text}>".encode(), b"TO:", replies.BAD_RCPT, replies.BAD_RECIPIENT)
    except Refused:
        raise ConfigError(f"{text!r} is no address") from None
    if rest or domain_of(path.address) == "":
        raise ConfigError(f"{text!r} is no address", hint="write user@example.org")
    return path


def make_message(sender: str, to: str, loaded: Loaded, now: datetime) -> bytes:
    """Return a short message that says what it is."""
    hostname = loaded.settings.hostname
    lines = (
        f"From: <{sender}>",
        f"To: <{to}>",
        "Subject: Test delivery through filterproxy",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{token_hex(16)}@{hostname}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        f"This message was sent by `filterproxy test-delivery` on {hostname}.",
        "It shows that the next hop takes mail from there.",
    )
    return "\r\n".join((*lines, "")).encode()


async def deliver(hops: tuple[Hop, ...], sender: Path, to: Path, message: bytes, trace: Trace) -> Outcome:
    """Send the message through the first server that can be reached and say what became of it."""
    failure = Outcome("there is no next hop")
    for hop in hops:
        trace("-", f"next hop {hop.endpoint.name}, {hop.endpoint.address}, tls: {hop.endpoint.tls}")
        try:
            connection = await hop.open(trace)
        except NextHopError as error:
            failure = _failed(error)
            trace("-", failure.text)
            continue
        try:
            return await _send(connection, sender, to, message)
        except NextHopError as error:
            return _failed(error)
        finally:
            connection.abort()
    return failure


async def _send(connection: NextHopConnection, sender: Path, to: Path, message: bytes) -> Outcome:
    reply = await connection.mail(sender, _parameters(sender, to, message))
    if reply.positive:
        reply = await connection.rcpt(to)
    if reply.positive:
        reply = await connection.data()
    if reply.code == 354:
        reply = await connection.send((message,)) or await connection.sent()
    outcome = Outcome(_one_line(reply), reply.code // 100 == 2, temporary=reply.code // 100 == 4)
    if connection.ready or connection.in_transaction:
        await connection.leave()
    return outcome


def _parameters(sender: Path, to: Path, message: bytes) -> tuple[Parameter, ...]:
    size = Parameter("SIZE", str(len(message)), f"SIZE={len(message)}")
    if sender.is_ascii and to.is_ascii:
        return (size,)
    return size, Parameter("SMTPUTF8", None, "SMTPUTF8")


def _failed(error: NextHopError) -> Outcome:
    return Outcome(f"{error.stage}: {error.reason}", temporary=not error.permanent)


def _one_line(reply: Reply) -> str:
    return f"{reply.code} {' '.join(reply.texts())}"
