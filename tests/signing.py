"""A DKIM signer for tests: every tag can be set, canonicalisation is dkimpy's and not ours."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from dkim.canonicalization import CanonicalizationPolicy

MESSAGE = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.net\r\n"
    b"Subject:  a   folded\r\n\tsubject \r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
    b"Hello  Bob, \t\r\n\r\nhow are you?\r\n\r\n\r\n"
)
_HASHES = {"sha256": (hashlib.sha256, hashes.SHA256()), "sha1": (hashlib.sha1, hashes.SHA1())}


@cache
def rsa_key(bits: int = 2048) -> Any:
    """Return a fresh RSA key, the same one for the whole run."""
    return rsa.generate_private_key(65537, bits)


@cache
def ed25519_key() -> Any:
    """Return a fresh Ed25519 key."""
    return ed25519.Ed25519PrivateKey.generate()


def key_record(key: Any, **tags: str) -> bytes:
    """Return the TXT record of a key; `tags` are added (or replace `p`)."""
    public = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        kind, der = "ed25519", public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        kind = "rsa"
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    all_tags = {"v": "DKIM1", "k": kind, **tags}
    all_tags.setdefault("p", base64.b64encode(der).decode())
    return "; ".join(f"{tag}={value}" for tag, value in all_tags.items()).encode()


def sign(
    raw: bytes,
    key: Any,
    *,
    hash_name: str = "sha256",
    signed: str = "from:to:subject:date",
    form: str = "",
    separator: str = "; ",
    **tags: str | None,
) -> bytes:
    """Return the message with a DKIM-Signature on top; a tag of None is left out.

    `form` is how it is canonicalised when that is not what c= says; `separator` stands between the tags.
    """
    fields, body = dkim.rfc822_parse(raw)
    kind = "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "rsa"
    policy = CanonicalizationPolicy.from_c_value((form or tags.get("c") or "relaxed/relaxed").encode())
    digest, algorithm = _HASHES[hash_name]
    canonical = policy.canonicalize_body(body)
    if tags.get("l"):
        canonical = canonical[: int(tags["l"] or 0)]
    values: dict[str, str | None] = {
        "v": "1",
        "a": f"{kind}-{hash_name}",
        "c": "relaxed/relaxed",
        "d": "example.org",
        "s": "sel",
        "h": signed,
        "bh": base64.b64encode(digest(canonical).digest()).decode(),
        **tags,
    }
    texts = [f"{tag}={text}" for tag, text in values.items() if text is not None]
    value = " " + separator.join([*texts, "b="])
    names = [name.strip().encode() for name in signed.lower().split(":")]
    selected = dkim.select_headers(policy.canonicalize_headers(fields), names)
    own = policy.canonicalize_headers([(b"DKIM-Signature", value.encode() + b"\r\n")])
    octets = b"".join(name + b":" + text for name, text in [*selected, *((n, t.rstrip()) for n, t in own)])
    hashed = digest(octets).digest()
    options = () if kind == "ed25519" else (padding.PKCS1v15(), Prehashed(algorithm))
    signature = key.sign(hashed, *options)
    return b"DKIM-Signature:" + value.encode() + base64.b64encode(signature) + b"\r\n" + raw


@cache
def _pem() -> bytes:
    return rsa_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def seal(raw: bytes, domain: str, *seen: str) -> bytes:
    """Return the message with one more ARC set, as a forwarder of that domain adds it who saw these results."""
    host = f"mx.{domain}"
    results = "".join(f"; {result}" for result in seen) or "; none"
    own = f"Authentication-Results: {host}{results}\r\n".encode()
    fields = dkim.arc_sign(own + raw, b"sel", domain.encode(), _pem(), host.encode())
    assert fields, "dkimpy seals nothing without a readable Authentication-Results"
    return b"".join(fields) + own + raw
