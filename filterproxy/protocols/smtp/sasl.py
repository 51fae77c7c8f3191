"""The client's side of AUTH mechanisms (RFC 4616 PLAIN, LOGIN, RFC 7628 OAUTHBEARER, Google's XOAUTH2), without I/O.

The rule: only mechanisms that send a secret through TLS as it is; nothing here is ever shown to anybody.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field

PASSWORD_MECHANISMS = ("PLAIN", "LOGIN")
TOKEN_MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One attempt: `initial` goes with the AUTH command unless None, `responses` answer the 334s in order.

    After them `final` is what a further 334 gets: a server that refuses a token says why in a challenge first and
    gives its 5xx only when that was acknowledged.
    """

    mechanism: str
    initial: bytes | None = field(repr=False)
    responses: tuple[bytes, ...] = field(default=(), repr=False)
    final: bytes | None = None
    secret: bytes = field(default=b"", repr=False)

    def command(self) -> bytes:
        """Return the argument of AUTH."""
        name = self.mechanism.encode("ascii")
        return name if self.initial is None else name + b" " + encode(self.initial)

    def response(self, number: int) -> bytes:
        """Return the line that answers the 334 of that number, from 0; `*` gives up (RFC 4954 section 4)."""
        if number < len(self.responses):
            return encode(self.responses[number])
        if number == len(self.responses) and self.final is not None:
            return base64.b64encode(self.final)
        return b"*"

    def secrets(self) -> tuple[str, ...]:
        """Return every text that must not be shown: the secret, plain and encoded, alone and in what it is sent in."""
        whole = [self.initial] if self.initial else []
        octets = [self.secret, *whole, *(response for response in self.responses if self.secret in response)]
        texts = {part.decode("utf-8", "replace") for part in octets}
        texts |= {base64.b64encode(part).decode("ascii") for part in octets}
        return tuple(sorted(texts, key=len, reverse=True))


def encode(octets: bytes) -> bytes:
    """Return base64, and `=` for nothing at all (RFC 4954 section 4)."""
    return base64.b64encode(octets) or b"="


def decode(line: bytes) -> bytes:
    """Return what a base64 line says; raise ValueError when it is none."""
    try:
        return b"" if line == b"=" else base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def with_password(mechanism: str, username: str, password: str) -> Exchange:
    """Return the exchange for PLAIN or LOGIN; raise ValueError for a NUL in either."""
    user, secret = username.encode("utf-8"), password.encode("utf-8", "surrogateescape")
    if b"\0" in user + secret:
        raise ValueError("a user name or password with NUL cannot be sent")
    if mechanism == "LOGIN":
        return Exchange("LOGIN", None, (user, secret), secret=secret)
    return Exchange("PLAIN", b"\0" + user + b"\0" + secret, secret=secret)


def with_token(mechanism: str, username: str, token: str, host: str = "", port: int = 0) -> Exchange:
    """Return the exchange for XOAUTH2 or OAUTHBEARER; raise ValueError for what cannot be in one."""
    if any(char < "!" or char > "~" for char in token) or "\1" in username or "\0" in username:
        raise ValueError("no access token: it has characters that no token has")
    bearer = f"auth=Bearer {token}\1\1"
    if mechanism == "XOAUTH2":
        return Exchange("XOAUTH2", f"user={username}\1{bearer}".encode(), final=b"", secret=token.encode())
    name = username.replace("=", "=3D").replace(",", "=2C")
    initial = f"n,a={name},\1host={host}\1port={port}\1{bearer}"
    return Exchange("OAUTHBEARER", initial.encode(), final=b"\1", secret=token.encode())


def choose(offered: Iterable[str], usable: Iterable[str]) -> str | None:
    """Return the first usable mechanism that is offered."""
    return next((mechanism for mechanism in usable if mechanism in offered), None)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every secret in it as `***`; one of two characters or less would hide all else."""
    for secret in secrets:
        if len(secret) > 2:
            text = text.replace(secret, "***")
    return text
