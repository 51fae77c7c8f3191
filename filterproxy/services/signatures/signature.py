"""One DKIM-Signature field, read and judged as far as that is possible without a key (RFC 6376 section 6.1.1).

The one rule: blanks are squeezed before dkimpy's expressions see a value, because some of them go back over every run.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from filterproxy.message.domains import ascii_domain
from filterproxy.services.signatures.content import RELAXED, SIMPLE, Field, unfolded
from filterproxy.services.signatures.result import SignatureProblem, SignatureResult, permerror

MAX_FIELD = 32_768
CLOCK_DRIFT = 300  # seconds a sender's clock may be off
ALGORITHMS = ("rsa-sha256", "ed25519-sha256")

# Judged here and not by dkimpy, which looks at the real clock, knows one value of q=, and stumbles over some i=.
_OURS = (b"t", b"x", b"q", b"i")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_SELECTOR = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+\Z")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that may verify: everything its field says, decoded. `length` is l=, None for the whole body."""

    field: Field
    tags: Mapping[bytes, bytes]
    domain: str
    selector: str
    identity: str
    algorithm: str
    header_form: bytes
    body_form: bytes
    signed: tuple[bytes, ...]
    body_hash: bytes
    signature: bytes
    length: int | None

    def result(self, word: str, reason: str = "") -> SignatureResult:
        """Return the result with what the signature says of itself."""
        return describe(self.tags, word, reason)


def describe(tags: Mapping[bytes, bytes], word: str, reason: str) -> SignatureResult:
    """Return a result with what is known of the signature from its tags, however broken it is."""
    text = {tag: tags.get(tag, b"").decode("utf-8", "replace")[:253] for tag in (b"d", b"s", b"i", b"a", b"b")}
    domain = ascii_domain(text[b"d"])
    return SignatureResult(
        result=word,
        reason=reason,
        domain=domain,
        selector=text[b"s"],
        identity=text[b"i"] or (f"@{domain}" if domain else ""),
        algorithm=text[b"a"].lower(),
        signature_start=text[b"b"].replace(" ", "")[:8],
    )


def read_tags(field: Field) -> dict[bytes, bytes]:
    """Return the field's tags; raise SignatureProblem when it is no tag list."""
    if len(field.raw) > MAX_FIELD:
        raise permerror("signature field too long")
    try:
        return dict(parse_tag_value(unfolded(field.value)))
    except InvalidTagValueList as error:
        raise permerror("signature is no tag list") from error


def parse_signature(field: Field, tags: Mapping[bytes, bytes], now: datetime) -> Signature:
    """Return the signature; raise SignatureProblem when it cannot be valid whatever the key."""
    algorithm = tags.get(b"a", b"").decode("ascii", "replace").lower()
    if algorithm.endswith("-sha1"):
        raise permerror(f"{algorithm} is not acceptable (RFC 8301)")
    try:
        dkim.validate_signature_fields({tag: value for tag, value in tags.items() if tag not in _OURS})
    except dkim.DKIMException as error:
        raise permerror(_reason(error)) from error
    if algorithm not in ALGORITHMS:
        raise permerror("unknown algorithm")
    if b"dns/txt" not in (method.strip().lower() for method in tags.get(b"q", b"dns/txt").split(b":")):
        raise permerror("q= names no method that we know")
    _check_times(tags, now)
    signed = tuple(name.strip().lower() for name in tags[b"h"].split(b":"))
    if b"from" not in signed:
        raise permerror("From is not signed")
    header_form, body_form = read_canonicalisation(tags.get(b"c", b"simple/simple"))
    described = describe(tags, "none", "")
    _check_names(described)
    return Signature(
        field=field,
        tags=tags,
        domain=described.domain,
        selector=described.selector,
        identity=described.identity,
        algorithm=algorithm,
        header_form=header_form,
        body_form=body_form,
        signed=signed,
        body_hash=decode_base64(tags[b"bh"]),
        signature=decode_base64(tags[b"b"]),
        length=int(tags[b"l"]) if b"l" in tags else None,
    )


def _reason(error: dkim.DKIMException) -> str:
    """Return dkimpy's sentence without the value it quotes."""
    return str(error).partition(" (")[0].replace("b'", "").replace("'", "")[:100]


def _check_names(signature: SignatureResult) -> None:
    """Raise unless d= and s= are names that DNS and people read alike, and i= is at or below d= (section 6.1.1)."""
    if not _DOMAIN.match(ascii_domain(signature.domain)):
        raise permerror("d= is no domain name")
    if not _SELECTOR.match(ascii_domain(signature.selector)):
        raise permerror("s= is no selector")
    _, at, domain = signature.identity.rpartition("@")
    if not at or not f".{ascii_domain(domain)}".endswith(f".{ascii_domain(signature.domain)}"):
        raise permerror("i= is not in the domain of d=")


def _check_times(tags: Mapping[bytes, bytes], now: datetime) -> None:
    signed_at, expires = _seconds(tags, b"t"), _seconds(tags, b"x")
    present = now.timestamp()
    if signed_at is not None and signed_at > present + CLOCK_DRIFT:
        raise SignatureProblem("fail", "signature is from the future")
    if expires is not None and signed_at is not None and expires < signed_at:
        raise permerror("signature expires before it was made")
    if expires is not None and expires < present - CLOCK_DRIFT:
        raise SignatureProblem("fail", "signature expired")


def _seconds(tags: Mapping[bytes, bytes], tag: bytes) -> int | None:
    value = tags.get(tag)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 12:
        raise permerror(f"{tag.decode()}= is no time")
    return int(value)


def read_canonicalisation(value: bytes) -> tuple[bytes, bytes]:
    """Return the forms of header and body that c= names (section 3.5); raise SignatureProblem for others."""
    header_form, _, body_form = value.replace(b" ", b"").lower().partition(b"/")
    body_form = body_form or SIMPLE
    if header_form not in (SIMPLE, RELAXED) or body_form not in (SIMPLE, RELAXED):
        raise permerror("unknown canonicalisation")
    return header_form, body_form


def decode_base64(value: bytes) -> bytes:
    """Return the octets of a base64 value that may hold white space; raise SignatureProblem."""
    try:
        return binascii.a2b_base64(value.replace(b" ", b""), strict_mode=True)
    except binascii.Error as error:
        raise permerror("base64 does not decode") from error
