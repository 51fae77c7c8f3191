"""Verification of every DKIM signature of a message, up to a limit (RFC 6376 section 6).

The one rule: only a signature that covers the whole body, by a key that may be used, is a pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from filterproxy.core.ports import Resolver, ScanPool
from filterproxy.message import Message
from filterproxy.services.signatures.content import SignedContent
from filterproxy.services.signatures.keys import Key, Keys, fetch_keys, key_name
from filterproxy.services.signatures.result import SignatureProblem, SignatureResult, permerror
from filterproxy.services.signatures.signature import Signature, describe, parse_signature, read_tags

# Above this many octets hashing takes longer than the hop to another thread.
INLINE_SIZE = 262_144
_HEADER_SIZE = 131_072
_ANY_SIGNATURE = re.compile(rb"^dkim-signature[ \t]{0,80}:", re.IGNORECASE | re.MULTILINE)


async def verify_dkim(
    message: Message, resolver: Resolver, pool: ScanPool, now: datetime, *, limit: int = 10
) -> tuple[SignatureResult, ...]:
    """Return one result for each of the topmost `limit` signatures, in their order; empty without any."""
    if message.raw[:1] in (b" ", b"\t"):
        return _without_beginning(message)
    if "dkim-signature" not in message.headers:
        return ()
    content = SignedContent(message)
    read = [_read(content, number, now) for number in range(min(limit, len(content.named(b"dkim-signature"))))]
    signatures = [item for item in read if isinstance(item, Signature)]
    keys = await fetch_keys(resolver, [key_name(item.selector, item.domain) for item in signatures])
    if signatures and message.size > INLINE_SIZE:
        return await pool.run(_verify_all, content, read, keys)
    return _verify_all(content, read, keys)


def _without_beginning(message: Message) -> tuple[SignatureResult, ...]:
    """Judge a header that begins with a continuation line: no two readers agree where it is, so nothing passes."""
    header = message.raw[:_HEADER_SIZE].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if not _ANY_SIGNATURE.search(header):
        return ()
    return (SignatureResult("permerror", "the header begins with a continuation line"),)


def _read(content: SignedContent, number: int, now: datetime) -> Signature | SignatureResult:
    field = content.named(b"dkim-signature")[number]
    tags: dict[bytes, bytes] = {}
    try:
        tags = read_tags(field)
        return parse_signature(field, tags, now)
    except SignatureProblem as problem:
        return describe(tags, problem.word, problem.reason)


def _verify_all(
    content: SignedContent, read: Sequence[Signature | SignatureResult], keys: Keys
) -> tuple[SignatureResult, ...]:
    return tuple(_verify(content, item, keys) if isinstance(item, Signature) else item for item in read)


def _verify(content: SignedContent, signature: Signature, keys: Keys) -> SignatureResult:
    key = keys[key_name(signature.selector, signature.domain)]
    if isinstance(key, SignatureProblem):
        return signature.result(key.word, key.reason)
    if key.algorithm != signature.algorithm:
        return signature.result("permerror", f"key is not for {signature.algorithm}")
    identity_domain = signature.identity.rpartition("@")[2].lower()
    if key.exact_identity and identity_domain != signature.domain:
        return signature.result("permerror", "key does not allow a subdomain in i= (t=s)")
    try:
        covered = check_body(content, signature.body_form, signature.length, signature.body_hash)
        _check_header(content, signature, key)
    except SignatureProblem as problem:
        # What a domain that still tests its keys fails is no worse than mail without a signature (section 3.6.1).
        untested = key.testing and problem.word == "fail"
        return signature.result("neutral" if untested else problem.word, problem.reason)
    if not covered:
        return signature.result("policy", "l= leaves a part of the body unsigned")
    return signature.result("pass", "key is for testing" if key.testing else "")


def _check_header(content: SignedContent, signature: Signature, key: Key) -> None:
    """Raise SignatureProblem unless the signature over the signed fields is the key's."""
    # A From that the signer did not see may not ride along (RFC 6376 section 8.15): one more than present is hashed.
    names = (*signature.signed, b"from")
    if not key.verifies(signature.signature, content.header_hash(names, signature.header_form, signature.field)):
        raise SignatureProblem("fail", "signature did not verify")


def check_body(content: SignedContent, form: bytes, length: int | None, expected: bytes) -> bool:
    """Tell whether the hash covers the whole body; raise SignatureProblem when it is not the body's."""
    if content.incomplete:
        raise SignatureProblem("neutral", "message too large to verify")
    if not content.separated:
        raise permerror("no empty line between header and body")
    size = len(content.body(form))
    if length is not None and length > size:
        raise permerror("l= is larger than the body")
    if content.body_hash(form, length) != expected:
        raise SignatureProblem("fail", "body hash did not verify")
    return length is None or length == size
