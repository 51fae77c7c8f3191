"""The SMTP listener: accepts connections on TCP and unix sockets and drains them at the end.

The rule: it owns connections, never messages; what happens in one is `smtp_session`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from filterproxy.config.listeners import SmtpService as SmtpConfig
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.smtp_session import SmtpSession
from filterproxy.listeners.smtp_shared import SmtpShared
from filterproxy.pipeline import Pipeline


class SmtpListener:
    """Serves one configured SMTP address; `pipelines` gives the pipeline for each new transaction."""

    def __init__(self, config: SmtpConfig, pipelines: Callable[[], Pipeline], context: ListenerContext) -> None:
        self._shared = SmtpShared(config, pipelines, context)
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end. Raises ConfigError."""
        await self._shared.check_front()
        for listening in sockets:
            self._servers.append(await self._serve(listening))

    async def prepare(self, config: SmtpConfig, context: ListenerContext) -> Callable[[], None]:
        """Build what new settings need; return what puts them to use for new sessions. Raises ConfigError.

        Sessions under way keep the old ones, and their next hop until the last of them has gone.
        """
        old = self._shared
        if config == old.config and context.providers == old.context.providers:
            await old.check_front(context.site)
            return self.reload
        new = SmtpShared(config, old.pipelines, context, old.open)
        await new.check_front()

        def commit() -> None:
            new.context = old.context
            self._shared = new
            old.retire()

        return commit

    def reload(self) -> None:
        """Read certificates and passwords again; raise ConfigError and keep those in use when they are unusable."""
        if self._shared.tls is not None:
            self._shared.tls.reload()
        if self._shared.passwords is not None:
            self._shared.passwords.reload()

    async def drain(self, timeout: float) -> None:
        """Accept no more, close idle sessions, let transactions finish for `timeout` seconds, close all."""
        shared = self._shared
        shared.open.draining = True
        for server in self._servers:
            server.close()
        for session in list(shared.sessions):
            session.leave_if_idle()
        with suppress(TimeoutError):
            await asyncio.wait_for(shared.idle.wait(), timeout)
        for session in list(shared.sessions):
            session.give_up()
        await shared.idle.wait()
        shared.next_hop.close()

    async def _serve(self, listening: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if listening.family != socket.AF_UNIX:
            return await loop.create_server(self._session, sock=listening)
        if sys.version_info >= (3, 13):
            # The socket file belongs to whoever bound it: other workers still listen on it.
            return await loop.create_unix_server(self._session, sock=listening, cleanup_socket=False)
        return await loop.create_unix_server(self._session, sock=listening)

    def _session(self) -> SmtpSession:
        return SmtpSession(self._shared, asyncio.get_running_loop())
