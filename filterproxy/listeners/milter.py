"""The milter listener: accepts MTA connections on TCP and unix sockets and drains them at the end.

The rule: it owns connections, never messages; what happens in one is `milter_session`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence

from filterproxy.config.listeners import MilterListener as MilterConfig
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.milter_session import MilterSession, MilterShared
from filterproxy.pipeline import Pipeline


class MilterListener:
    """Serves one configured milter address; `pipelines` gives the pipeline for each new transaction."""

    def __init__(self, config: MilterConfig, pipelines: Callable[[], Pipeline], context: ListenerContext) -> None:
        self._shared = MilterShared(config, pipelines, context)
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end."""
        for listening in sockets:
            self._servers.append(await self._serve(listening))

    async def prepare(self, config: MilterConfig, context: ListenerContext) -> Callable[[], None]:
        """Return what puts new settings to use for new connections."""

        def commit() -> None:
            self._shared.config = config

        return commit

    async def drain(self, timeout: float) -> None:
        """Accept no more, close sessions between messages, let messages finish for `timeout` seconds, close all."""
        shared = self._shared
        shared.draining = True
        for server in self._servers:
            server.close()
        for session in list(shared.sessions):
            session.close_if_draining()
        if not await self._all_closed(timeout):
            for session in list(shared.sessions):
                session.abort()
            await shared.idle.wait()

    async def _all_closed(self, timeout: float) -> bool:
        if not self._shared.sessions:
            return True
        try:
            await asyncio.wait_for(self._shared.idle.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def _serve(self, listening: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if listening.family != socket.AF_UNIX:
            return await loop.create_server(self._session, sock=listening)
        if sys.version_info >= (3, 13):
            # The socket file belongs to whoever bound it: other workers still listen on it.
            return await loop.create_unix_server(self._session, sock=listening, cleanup_socket=False)
        return await loop.create_unix_server(self._session, sock=listening)

    def _session(self) -> MilterSession:
        return MilterSession(self._shared)
