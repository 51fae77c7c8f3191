"""Listening sockets: bound once by the supervisor, before anything else starts, and inherited by every worker.

The rule: a socket file is removed only when it is a socket and nobody answers on it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filterproxy.app.errors import StartError
from filterproxy.app.holder import holder_of
from filterproxy.app.inherited import InheritedSockets
from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import Listener

BACKLOG = 512
# Owner and group may connect: the MTA's user joins our group, nobody else talks to the filter.
_SOCKET_FILE_UMASK = 0o117
_PROBE_TIMEOUT = 1.0

_HINTS = {
    errno.EADDRINUSE: "another filterproxy or mail server? `ss -lxtnp` shows it",
    errno.EACCES: "a port below 1024 needs root or CAP_NET_BIND_SERVICE, a socket file a writable folder",
    errno.EADDRNOTAVAIL: "no interface of this machine has this address",
    errno.ENOENT: "the folder of the socket file does not exist",
}


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener's configuration with its listening sockets (a host name may stand for several addresses).

    `inherited` ones belong to the service manager: their socket files are not ours to remove.
    """

    config: Listener
    sockets: tuple[socket.socket, ...]
    inherited: bool = False

    def close(self) -> None:
        """Close this process's copies of the sockets; other processes keep theirs."""
        for sock in self.sockets:
            sock.close()


def bind_all(listeners: Sequence[Listener], inherited: InheritedSockets | None = None) -> tuple[BoundListener, ...]:
    """Return every listener bound and listening; raise StartError, with nothing left open, when one cannot be."""
    bound: list[BoundListener] = []
    inherited = inherited or InheritedSockets()
    try:
        for listener in listeners:
            given = inherited.take(_targets(listener.address))
            bound.append(BoundListener(listener, given or bind(listener.address), inherited=bool(given)))
        inherited.require_empty()
    except StartError:
        close_all(bound)
        raise
    return tuple(bound)


def bind(address: SocketAddress) -> tuple[socket.socket, ...]:
    """Return non-blocking sockets that listen on the address; raise StartError saying why not."""
    try:
        return (_bind_unix(Path(address.path)),) if address.path else tuple(_bind_tcp(address))
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {_explain(error, address)}", temporary=True) from error


def close_all(bound: Iterable[BoundListener]) -> None:
    """Close the listeners and remove their socket files: from now on nobody can connect any more."""
    for listener in bound:
        for sock in listener.sockets:
            if sock.family == socket.AF_UNIX and sock.fileno() >= 0 and not listener.inherited:
                with suppress(FileNotFoundError):
                    Path(sock.getsockname()).unlink()
        listener.close()


def _targets(address: SocketAddress) -> list[object]:
    """Return what `getsockname` gives for the sockets of an address; none when it cannot be resolved."""
    if address.path:
        return [address.path]
    with suppress(OSError):
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [target for *_, target in found]
    return []


def _explain(error: OSError, address: SocketAddress) -> str:
    text = (error.strerror or str(error)).lower()
    if error.errno == errno.EADDRINUSE:
        holders = filter(None, (holder_of(target) for target in _targets(address)))
        if holder := next(holders, ""):
            return f"{text}: {holder} listens there"
    hint = _HINTS.get(error.errno or 0)
    return f"{text} ({hint})" if hint else text


def _bind_tcp(address: SocketAddress) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    opened: list[socket.socket] = []
    try:
        for family, kind, protocol, _, target in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(target)
            _listen(sock)
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return iter(opened)


def _bind_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _umask(_SOCKET_FILE_UMASK):
            sock.bind(str(path))
        _listen(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _listen(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.listen(BACKLOG)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is no socket is in the way")
    if _answers(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    """Tell whether a process listens; one that we may not ask, or whose queue is full, does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
