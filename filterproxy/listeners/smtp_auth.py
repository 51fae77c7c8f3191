"""AUTH in one SMTP session: the dialogue with the client, and who is asked whether it is right.

The rule: nothing is offered or taken outside TLS, and no secret goes further than to whoever judges it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from filterproxy.core.errors import ConfigError
from filterproxy.core.reply import Reply
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.auth_server import (
    CHECKED_HERE,
    Credentials,
    claimed_user,
    decode_response,
    encode_challenge,
    parse_login,
    parse_plain,
    passable,
)
from filterproxy.protocols.smtp.events import Auth
from filterproxy.protocols.smtp.extensions import Extensions
from filterproxy.protocols.smtp.lines import Line
from filterproxy.protocols.smtp.replies import Refused
from filterproxy.services.password_file import PasswordFile

_CHALLENGE = 334
_CANCEL = b"*"
# RFC 4954 leaves the number of rounds open; no mechanism here needs more.
_MAX_ROUNDS = 8


class Wire(Protocol):
    """What the dialogue needs of the client's side."""

    def answer(self, reply: Reply) -> None:
        """Queue a reply."""

    async def next_line(self) -> Line:
        """Return the client's next line."""


class Judge(Protocol):
    """What the dialogue needs of the next hop's side, when that knows the passwords."""

    async def auth(self, argument: bytes) -> Reply:
        """Return the next hop's answer to AUTH."""

    async def auth_response(self, line: bytes) -> Reply:
        """Return the next hop's answer to a response."""


def offered_mechanisms(shared: SmtpShared, next_hop: Extensions, *, to_next_hop: bool) -> frozenset[str]:
    """Return the mechanisms that a client in TLS may use; `to_next_hop` allows to pass secrets on to there."""
    auth = shared.config.auth
    if auth is None:
        return frozenset()
    if auth.source == "file":
        return CHECKED_HERE
    return passable(next_hop.auth) if to_next_hop else frozenset()


class AuthDialogue:
    """One AUTH command; `user` is the name that was proved, or claimed when it failed."""

    def __init__(self, shared: SmtpShared, wire: Wire, judge: Judge) -> None:
        self._shared = shared
        self._wire = wire
        self._judge = judge
        self.user = ""

    async def run(self, auth: Auth) -> Reply:
        """Return the reply that ends the dialogue; 235 is success. Raises Refused for what is no dialogue."""
        if self._shared.passwords is not None:
            return await self._check_here(auth)
        return await self._pass_on(auth)

    async def _check_here(self, auth: Auth) -> Reply:
        initial = None if auth.initial is None else decode_response(auth.initial)
        credentials = await (self._plain(initial) if auth.mechanism == "PLAIN" else self._login(initial))
        self.user = credentials.user
        passwords = self._shared.passwords
        assert passwords is not None
        async with self._shared.password_turn:
            try:
                right = await asyncio.to_thread(_verify, passwords, credentials)
            except ConfigError as error:
                self._shared.context.log.warning("auth", str(error))
                return replies.AUTH_UNAVAILABLE
        return replies.AUTHENTICATED if right else replies.BAD_CREDENTIALS

    async def _plain(self, initial: bytes | None) -> Credentials:
        return parse_plain(await self._ask(b"") if initial is None else initial)

    async def _login(self, initial: bytes | None) -> Credentials:
        user = await self._ask(b"Username:") if initial is None else initial
        return parse_login(user, await self._ask(b"Password:"))

    async def _ask(self, challenge: bytes) -> bytes:
        self._wire.answer(Reply(_CHALLENGE, (encode_challenge(challenge),)))
        return decode_response(await self._response())

    async def _response(self) -> bytes:
        line = await self._wire.next_line()
        if line.fault is not None:
            raise Refused(replies.LINE_TOO_LONG if not line.text else replies.BAD_BASE64)
        return line.text

    async def _pass_on(self, auth: Auth) -> Reply:
        responses = [] if auth.initial is None else [decode_response(auth.initial)]
        argument = auth.mechanism.encode("ascii")
        if auth.initial is not None:
            argument += b" " + (auth.initial or b"=")
        reply = await self._judge.auth(argument)
        while reply.code == _CHALLENGE:
            self._wire.answer(reply)
            line = await self._client_line(responses, cancel=len(responses) >= _MAX_ROUNDS)
            reply = await self._judge.auth_response(line)
        self.user = claimed_user(auth.mechanism, responses)
        return reply

    async def _client_line(self, responses: list[bytes], *, cancel: bool) -> bytes:
        """Return a line to pass on: what the client says, or the end of the dialogue when it says nonsense."""
        try:
            line = await self._response()
            responses.append(decode_response(line))
        except Refused:
            return _CANCEL
        return _CANCEL if cancel else line


def _verify(passwords: PasswordFile, credentials: Credentials) -> bool:
    passwords.reload()
    return passwords.verify(credentials.user, credentials.password)
