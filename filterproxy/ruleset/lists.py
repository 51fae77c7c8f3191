"""List files: one entry a line, read again when the file changes.

The rule: a list that cannot be read any more keeps its last entries, and says why.

An entry is an address (`a@example.org`), a domain (`example.org`: that name alone; `.example.org`: it and every name
below it), an IP address or a network (`192.0.2.0/24`), or any other word; `#` begins a comment. Letter case does not
count.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from filterproxy.core.errors import ConfigError
from filterproxy.core.ports import Network
from filterproxy.message.domains import ascii_domain

MAX_BYTES = 64 * 1024 * 1024
_COMMENT = re.compile(r"(?:^|\s)#.*")
_DOMAIN = re.compile(r"\.?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")
_Key = tuple[int, int]


@dataclass(slots=True)
class Entries:
    """The entries of one reading of a file."""

    words: frozenset[str] = frozenset()
    below: frozenset[str] = frozenset()
    networks: dict[_Key, set[int]] = field(default_factory=dict)

    def has_word(self, text: str) -> bool:
        """Tell whether a word, address or domain is listed; a domain also by an entry for all below its parent."""
        word = text.lower()
        if word in self.words or word in self.below:
            return True
        return bool(self.below) and self._is_below(word)

    def _is_below(self, word: str) -> bool:
        at = word.find(".")
        while at >= 0:
            if word[at + 1 :] in self.below:
                return True
            at = word.find(".", at + 1)
        return False

    def has_address(self, address: str) -> bool:
        """Tell whether an IP address lies in a listed network."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        bits, number = parsed.max_prefixlen, int(parsed)
        return any(
            version == parsed.version and number >> (bits - length) in found
            for (version, length), found in self.networks.items()
        )

    def add_network(self, network: Network) -> None:
        """List a network."""
        shift = network.max_prefixlen - network.prefixlen
        key = (network.version, network.prefixlen)
        self.networks.setdefault(key, set()).add(int(network.network_address) >> shift)


class ListFile:
    """One list file. `senders`: only addresses, domains and networks are valid entries."""

    def __init__(self, path: Path, *, senders: bool = False) -> None:
        self.path = path
        self.senders = senders
        self._seen = self._signature()
        self.entries = self._read()

    def refresh(self) -> bool:
        """Read the file again when it changed; tell whether it did. Raises ConfigError, and keeps what it had."""
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        self.entries = self._read()
        return True

    def _signature(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0, 0
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Entries:
        try:
            with self.path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise ConfigError(f"larger than {MAX_BYTES} bytes", file=str(self.path))
            lines = raw.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(f"cannot read the list: {reason}", file=str(self.path)) from error
        return self._parse(lines)

    def _parse(self, lines: list[str]) -> Entries:
        entries = Entries()
        words: set[str] = set()
        below: set[str] = set()
        for number, line in enumerate(lines, 1):
            entry = _COMMENT.sub("", line).strip().lower()
            if not entry:
                continue
            network = _network(entry)
            if network is not None:
                entries.add_network(network)
                words.add(entry)
                continue
            if self.senders:
                entry = self._sender(entry, number)
            (below if entry[0] == "." else words).add(entry.removeprefix("."))
        entries.words, entries.below = frozenset(words), frozenset(below)
        return entries

    def _sender(self, entry: str, line: int) -> str:
        local, at, domain = entry.rpartition("@")
        dot = "." if domain.startswith(".") else ""
        ascii_name = dot + ascii_domain(domain.removeprefix("."))
        if not _DOMAIN.match(ascii_name) or (at and (dot or " " in local)):
            raise ConfigError(
                f"{entry!r} is no address, domain or network",
                file=str(self.path),
                line=line,
                hint="write a@example.org, example.org, .example.org (with all names below it) or 192.0.2.0/24",
            )
        return f"{local}@{ascii_name}" if local else ascii_name


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
