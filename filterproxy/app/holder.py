"""Who holds a listening socket, for the error that says that an address is in use (Linux, proc(5)).

The rule: a help for people and nothing else: whatever cannot be found out is left out.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"
_ACCEPTING = 0x10000


def holder_of(address: object) -> str:
    """Return `name (pid 123)` of a process that listens where we want to, an empty text when nobody can be seen.

    `address` is a socket address as `getsockname` gives it: a path, or host and port first.
    """
    inodes = set(_unix_inodes(str(address))) if isinstance(address, str | bytes) else set(_tcp_inodes(address))
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return ""
    found = sorted(pid for pid in _pids() if wanted & set(_links(pid)))
    return f"{_name(found[0])} (pid {found[0]})" if found else ""


def _tcp_inodes(address: object) -> Iterator[str]:
    if not isinstance(address, tuple):
        return
    host, port = ipaddress.ip_address(str(address[0]).partition("%")[0]), int(address[1])
    for table in ("tcp", "tcp6"):
        for fields in _rows(Path("/proc/net") / table):
            local_host, _, local_port = fields[1].partition(":")
            if fields[3] == _LISTENING and int(local_port, 16) == port and _overlap(_address(local_host), host):
                yield fields[9]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of /proc/net/tcp: 32-bit words in the machine's own order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    octets = struct.pack(f"={len(words)}I", *words)
    if len(octets) == 4:
        return ipaddress.IPv4Address(octets)
    found = ipaddress.IPv6Address(octets)
    return found.ipv4_mapped or found


def _overlap(held: ipaddress.IPv4Address | ipaddress.IPv6Address, wanted: object) -> bool:
    return held == wanted or held.is_unspecified or getattr(wanted, "is_unspecified", False)


def _unix_inodes(path: str) -> Iterator[str]:
    for fields in _rows(Path("/proc/net/unix")):
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & _ACCEPTING:
            yield fields[6]


def _rows(table: Path) -> Iterator[list[str]]:
    with suppress(OSError):
        yield from (line.split() for line in table.read_text(encoding="utf-8", errors="replace").splitlines()[1:])


def _pids() -> list[int]:
    with suppress(OSError):
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return []


def _links(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(path.readlink())


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return "a process"
