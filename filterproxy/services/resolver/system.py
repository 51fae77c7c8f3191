"""The system's name servers: those of /etc/resolv.conf, also after the file has changed.

The one rule: only its `nameserver` lines count. `search` and `domain` are never used: a name of a stranger's mail must
not be looked for in our own domain.
"""

from __future__ import annotations

from pathlib import Path

import dns.resolver

RESOLV_CONF = Path("/etc/resolv.conf")
_LOOPBACK = ("127.0.0.1", 53)  # what resolv.conf(5) says for a file without a nameserver

Servers = list[tuple[str, int]]
_Signature = tuple[int, int, int]


class SystemServers:
    """The servers of a resolv.conf file. `servers` is never empty; `changed()` says when they are others."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path
        self._signature = _signature(path)
        self.servers = _read(path) or [_LOOPBACK]

    def changed(self) -> Servers | None:
        """Return the servers when they are others than before, else None; a file that names none changes nothing."""
        signature = _signature(self._path)
        if signature is None or signature == self._signature:
            return None
        self._signature = signature
        servers = _read(self._path)
        if not servers or servers == self.servers:
            return None
        self.servers = servers
        return servers


def _signature(path: Path) -> _Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(path: Path) -> Servers:
    try:
        return [(str(server), 53) for server in dns.resolver.Resolver(str(path)).nameservers]
    except (dns.resolver.NoResolverConfiguration, OSError, ValueError):
        return []
