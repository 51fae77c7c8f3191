"""Serving asyncio streams on a listening socket that other workers listen on as well."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve_streams(connected: Connected, listening: socket.socket, limit: int) -> asyncio.Server:
    """Return a server that calls `connected` for each connection; `limit` is how much is read ahead, in octets."""
    if listening.family != socket.AF_UNIX:
        return await asyncio.start_server(connected, sock=listening, limit=limit)
    if sys.version_info >= (3, 13):
        # The socket file belongs to whoever bound it: other workers still listen on it.
        return await asyncio.start_unix_server(connected, sock=listening, limit=limit, cleanup_socket=False)
    return await asyncio.start_unix_server(connected, sock=listening, limit=limit)
