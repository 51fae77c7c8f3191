"""One server: connections that are greeted, inside TLS and authenticated as configured, and a few idle ones kept.

The rule: no credential and no message is sent before everything the configuration asks for is true of the connection.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from filterproxy.config.endpoints import Endpoint
from filterproxy.core.errors import NextHopError
from filterproxy.core.reply import Reply
from filterproxy.protocols.smtp.sasl import (
    PASSWORD_MECHANISMS,
    TOKEN_MECHANISMS,
    Exchange,
    choose,
    masked,
    with_password,
    with_token,
)
from filterproxy.services.next_hop.connection import NextHopConnection, Trace
from filterproxy.services.next_hop.credentials import secrets_of
from filterproxy.services.next_hop.tls import client_context, explained, is_plain_text

_MAX_CHALLENGES = 10
_NEXT_ADDRESS = 0.25


@dataclass(eq=False)
class Hop:
    """One endpoint and its idle connections; `down_until` is the loop time before which it is tried last."""

    endpoint: Endpoint
    hostname: Callable[[], str]
    down_until: float = 0.0
    _idle: list[NextHopConnection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = client_context(self.endpoint) if self.endpoint.tls != "none" else None
        self._secrets = secrets_of(self.endpoint)
        self._implicit = self.endpoint.address.scheme == "smtps"

    def idle(self) -> NextHopConnection | None:
        """Return a connection that was kept and can still be used, None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.ready:
                connection.resume()
                return connection
        return None

    async def open(self, trace: Trace | None = None, *, authenticate: bool = True) -> NextHopConnection:
        """Return a new connection, ready for a transaction; raise NextHopError.

        `authenticate=False` leaves out the configured credentials: the client's own are passed through.
        """
        try:
            return await self._open(trace, authenticate, self._context)
        except _NoTls:
            # Opportunistic: what could not be encrypted is sent as if TLS had not been offered (RFC 7435).
            return await self._open(trace, authenticate, None)
        except _NoImplicitTls:
            self._implicit = False
            return await self._open(trace, authenticate, self._context)

    def release(self, connection: NextHopConnection) -> None:
        """Take back a connection: kept when all went well on it and there is room, else closed as its state allows."""
        self._idle = [idle for idle in self._idle if idle.ready]
        if connection.reusable and len(self._idle) < self.endpoint.settings.pool_size:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.quit()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().quit()

    async def _open(self, trace: Trace | None, authenticate: bool, context: ssl.SSLContext | None) -> NextHopConnection:
        connection = NextHopConnection(self.endpoint, trace)
        connection.hop = self
        try:
            await self._reach(connection, context if self._implicit else None)
            await connection.hello(self.hostname())
            if context is not None and not self._implicit:
                await self._starttls(connection, context)
            if self._secrets is not None and authenticate:
                await self._authenticate(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _reach(self, connection: NextHopConnection, context: ssl.SSLContext | None) -> None:
        loop, endpoint, settings = asyncio.get_running_loop(), self.endpoint, self.endpoint.settings
        address = endpoint.address
        tls: dict[str, Any] = {} if context is None else _tls_options(endpoint, context)
        limit = settings.connect_timeout + (settings.tls_timeout if context else 0.0)
        try:
            async with asyncio.timeout(limit):
                if address.path:
                    await loop.create_unix_connection(lambda: connection, address.path, **tls)
                else:
                    # An address that does not answer must not keep us from the next one (RFC 8305).
                    await loop.create_connection(
                        lambda: connection, address.host, address.port, happy_eyeballs_delay=_NEXT_ADDRESS, **tls
                    )
        except TimeoutError:
            raise NextHopError("no connection in time", stage="connect") from None
        except (ssl.SSLError, ConnectionError) as error:
            if context is None or isinstance(error, ConnectionRefusedError):
                raise _unreachable(error) from error
            if endpoint.detects_tls and is_plain_text(error):
                raise _NoImplicitTls from error
            raise self._no_tls(error) from error
        except OSError as error:
            raise _unreachable(error) from error
        connection.note_tls()

    async def _starttls(self, connection: NextHopConnection, context: ssl.SSLContext) -> None:
        optional = self.endpoint.tls == "may"
        if "STARTTLS" not in connection.extensions:
            if optional:
                return
            raise NextHopError("does not offer STARTTLS, which tls requires", stage="tls", permanent=True)
        reply = await connection.starttls()
        if not reply.positive:
            if optional:
                return
            raise NextHopError(f"refuses STARTTLS: {reply}", stage="tls", permanent=reply.code >= 500)
        try:
            await connection.start_tls(context, self.endpoint.server_name)
        except OSError as error:
            if optional:
                raise _NoTls from error
            raise self._no_tls(error) from error
        await connection.hello_again()

    def _no_tls(self, error: OSError) -> NextHopError:
        refused = isinstance(error, ssl.SSLError)
        return NextHopError(explained(error, self.endpoint.server_name), stage="tls", permanent=refused)

    async def _authenticate(self, connection: NextHopConnection) -> None:
        """Authenticate with the configured credentials; once more with a fresh token when the first is refused."""
        assert self._secrets is not None
        secret = await self._secrets.get()
        reply = await self._attempt(connection, secret)
        if reply.code // 100 == 5 and self._secrets.refused():
            fresh = await self._secrets.get()
            if fresh != secret:
                if not connection.ready:
                    raise NextHopError("refuses the token; there is a fresh one now", stage="auth")
                reply = await self._attempt(connection, fresh)
        if not reply.positive:
            text = masked(str(reply), connection.secrets)
            raise NextHopError(f"refuses the credentials: {text}", stage="auth", permanent=reply.code >= 500)
        connection.clean = True

    async def _attempt(self, connection: NextHopConnection, secret: str) -> Reply:
        try:
            exchange = self._exchange(connection, secret)
        except ValueError as error:
            raise NextHopError(str(error), stage="auth", permanent=True) from None
        connection.secrets = exchange.secrets()
        return await self._converse(connection, exchange)

    async def _converse(self, connection: NextHopConnection, exchange: Exchange) -> Reply:
        reply = await connection.auth(exchange.command(), own=True)
        for number in range(_MAX_CHALLENGES):
            if reply.code // 100 != 3:
                return reply
            reply = await connection.auth_response(exchange.response(number))
        raise NextHopError("does not come to an end with AUTH", stage="auth")

    def _exchange(self, connection: NextHopConnection, secret: str) -> Exchange:
        """Return the exchange for the best mechanism; raise NextHopError when none that fits is offered."""
        settings = self.endpoint.settings
        fitting = PASSWORD_MECHANISMS if self.endpoint.has_password else TOKEN_MECHANISMS
        usable = (settings.mechanism.upper(),) if settings.mechanism else fitting
        mechanism = choose(connection.extensions.auth, usable)
        if mechanism is None:
            offered = ", ".join(sorted(connection.extensions.auth)) or "no AUTH"
            reason = f"offers {offered}, and not {' or '.join(usable)}"
            raise NextHopError(reason, stage="auth", permanent=True)
        if fitting is PASSWORD_MECHANISMS:
            return with_password(mechanism, settings.username, secret)
        return with_token(mechanism, settings.username, secret, self.endpoint.address.host, self.endpoint.address.port)


class _NoTls(Exception):
    """Opportunistic TLS did not come about: try without."""


class _NoImplicitTls(Exception):
    """The server talks plain text first: STARTTLS."""


def _unreachable(error: OSError) -> NextHopError:
    # asyncio's own words for it are "Connect call failed"; the number says more. Resolvers have numbers below zero.
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or str(error)
    return NextHopError(f"cannot connect: {reason}", stage="connect")


def _tls_options(endpoint: Endpoint, context: ssl.SSLContext) -> dict[str, Any]:
    return {
        "ssl": context,
        "server_hostname": endpoint.server_name,
        "ssl_handshake_timeout": endpoint.settings.tls_timeout,
        "ssl_shutdown_timeout": endpoint.settings.quit_timeout,
    }
