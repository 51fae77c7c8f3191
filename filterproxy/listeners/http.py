"""Health and metrics over HTTP: starlette's routes on uvicorn, inside the worker's own event loop.

The rule: nothing here changes anything, so that every request is a GET without a body and needs no password; bind it to
loopback all the same, for the metrics tell how much mail there is.

| path | answer |
|---|---|
| /healthz | 200 `ok` while this worker serves, 503 `draining` from SIGTERM on |
| /metrics | Prometheus' text format, the sums over all workers |
| anything else | 404, another method 405, both as JSON |
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from filterproxy.config.models import HttpListener as HttpConfig
from filterproxy.listeners.context import ListenerContext
from filterproxy.pipeline import Pipeline

_KEEP_ALIVE = 5
_CONNECTIONS = 100
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HttpListener:
    """Serves one configured HTTP address; `serving` tells whether the worker takes mail."""

    def __init__(
        self,
        config: HttpConfig,
        pipelines: Callable[[], Pipeline],
        context: ListenerContext,
        serving: Callable[[], bool] = lambda: True,
    ) -> None:
        self._app = make_app(context, serving)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end."""
        self._server = _Server(_server_config(self._app))
        self._task = asyncio.create_task(self._server.serve(list(sockets)), name="http listener")
        started = asyncio.create_task(self._server.has_started.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            started.cancel()
            await self._task

    async def prepare(self, config: HttpConfig, context: ListenerContext) -> Callable[[], None]:
        """Return what does nothing: this listener has no settings but its address."""
        return lambda: None

    async def drain(self, timeout: float) -> None:
        """Accept no more, let requests finish for `timeout` seconds, close all."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout))
        self._server.should_exit = True
        await self._task


def make_app(context: ListenerContext, serving: Callable[[], bool]) -> Starlette:
    """Return the application: its routes, and JSON for everything that is not one."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n") if serving() else PlainTextResponse("draining\n", 503)

    def scrape(_: Request) -> Response:  # not async: starlette runs it in a thread, for it reads the workers' files
        return Response(context.metrics.render(), media_type=_METRICS_TYPE)

    async def refuse(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
        context.log.internal_error("http", error)
        return JSONResponse({"error": "Internal Server Error"}, status_code=500)

    routes = [Route("/healthz", healthz, methods=["GET"]), Route("/metrics", scrape, methods=["GET"])]
    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse, Exception: refuse})
    app.router.redirect_slashes = False
    return app


def _server_config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        limit_concurrency=_CONNECTIONS,
    )


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own, and with an event for the moment it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the worker."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve and say so."""
        await super().startup(sockets)
        self.has_started.set()
