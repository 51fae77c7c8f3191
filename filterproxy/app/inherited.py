"""Sockets that a service manager opened for us (sd_listen_fds(3)): socket activation.

The rule: each of them must be one that the configuration names; a socket nobody serves would swallow connections.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from filterproxy.app.errors import StartError

_FIRST = 3


class InheritedSockets:
    """The sockets this process was started with, to be taken by the listeners they belong to."""

    def __init__(self, sockets: Iterable[socket.socket] = ()) -> None:
        self._sockets = list(sockets)

    @classmethod
    def from_environment(cls) -> InheritedSockets:
        """Take over the sockets of LISTEN_FDS, if they are for this process; raise StartError for what is none."""
        count = os.environ.pop("LISTEN_FDS", "")
        owner = os.environ.pop("LISTEN_PID", "")
        os.environ.pop("LISTEN_FDNAMES", None)
        if owner != str(os.getpid()) or not count.isdigit():
            return cls()
        return cls(_socket(number) for number in range(_FIRST, _FIRST + int(count)))

    def take(self, addresses: Iterable[object]) -> tuple[socket.socket, ...]:
        """Return the sockets bound to one of the addresses, as `getsockname` gives them; each is given once."""
        wanted = [_plain(address) for address in addresses]
        taken = [sock for sock in self._sockets if _plain(sock.getsockname()) in wanted]
        self._sockets = [sock for sock in self._sockets if sock not in taken]
        return tuple(taken)

    def require_empty(self) -> None:
        """Raise StartError when a socket is left that no listener has taken."""
        names = [_name(sock) for sock in self._sockets]
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        if names:
            raise StartError(
                *(f"the service manager passes a socket on {name}, but no listener has that address" for name in names),
                temporary=False,
            )


def _socket(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    try:
        sock = socket.socket(fileno=number)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartError(f"descriptor {number} of LISTEN_FDS is no socket: {error.strerror}", temporary=False) from None
    if sock.type != socket.SOCK_STREAM or not listening:
        raise StartError(f"{_name(sock)} of LISTEN_FDS is no listening stream socket", temporary=False)
    sock.setblocking(False)
    return sock


def _plain(address: object) -> object:
    """Return an address as it can be compared: of IPv6's four parts the first two."""
    return address[:2] if isinstance(address, tuple) else address


def _name(sock: socket.socket) -> str:
    address = sock.getsockname()
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"
