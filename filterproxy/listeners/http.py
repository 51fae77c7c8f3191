"""The HTTP listener: rspamd's protocol, health and metrics; starlette's routes on uvicorn, in the worker's event loop.

The rule: one table says what is served and who may ask (http_access.py says who they are).

| path | method | right |
|---|---|---|
| /healthz, /ready, /healthy (200 while this worker serves, 503 from SIGTERM on), /metrics, /ping | GET | none |
| /checkv2, /check, /symbols, /rspamc (see http_rspamc.py) | POST | read |
| /symbols, /auth, /stat, /counters, /history, /actions, /errors | GET | read |
| /learnspam, /learnham | POST | write |
| /statreset | GET, POST | write |
| /api/v1/… | see api.py | |
| anything else | 404, another method 405, both as JSON | |
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from filterproxy.config.listeners import HttpListener as HttpConfig
from filterproxy.listeners.api import PREFIX, make_api
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.http_access import Access
from filterproxy.listeners.http_scan import LISTENER, HttpShared, ScanRoutes, answer
from filterproxy.listeners.http_server import Server, make_server
from filterproxy.listeners.http_status import StatusRoutes
from filterproxy.pipeline import Pipeline
from filterproxy.protocols import rspamd_http
from filterproxy.protocols.rspamd_http import RefusedRequestError

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
        self._shared = HttpShared(config, pipelines, context, Access(config, context))
        self._app = make_app(self._shared, serving)
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listening; the listener closes them in the end."""
        self._server = make_server(self._app, self._shared.config.limits)
        self._task = asyncio.create_task(self._server.serve(list(sockets)), name="http listener")
        started = asyncio.create_task(self._server.has_started.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            started.cancel()
            await self._task

    async def prepare(self, config: HttpConfig, context: ListenerContext) -> Callable[[], None]:
        """Return what puts new settings to use from the next request on."""

        def commit() -> None:
            self._shared.use(config)
            if self._server is not None:
                self._server.use(config.limits)

        return commit

    async def drain(self, timeout: float) -> None:
        """Accept no more, let requests finish for `timeout` seconds, close all."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout))
        self._server.should_exit = True
        await self._task


def make_app(shared: HttpShared, serving: Callable[[], bool]) -> Starlette:
    """Return the application: its routes, and JSON for everything that is not one."""
    context = shared.context

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedRequestError)
        context.metrics.protocol_error(LISTENER)
        context.log.session_error(LISTENER, f"{error.status} {error.reason}")
        # The body may not have been read: what follows on the connection is not the next request.
        # The error alone, as rspamd words what it refuses: Haraka defers by that (`defer.error`), not by the status.
        return answer({"error": error.reason}, error.status, headers={"Connection": "close"})

    async def failed(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
        context.log.internal_error("http", error)
        return JSONResponse({"error": "Internal Server Error"}, status_code=500)

    api = Mount(PREFIX, app=make_api(shared, serving))
    routes = [*_open_routes(context, serving), *_rspamd_routes(shared), api]
    handlers = {RefusedRequestError: refused, HTTPException: failed, Exception: failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def _open_routes(context: ListenerContext, serving: Callable[[], bool]) -> list[Route]:
    """Return the routes that anybody may ask."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n") if serving() else PlainTextResponse("draining\n", 503)

    async def ready(_: Request) -> Response:
        return answer({"success": True}) if serving() else answer({"error": "draining"}, 503)

    async def ping(_: Request) -> Response:
        return PlainTextResponse(rspamd_http.PONG)

    def scrape(_: Request) -> Response:  # not async: starlette runs it in a thread, for it reads the workers' files
        return Response(context.metrics.render(), media_type=_METRICS_TYPE)

    table = {"/healthz": healthz, "/ready": ready, "/healthy": ready, "/ping": ping, "/metrics": scrape}
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in table.items()]


def _rspamd_routes(shared: HttpShared) -> list[Route]:
    """Return the routes that need a right."""
    scans, status = ScanRoutes(shared), StatusRoutes(shared)

    async def symbols(request: Request) -> Response:
        return await (scans.legacy_check(request) if request.method == "POST" else status.symbols(request))

    posts = {
        "/checkv2": scans.check,
        "/check": scans.legacy_check,
        "/rspamc": scans.rspamc_check,
        "/learnspam": scans.learn_spam,
        "/learnham": scans.learn_ham,
    }
    gets = {
        "/auth": status.auth,
        "/stat": status.stat,
        "/counters": status.counters,
        "/actions": status.actions,
        "/history": status.history,
        "/errors": status.errors,
    }
    both = {"/symbols": symbols, "/statreset": status.reset}
    return [
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in posts.items()),
        *(Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()),
        *(Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in both.items()),
    ]
