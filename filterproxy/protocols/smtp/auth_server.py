"""SASL as AUTH carries it (RFC 4954): base64 lines, the dialogues of PLAIN and LOGIN, and who a client says it is.

The rule: a mechanism with a security layer or channel binding is never offered, as it would bind to a connection that
ends at this proxy (RFC 5802 section 6, RFC 4752).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from filterproxy.protocols.smtp import replies
from filterproxy.protocols.smtp.replies import Refused

# What can be passed through: each proves itself by what it says, whatever lies between client and server.
PASSABLE = frozenset({
    "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "CRAM-MD5",
    "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512",
})  # fmt: skip
# What is checked here against the password file.
CHECKED_HERE = frozenset({"PLAIN", "LOGIN"})
_CANCEL = b"*"
_MAX_NAME = 255
_OAUTH_USER = re.compile(r"(?:\A|\x01)user=([^\x01]*)")
_GS2_USER = re.compile(r"\A[^,]*,(?:a=([^,]*))?,")
_SCRAM_USER = re.compile(r"\A[^,]*,[^,]*,(?:m=[^,]*,)?n=([^,]*),")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a client says it is, and its proof; the password never shows in a repr."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, …)"


def passable(offered: Iterable[str]) -> frozenset[str]:
    """Return which of a next hop's mechanisms can be passed through to a client.

    Where SCRAM is offered with channel binding too, a client that knows it would take its absence here for an attack.
    """
    names = frozenset(offered)
    return frozenset(name for name in names & PASSABLE if f"{name}-PLUS" not in names)


def decode_response(line: bytes) -> bytes:
    """Return the octets of a client's line; raise Refused when it cancels or is no base64."""
    if line == _CANCEL:
        raise Refused(replies.AUTH_CANCELLED)
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Refused(replies.BAD_BASE64) from None


def encode_challenge(text: bytes) -> str:
    """Return a challenge as a 334 reply carries it."""
    return base64.b64encode(text).decode("ascii")


def parse_plain(response: bytes) -> Credentials:
    """Return the credentials of PLAIN (RFC 4616); raise Refused when they are none, or for another user's name."""
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise Refused(replies.BAD_BASE64)
    authzid, user, password = (_text(part) for part in parts)
    if not user or not password:
        raise Refused(replies.BAD_CREDENTIALS)
    if authzid not in ("", user):
        raise Refused(replies.BAD_CREDENTIALS)
    return Credentials(user, password)


def parse_login(user: bytes, password: bytes) -> Credentials:
    """Return the credentials of LOGIN's two responses."""
    if not user or not password or b"\0" in user + password:
        raise Refused(replies.BAD_CREDENTIALS)
    return Credentials(_text(user), _text(password))


def claimed_user(mechanism: str, responses: Iterable[bytes]) -> str:
    """Return the name in a dialogue that somebody else judged, empty when the mechanism shows none.

    `responses` are the client's, decoded, in order.
    """
    texts = [response.decode("utf-8", "replace") for response in responses]
    first = texts[0] if texts else ""
    match mechanism:
        case "PLAIN":
            parts = first.split("\0")
            name = parts[1] if len(parts) == 3 else ""
        case "LOGIN":
            name = first
        case "XOAUTH2":
            name = _group(_OAUTH_USER, first)
        case "OAUTHBEARER":
            name = _group(_GS2_USER, first)
        case "CRAM-MD5":
            name = first.rpartition(" ")[0]
        case _ if mechanism.startswith("SCRAM-"):
            name = _group(_SCRAM_USER, first).replace("=2C", ",").replace("=3D", "=")
        case _:
            name = ""
    return name[:_MAX_NAME]


def _group(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return (match[1] or "") if match else ""


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(replies.BAD_CREDENTIALS) from None
