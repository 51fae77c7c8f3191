"""ARC chains (RFC 8617): dkimpy judges the chain, keys and hashes are computed as for DKIM.

The one rule: a chain with anything missing, doubled, unreadable or unverified fails; DNS that did not answer is neither
a pass nor a fail.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import dkim

from filterproxy.core.authentication import MethodResult
from filterproxy.core.ports import Resolver, ScanPool
from filterproxy.message import Message
from filterproxy.services.signatures.arc_sets import INSTANCE, KINDS, MESSAGE_SIGNATURE, RESULTS, SEAL, ArcSets, key_of
from filterproxy.services.signatures.content import SignedContent, unfolded, with_crlf
from filterproxy.services.signatures.keys import Keys, fetch_keys
from filterproxy.services.signatures.result import SignatureProblem, permerror
from filterproxy.services.signatures.results_text import read_results
from filterproxy.services.signatures.signature import MAX_FIELD, decode_base64, read_canonicalisation
from filterproxy.services.signatures.verify import INLINE_SIZE, check_body

MAX_SIZE = 262_144  # of all fields of the chain together

_NOT_ASKED = permerror("not asked for")
# dkimpy tells a logger what it returns as well; nobody needs it twice.
_SILENT = logging.Logger("dkimpy", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class ArcResult:
    """A chain's result: `pass`, `fail`, `none` or `temperror`; `sealers` are the d= of its seals, newest first.

    `covers_author` tells whether the newest signature covers From: only then the seals say anything of the author.
    """

    result: str
    reason: str = ""
    sealers: tuple[str, ...] = ()
    covers_author: bool = False

    @property
    def instance(self) -> int:
        """Return the number of sets in the chain."""
        return len(self.sealers)


async def verify_arc(message: Message, resolver: Resolver, pool: ScanPool) -> ArcResult:
    """Return the result of the message's ARC chain; `none` when it has no field of ARC."""
    if not any(kind.decode() in message.headers for kind in KINDS):
        return ArcResult("none")
    content = SignedContent(message)
    fields = [field for kind in KINDS for field in content.named(kind)]
    if sum(len(field.raw) for field in fields) > MAX_SIZE or any(len(field.raw) > MAX_FIELD for field in fields):
        return ArcResult("fail", "ARC fields too long")
    try:
        sets = ArcSets(fields)
    except SignatureProblem as problem:
        return ArcResult(problem.word, problem.reason)
    keys = await fetch_keys(resolver, sets.key_names())
    chain = _Chain(content, sets, keys)
    result, reason = await pool.run(chain.judge) if message.size > INLINE_SIZE else chain.judge()
    return ArcResult(result, reason, sets.sealers(), sets.covers_author())


def sealed_results(message: Message, instance: int) -> tuple[MethodResult, ...]:
    """Return what the sealer of that instance says it found (section 4.1.1), of the results that can be read.

    It is worth as much as the chain and the sealer are.
    """
    for header in message.headers.all(RESULTS.decode()):
        value = unfolded(with_crlf(header.raw_value))
        found = INSTANCE.match(value)
        if found is not None and int(found[1]) == instance:
            return read_results(value[found.end() :].decode("utf-8", "replace"))
    return ()


class _Chain(dkim.ARC):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy's judgement of the chain over our verification of each signature."""

    def __init__(self, content: SignedContent, sets: ArcSets, keys: Keys) -> None:
        super().__init__(logger=_SILENT)
        self.headers = sets.for_dkimpy()
        self._content, self._sets, self._keys = content, sets, keys
        self._undecided = ""

    def judge(self) -> tuple[str, str]:
        """Return the chain's word and reason."""
        validity, _, reason = self.verify()
        if validity == dkim.CV_Pass:
            return "pass", ""
        if self._undecided:
            return "temperror", self._undecided
        return "fail", str(reason).partition(" (")[0].replace("b'", "").replace("'", "")[:100]

    def verify_sig(self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: Any, dnsfunc: Any) -> bool:
        """Tell whether one ARC-Message-Signature or ARC-Seal verifies (dkimpy calls this for each)."""
        # Older message signatures are broken by every honest list; without their keys they count for nothing.
        key = self._keys.get(key_of(sig), _NOT_ASKED)
        if isinstance(key, SignatureProblem):
            if key.word == "temperror":
                self._undecided = key.reason
            return False
        kind, instance = sig_header[0].lower(), int(sig[b"i"])
        try:
            digest = (
                self._sets.seal_hash(instance) if kind == SEAL else self._message_hash(sig, include_headers, instance)
            )
            return key.algorithm == "rsa-sha256" and key.verifies(decode_base64(sig[b"b"]), digest)
        except SignatureProblem:
            return False

    def _message_hash(self, sig: dict[bytes, bytes], signed: list[bytes], instance: int) -> bytes:
        header_form, body_form = read_canonicalisation(sig.get(b"c", b"relaxed/relaxed"))
        length = int(sig[b"l"]) if b"l" in sig else None
        if not check_body(self._content, body_form, length, decode_base64(sig[b"bh"])):
            raise SignatureProblem("policy", "l= leaves a part of the body unsigned")
        names = (*signed, b"from") if b"from" in signed else signed
        field = self._sets.fields[MESSAGE_SIGNATURE, instance]
        return self._content.header_hash(names, header_form, field)
