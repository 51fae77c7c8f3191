"""uvicorn as the listener runs it: inside the worker's event loop, without signals, logs and endless header sections.

The rule: what uvicorn leaves open (how long a header section is and how long it takes to come) is limited here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from filterproxy.config.listeners import HttpLimits
from filterproxy.listeners.http_rspamc import RspamcTransport, is_rspamc, to_http

_KEEP_ALIVE = 5
# A thousand recipients fit in.
_HEADER_SECTION = 512 * 1024


def make_server(app: Starlette, limits: HttpLimits) -> Server:
    """Return a server that has not started."""
    # uvicorn makes its connections itself, from a class: each listener has one of its own, with its time-out.
    protocol = type("LimitedProtocol", (_Protocol,), {"header_timeout": limits.request_timeout})
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        limit_concurrency=limits.connections,
    )
    return Server(config, protocol)


class Server(uvicorn.Server):
    """uvicorn without signal handlers of its own, and with an event for the moment it serves."""

    def __init__(self, config: uvicorn.Config, protocol: type[_Protocol]) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()
        self._protocol = protocol

    def use(self, limits: HttpLimits) -> None:
        """Take new limits, for new connections."""
        self.config.limit_concurrency = limits.connections
        self._protocol.header_timeout = limits.request_timeout

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the worker."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve and say so."""
        await super().startup(sockets)
        self.has_started.set()


class _Protocol(HttpToolsProtocol):
    """One connection; it is closed when a header section is too long or does not come."""

    header_timeout = 300.0
    _begun = False
    _in_headers = True
    _received = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.header_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if is_rspamc(data):
                data = to_http(data)
                self.transport = RspamcTransport(self.transport)  # type: ignore[assignment]
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._received += len(data)
            if self._received > _HEADER_SECTION:
                self.send_400_response("The header section is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._received = True, 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_timeout, self._too_slow)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
