"""Socket activation: a service manager's sockets are served, and every one of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from filterproxy.app.errors import StartError
from filterproxy.app.inherited import InheritedSockets
from filterproxy.app.sockets import bind_all, close_all
from filterproxy.config.addresses import parse_address
from filterproxy.config.listeners import HttpListener


def http(address: str) -> HttpListener:
    return HttpListener(type="http", address=parse_address(address))


def listening(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


def test_a_socket_goes_to_the_listener_of_its_address() -> None:
    for host, written in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("127.0.0.1", "localhost")):
        given = listening(host)
        (bound,) = bind_all([http(f"{written}:{given.getsockname()[1]}")], InheritedSockets([given]))
        assert bound.sockets == (given,)
        assert bound.inherited
        close_all([bound])


def test_others_are_bound_as_ever(tmp_path: Path) -> None:
    given = listening()
    mine, bound = bind_all(
        [http(f"unix:{tmp_path}/http.sock"), http(f"127.0.0.1:{given.getsockname()[1]}")], InheritedSockets([given])
    )
    assert not mine.inherited and bound.sockets == (given,)
    close_all([mine, bound])
    assert not (tmp_path / "http.sock").exists()


def test_the_socket_file_is_the_service_managers(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    given = socket.socket(socket.AF_UNIX)
    given.bind(str(path))
    given.listen()
    close_all(bind_all([http(f"unix:{path}")], InheritedSockets([given])))
    assert path.exists()


def test_a_socket_that_nobody_serves_is_an_error() -> None:
    given, other = listening(), listening("::1")
    names = [f"127.0.0.1:{given.getsockname()[1]}", f"[::1]:{other.getsockname()[1]}"]
    with pytest.raises(StartError) as raised:
        bind_all([http(names[0])], InheritedSockets([given, other]))
    assert raised.value.lines == (
        f"the service manager passes a socket on {names[1]}, but no listener has that address",
    )
    assert (given.fileno(), other.fileno()) == (-1, -1)


@pytest.mark.parametrize(("owner", "count"), [("1", "1"), ("", "1"), (None, "many"), (None, "")])
def test_what_is_not_meant_for_us_is_left_alone(monkeypatch: pytest.MonkeyPatch, owner: str | None, count: str) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if owner is None else owner)
    monkeypatch.setenv("LISTEN_FDS", count)
    InheritedSockets.from_environment().require_empty()
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize("kind", ["file", "bound", "datagram"])
def test_what_cannot_be_served_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    opened: socket.socket | None = None
    if kind == "file":
        number = os.open(tmp_path / "file", os.O_CREAT | os.O_RDONLY)
    else:
        opened = socket.socket(type=socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
        opened.bind(("127.0.0.1", 0))
        number = opened.detach()
    monkeypatch.setattr("filterproxy.app.inherited._FIRST", number)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with pytest.raises(StartError, match="LISTEN_FDS is no"):
        InheritedSockets.from_environment()
