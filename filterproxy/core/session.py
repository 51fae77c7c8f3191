"""A session: one SMTP connection as the listener knows it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Client:
    """The SMTP client as told by the MTA: IP text (`192.0.2.1`, `2001:db8::1`, empty when unknown), verified
    reverse name (empty when unknown) and port."""

    address: str = ""
    name: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """What is known of the client's TLS: protocol version and cipher, as OpenSSL names them."""

    version: str = ""
    cipher: str = ""


@dataclass(slots=True)
class Session:
    """One connection to a listener. `local` marks a client of our own (local_networks, not just trusted)."""

    id: str
    listener: str
    client: Client = field(default_factory=Client)
    helo: str = ""
    protocol: str = "ESMTP"
    tls: Tls | None = None
    user: str = ""
    local: bool = False
