"""Sealing: one more ARC set on a message that is passed on changed (RFC 8617 section 5.1).

The one rule: only a chain that holds, or a message without one, is sealed; a chain that fails stays as it is, for a
seal over it would vouch for what nobody knows.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from filterproxy.message import Message
from filterproxy.services.signatures.arc_sets import KINDS, MAX_INSTANCES, ArcSets
from filterproxy.services.signatures.content import RELAXED, Field, SignedContent
from filterproxy.services.signatures.keys import MAX_RSA_BITS, MIN_RSA_BITS
from filterproxy.services.signatures.result import SignatureProblem

# RFC 6376 section 5.4.1, and what a mailing list or a later MTA rarely touches. Never Authentication-Results nor ARC.
_SIGNED = (
    *("from", "reply-to", "sender", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe", "dkim-signature"),
)
_LINE = 72
_NAMES = 6  # a line
_SHA256 = Prehashed(hashes.SHA256())

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sealer:
    """Whose seal: the domain, the selector of its key in DNS, and the key."""

    domain: str
    selector: str
    key: RSAPrivateKey

    def seal(self, raw: bytes, results: str, validity: str, now: datetime) -> Fields:
        """Return the fields of a new set for the very top of the message, topmost first; none when it cannot have one.

        `raw` is the message as it is passed on, without this set; `results` the value of Authentication-Results;
        `validity` what we found the chain to be: `none` or `pass`.
        """
        content = SignedContent(Message(raw))
        chain = [field for kind in KINDS for field in content.named(kind)]
        instance = len(chain) // len(KINDS) + 1
        if validity != ("pass" if chain else "none") or content.incomplete or instance > MAX_INSTANCES:
            return ()
        seconds = int(now.timestamp())
        seen = ("ARC-Authentication-Results", f"i={instance}; {results}")
        signed = self._message_signature(content, instance, seconds)
        name, tags = (
            "ARC-Seal",
            f"i={instance}; a=rsa-sha256; t={seconds}; cv={validity};\n\td={self.domain}; s={self.selector};\n\tb=",
        )
        try:
            sets = ArcSets([*chain, *map(_as_field, (seen, signed, (name, tags)))])
        except SignatureProblem:  # somebody else's fields are not what they were when the chain was judged
            return ()
        return ((name, tags + self._signature(sets.seal_hash(instance))), signed, seen)

    def _message_signature(self, content: SignedContent, instance: int, seconds: int) -> tuple[str, str]:
        # From once more than there is one, so that none is added.
        names = ["from", *(name for name in _SIGNED for _ in content.named(name.encode()))]
        body = base64.b64encode(content.body_hash(RELAXED, None)).decode()
        name, tags = (
            "ARC-Message-Signature",
            f"i={instance}; a=rsa-sha256; c=relaxed/relaxed; d={self.domain};\n\ts={self.selector}; t={seconds};\n\t"
            f"h={_joined(names)};\n\tbh={body};\n\tb=",
        )
        covered = [name.encode() for name in names]
        return name, tags + self._signature(content.header_hash(covered, RELAXED, _as_field((name, tags))))

    def _signature(self, digest: bytes) -> str:
        text = base64.b64encode(self.key.sign(digest, PKCS1v15(), _SHA256)).decode()
        return "\n\t ".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))


def _as_field(field: tuple[str, str]) -> Field:
    name, value = field
    return Field(f"{name}: {value}\n".encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n"))


def _joined(names: list[str]) -> str:
    """Return the names for h=, folded."""
    lines = [":".join(names[start : start + _NAMES]) for start in range(0, len(names), _NAMES)]
    return ":\n\t ".join(lines)


def load_key(path: Path) -> RSAPrivateKey:
    """Return the private key of a PEM file; raise ValueError saying what is wrong with it."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} is no PEM file with an unencrypted private key") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{path} holds no RSA key, and ARC has no other kind yet")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise ValueError(f"{path} holds an RSA key of {key.key_size} bits; use 2048")
    return key
