"""Who may ask what over HTTP: trusted networks, two passwords, and a limit on guessing.

The rule: a password is compared with an argon2 hash in a thread, one at a time, and never kept, logged or told. An
address in trusted_networks needs none, unless a proxy or a browser's page speaks through it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from enum import IntEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from starlette.requests import Request

from filterproxy.config.listeners import HttpListener as HttpConfig
from filterproxy.core.ports import Site
from filterproxy.listeners.context import ListenerContext
from filterproxy.protocols.rspamd_http import RefusedRequestError

_MOST_CLIENTS = 10_000
_LONGEST_PASSWORD = 1024


class Right(IntEnum):
    """What a client may do; each includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2


class Access:
    """The passwords of one listener and the failures of its clients."""

    def __init__(self, config: HttpConfig, context: ListenerContext) -> None:
        self._context, self._limits = context, config.limits
        # The stronger first: where both are the same password it gives the stronger right.
        self._hashes = [
            (right, known)
            for right, known in ((Right.WRITE, config.enable_password), (Right.READ, config.password))
            if known is not None
        ]
        self._hasher = PasswordHasher()
        self._turn = asyncio.Lock()
        self._key = secrets.token_bytes(32)
        self._right: dict[bytes, Right] = {}
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def require(self, request: Request, password: str, wanted: Right) -> None:
        """Return when the client has the right; raise RefusedRequestError otherwise."""
        if is_trusted(request, self._context.site):
            return
        if not password:
            raise RefusedRequestError(401, "unauthorized: a password is needed, or a client in trusted_networks")
        right = await self._right_of(client_network(request), password)
        if right is Right.NONE:
            raise RefusedRequestError(401, "unauthorized: wrong password")
        if right < wanted:
            raise RefusedRequestError(403, "this needs the enable password, or a client in trusted_networks")

    def may_write(self, request: Request, password: str) -> bool:
        """Tell whether a client that was let in already may change something too."""
        return is_trusted(request, self._context.site) or self._right.get(self._digest(password)) is Right.WRITE

    def _digest(self, password: str) -> bytes:
        # Keyed: the time that looking it up takes tells nothing about a password.
        return hmac.digest(self._key, password.encode("utf-8", "surrogateescape"), hashlib.sha256)

    async def _right_of(self, client: str, password: str) -> Right:
        digest = self._digest(password)
        if digest in self._right:
            return self._right[digest]
        async with self._turn:
            self.refuse_guessing(client)
            right = await asyncio.to_thread(self._check, password)
            if right is Right.NONE:
                self.count_failure(client)
            else:
                self._right[digest] = right
        self._context.metrics.authenticated(ok=right is not Right.NONE)
        return right

    def _check(self, password: str) -> Right:
        if len(password) > _LONGEST_PASSWORD:
            return Right.NONE
        for right, known in self._hashes:
            try:
                if self._hasher.verify(known, password.encode("utf-8", "surrogateescape")):
                    return right
            except (VerificationError, InvalidHashError):
                continue
        return Right.NONE

    def refuse_guessing(self, client: str) -> None:
        """Raise RefusedRequestError for a client that gave too many wrong passwords or tokens."""
        since, count = self._failures.get(client, (0.0, 0))
        left = since + self._limits.password_failure_window - self._context.clock.monotonic()
        if count >= self._limits.password_failures and left > 0:
            raise RefusedRequestError(429, "too many wrong passwords or tokens; try again later")

    def count_failure(self, client: str) -> None:
        """Count a wrong password or token."""
        now = self._context.clock.monotonic()
        since, count = self._failures.pop(client, (now, 0))
        if now - since > self._limits.password_failure_window:
            since, count = now, 0
        self._failures[client] = since, count + 1
        if len(self._failures) > _MOST_CLIENTS:
            self._failures.popitem(last=False)
        if count + 1 == self._limits.password_failures:
            self._context.log.warning("http", f"too many wrong passwords or tokens from {client}: refused for a while")


def is_trusted(request: Request, site: Site) -> bool:
    """Tell whether the request needs no password.

    A reverse proxy makes the whole world look like loopback, so every address that it names must be trusted as well;
    a page in somebody's browser can reach loopback too, and such requests carry `Origin`.
    """
    if "origin" in request.headers or _is_rebound(request):
        return False
    named = request.headers.getlist("x-forwarded-for") + request.headers.getlist("x-real-ip")
    addresses = [address.strip() for value in named for address in value.split(",")]
    if "forwarded" in request.headers or not all(site.is_trusted(address) for address in addresses):
        return False
    # No address: a unix socket, which owner and group alone may use.
    return request.client is None or site.is_trusted(request.client.host)


def _is_rebound(request: Request) -> bool:
    """Tell whether a browser asks for a domain name: a page may have had its own name resolved to this machine."""
    if not request.headers.get("user-agent", "").startswith("Mozilla/"):
        return False
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host != "localhost"
    return False


def client_network(request: Request) -> str:
    """Return what failures are counted by: an IPv4 address or an IPv6 /64."""
    host = request.client.host if request.client else "unix"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False))


def password_of(request: Request, in_header: str) -> str:
    """Return the password of the `Password` header, or of the query."""
    values: Sequence[str] = request.query_params.getlist("password")
    return in_header or (values[-1] if values else "")
