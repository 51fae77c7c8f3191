"""Listening sockets: bound once, in use is said clearly, a stale socket file is taken over and nothing else."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from filterproxy.app.errors import StartError
from filterproxy.app.sockets import bind, bind_all, close_all
from filterproxy.config.addresses import SocketAddress, parse_address
from filterproxy.config.listeners import HttpListener


def http(address: str) -> HttpListener:
    return HttpListener(type="http", address=parse_address(address))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bound_port_takes_connections_before_anybody_accepts() -> None:
    port = free_port()
    (bound,) = bind_all([http(f"127.0.0.1:{port}")])
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            assert not bound.sockets[0].getblocking()
    finally:
        close_all([bound])


def test_a_port_in_use_is_one_clear_line_and_leaves_nothing_open() -> None:
    free = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as raised:
            bind_all([http(f"127.0.0.1:{free}"), http(f"127.0.0.1:{port}")])
    (line,) = raised.value.lines
    assert line.startswith(f"cannot listen on 127.0.0.1:{port}: address already in use: ")
    assert line.endswith(f" (pid {os.getpid()}) listens there")
    assert raised.value.temporary
    close_all(bind_all([http(f"127.0.0.1:{free}")]))  # the first one was given back


def test_an_address_of_another_machine_is_explained() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:2525: .*no interface of this machine"):
        bind(SocketAddress("192.0.2.1", 2525))


def test_a_socket_file_is_for_owner_and_group_and_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "milter.sock"
    bound = bind_all([http(f"unix:{path}")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    close_all(bound)
    assert not path.exists()


def test_a_stale_socket_file_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    (sock,) = bind(SocketAddress(path=str(path)))
    with sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_file_that_answers_is_in_use_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(StartError, match=rf"address already in use: .* \(pid {os.getpid()}\) listens there"):
            bind(SocketAddress(path=str(path)))
        assert path.is_socket()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("keep me")
    with pytest.raises(StartError, match="a file that is no socket is in the way"):
        bind(SocketAddress(path=str(path)))
    assert path.read_text() == "keep me"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="the folder of the socket file does not exist"):
        bind(SocketAddress(path=str(tmp_path / "nowhere" / "x.sock")))
