"""Public keys in DNS (RFC 6376 section 3.6.1): found, parsed and judged before any signature is.

The one rule: what RFC 8301 and RFC 8463 do not allow, and what the key's owner excluded, is a permerror.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from dkim.util import InvalidTagValueList, parse_tag_value

from filterproxy.core.ports import DnsAnswer, DnsStatus, Resolver
from filterproxy.services.signatures.content import squeezed
from filterproxy.services.signatures.result import SignatureProblem, permerror

MIN_RSA_BITS = 1024  # RFC 8301 section 3.2
MAX_RSA_BITS = 8192
MAX_RECORD = 8192

_SHA256 = Prehashed(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Key:
    """A usable public key. `exact_identity` is its flag t=s, `testing` its flag t=y."""

    public: RSAPublicKey | Ed25519PublicKey
    exact_identity: bool = False
    testing: bool = False

    @property
    def algorithm(self) -> str:
        """Return the only a= that this key can verify."""
        return "rsa-sha256" if isinstance(self.public, RSAPublicKey) else "ed25519-sha256"

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Tell whether the signature over the SHA-256 digest is the key's."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, PKCS1v15(), _SHA256)
            else:
                self.public.verify(signature, digest)  # RFC 8463 section 3: Ed25519 signs the digest
        except InvalidSignature:
            return False
        return True


Keys = dict[str, Key | SignatureProblem]


async def fetch_keys(resolver: Resolver, names: Iterable[str]) -> Keys:
    """Ask for all keys at once; each is usable or a problem that says why not."""
    wanted = sorted(set(names))
    answers = await asyncio.gather(*(resolver.resolve(name, "TXT") for name in wanted))
    return {name: _key_or_problem(answer) for name, answer in zip(wanted, answers, strict=True)}


def key_name(selector: str, domain: str) -> str:
    """Return the name that holds the key."""
    return f"{selector}._domainkey.{domain}".lower()


def _key_or_problem(answer: DnsAnswer) -> Key | SignatureProblem:
    if answer.status is DnsStatus.TEMPERROR:
        return SignatureProblem("temperror", f"key unavailable: {answer.reason}")
    problem = permerror("no key for signature")
    for record in answer.records:
        found = _parsed(record) if len(record) <= MAX_RECORD else permerror("key record too long")
        # A name may hold other TXT records too (a wildcard's SPF); the first key-like one decides the reason.
        if isinstance(found, Key) or b"p=" in record:
            return found
        problem = found
    return problem


@lru_cache(maxsize=1024)
def _parsed(record: bytes) -> Key | SignatureProblem:
    """Return the key or why it must not be used; kept, because much mail comes from few senders."""
    try:
        return parse_key(record)
    except SignatureProblem as problem:
        return SignatureProblem(problem.word, problem.reason)  # without the traceback and all that it holds


def parse_key(record: bytes) -> Key:
    """Return the key of a TXT record; raise SignatureProblem when it must not be used."""
    try:
        tags = parse_tag_value(squeezed(record))
    except InvalidTagValueList as error:
        raise permerror("key record is no tag list") from error
    if tags.get(b"v", b"DKIM1") != b"DKIM1":
        raise permerror("key record of an unknown version")
    if b"p" not in tags:
        raise permerror("key record without a key")
    _check_use(tags)
    flags = _words(tags.get(b"t", b""))
    encoded = tags[b"p"].replace(b" ", b"")
    if not encoded:
        raise permerror("key revoked")
    public = _load(tags.get(b"k", b"rsa").lower(), encoded)
    return Key(public, exact_identity=b"s" in flags, testing=b"y" in flags)


def _words(value: bytes) -> list[bytes]:
    return [word.strip().lower() for word in value.split(b":")]


def _check_use(tags: dict[bytes, bytes]) -> None:
    """Raise when the owner restricted the key to other hashes (h=) or services (s=)."""
    if b"h" in tags and b"sha256" not in _words(tags[b"h"]):
        raise permerror("key does not allow sha256")
    if b"s" in tags and not {b"*", b"email"} & set(_words(tags[b"s"])):
        raise permerror("key is not for email")


def _load(kind: bytes, encoded: bytes) -> RSAPublicKey | Ed25519PublicKey:
    try:
        der = binascii.a2b_base64(encoded, strict_mode=True)
        if kind == b"ed25519":
            return Ed25519PublicKey.from_public_bytes(der)
        public = serialization.load_der_public_key(der) if kind == b"rsa" else None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise permerror("key does not parse") from error
    if public is None:
        raise permerror("key of an unknown type")
    if not isinstance(public, RSAPublicKey):
        raise permerror("key of another type than it says")
    if not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        raise permerror(f"RSA key of {public.key_size} bits")
    return public
