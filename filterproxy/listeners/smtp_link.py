"""One session's connection to the next hop: who is told what of the client before any mail.

The rule: a connection that speaks for one client, or on which one has authenticated, serves no other.
"""

from __future__ import annotations

from collections.abc import Mapping

from filterproxy.core.errors import NextHopError
from filterproxy.core.reply import Reply
from filterproxy.core.session import Session
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.protocols.smtp import replies
from filterproxy.services.next_hop import NextHop, NextHopConnection


class NextHopLink:
    """The connection, opened when it is needed; `next_hop` is where it goes. Coroutines raise NextHopError.

    `introduced` tells that the next hop knows the client by XCLIENT, and so decides itself what it may do.
    """

    def __init__(self, shared: SmtpShared, session: Session) -> None:
        self._shared = shared
        self._session = session
        self._authenticated = False
        self.next_hop: NextHop = shared.next_hop
        self.connection: NextHopConnection | None = None
        self.introduced = False

    @property
    def name(self) -> str:
        """Return the server's address, for the log."""
        return self.next_hop.address if self.connection is None else self.connection.name

    @property
    def takes_secrets(self) -> bool:
        """Tell whether a client's password may go over the connection: it is in TLS, or does not leave the machine."""
        connection = self.connection
        return connection is not None and (connection.tls is not None or connection.endpoint.address.is_local)

    @property
    def lost(self) -> bool:
        """Tell whether the connection is gone on which the client had authenticated."""
        return self._authenticated and (self.connection is None or not self.connection.alive)

    async def connect(self) -> NextHopConnection:
        """Return the session's connection, ready for a transaction."""
        if self.connection is not None and self.connection.ready:
            return self.connection
        self.abort()
        if self._authenticated:
            # Somebody else's word would have to stand for the client on a new one.
            raise NextHopError("the connection on which the client authenticated is gone", stage="connect")
        self.connection = None
        if self._passes_auth:
            return await self.open()
        return await self._begin(await self.next_hop.connect())

    async def open(self) -> NextHopConnection:
        """Return a new connection in place of one that did not do."""
        return await self._begin(await self.next_hop.open(authenticate=not self._passes_auth))

    async def auth(self, argument: bytes) -> Reply:
        """Return the next hop's answer to AUTH."""
        connection = await self.connect()
        if not self.takes_secrets:
            return replies.AUTH_UNAVAILABLE
        return self._heard(await connection.auth(argument))

    async def auth_response(self, line: bytes) -> Reply:
        """Return the next hop's answer to a response."""
        assert self.connection is not None
        return self._heard(await self.connection.auth_response(line))

    def leave(self) -> None:
        """Give the connection back; the next one is another client's, as far as anybody knows."""
        if self.connection is not None:
            self.next_hop.release(self.connection)
        self.connection = None
        self.introduced = self._authenticated = False

    def abort(self) -> None:
        """Close the connection at once: an unfinished message is never delivered."""
        if self.connection is not None:
            self.connection.abort()

    @property
    def _passes_auth(self) -> bool:
        auth = self._shared.config.auth
        return auth is not None and auth.source == "next_hop"

    def _heard(self, reply: Reply) -> Reply:
        self._authenticated = self._authenticated or reply.code == replies.AUTHENTICATED.code
        return reply

    async def _begin(self, connection: NextHopConnection) -> NextHopConnection:
        """Take the connection, and in front tell the next hop whom it serves before anything else."""
        self.connection, self.introduced = connection, False
        if self._shared.front and "ADDR" in connection.extensions.xclient:
            refusal = await connection.xclient(self._client())
            if refusal is not None:
                connection.abort()
                raise NextHopError(f"refuses XCLIENT: {refusal}", stage="ehlo")
            self.introduced = True
        return connection

    def _client(self) -> Mapping[str, str]:
        """Return what XCLIENT tells; an empty text is `[UNAVAILABLE]`."""
        session, client = self._session, self._session.client
        told = {
            "NAME": client.name,
            "ADDR": client.address,
            "PORT": str(client.port or ""),
            "PROTO": "SMTP" if session.protocol == "SMTP" else "ESMTP",
            "HELO": session.helo,
        }
        return {**told, "LOGIN": session.user} if session.user else told
