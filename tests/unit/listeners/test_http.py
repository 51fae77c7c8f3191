"""The HTTP listener over a real socket: health, metrics, what is not served, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import HttpListener as HttpConfig
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.http import HttpListener
from filterproxy.observability.metrics import Metrics
from filterproxy.services.clock import SystemClock
from filterproxy.testing import make_site


class Server:
    def __init__(self) -> None:
        self.errors: list[tuple[str, BaseException]] = []
        self.metrics = Metrics()
        self.serving = True
        log: Any = SimpleNamespace(internal_error=lambda where, error: self.errors.append((where, error)))
        context = ListenerContext(make_site(), log, self.metrics, SystemClock())
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = HttpConfig(type="http", address=SocketAddress("127.0.0.1", 1))
        self.listener = HttpListener(config, lambda: pytest.fail("no pipeline"), context, lambda: self.serving)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.listener.start([server.socket])
    yield server
    await server.listener.drain(1)


async def test_health_follows_the_worker(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        good = await client.get("/healthz")
        assert (good.status_code, good.text) == (200, "ok\n")
        server.serving = False
        draining = await client.get("/healthz")
        assert (draining.status_code, draining.text) == (503, "draining\n")


async def test_metrics_are_prometheus_text(server: Server) -> None:
    server.metrics.session_opened("smtp")
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'filterproxy_sessions_total{listener="smtp"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/", "/checkv3", "/healthz/", "/%00", "/../etc/passwd"])
async def test_an_unknown_path_is_404_in_json(server: Server, path: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_is_served(server: Server, method: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.request(method, "/healthz")
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})


async def test_an_error_of_ours_is_logged_and_bland(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bytes:
        raise OSError("the disk is full")

    monkeypatch.setattr(server.metrics, "render", broken)
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal Server Error"})
    assert [(where, str(error)) for where, error in server.errors] == [("http", "the disk is full")]


async def test_nonsense_is_refused_and_the_listener_serves_on(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert b"400 Bad Request" in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_draining_closes_the_port_although_a_client_keeps_its_connection() -> None:
    server = Server()
    await server.listener.start([server.socket])
    async with httpx.AsyncClient(base_url=server.url) as client:
        await client.get("/healthz")  # keeps the connection open
        await asyncio.wait_for(server.listener.drain(1), 5)
        with pytest.raises(httpx.TransportError):
            await client.get("/healthz")
