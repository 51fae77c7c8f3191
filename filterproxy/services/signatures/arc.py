"""ARC chains (RFC 8617): dkimpy judges the chain, keys and hashes are computed as for DKIM.

The one rule: a chain with anything missing, doubled, unreadable or unverified fails; DNS that did not answer is neither
a pass nor a fail.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from filterproxy.core.authentication import MethodResult
from filterproxy.core.ports import Resolver, ScanPool
from filterproxy.message import Message
from filterproxy.services.signatures.content import RELAXED, Field, SignedContent, sha256_of, unfolded, with_crlf
from filterproxy.services.signatures.keys import Keys, fetch_keys, key_name
from filterproxy.services.signatures.result import SignatureProblem
from filterproxy.services.signatures.results_text import read_results
from filterproxy.services.signatures.signature import MAX_FIELD, decode_base64, read_canonicalisation
from filterproxy.services.signatures.verify import INLINE_SIZE, check_body

MAX_INSTANCES = 50  # RFC 8617 section 4.2.1
MAX_SIZE = 262_144  # of all fields of the chain together

_RESULTS, _MESSAGE_SIGNATURE, _SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_KINDS = (_RESULTS, _MESSAGE_SIGNATURE, _SEAL)  # in the order in which a seal covers them (section 5.1.1)
_INSTANCE = re.compile(rb" ?i ?= ?([0-9]{1,3}) ?(?:;|\Z)")
# dkimpy tells a logger what it returns as well; nobody needs it twice.
_SILENT = logging.Logger("dkimpy", logging.CRITICAL + 1)

_Place = tuple[bytes, int]


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
    if not any(kind.decode() in message.headers for kind in _KINDS):
        return ArcResult("none")
    content = SignedContent(message)
    fields = [field for kind in _KINDS for field in content.named(kind)]
    if sum(len(field.raw) for field in fields) > MAX_SIZE or any(len(field.raw) > MAX_FIELD for field in fields):
        return ArcResult("fail", "ARC fields too long")
    try:
        sets = _Sets(fields)
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
    for header in message.headers.all(_RESULTS.decode()):
        value = unfolded(with_crlf(header.raw_value))
        found = _INSTANCE.match(value)
        if found is not None and int(found[1]) == instance:
            return read_results(value[found.end() :].decode("utf-8", "replace"))
    return ()


class _Sets:
    """The fields of a chain by kind and instance; raises SignatureProblem unless there is one of each."""

    def __init__(self, fields: list[Field]) -> None:
        self.fields: dict[_Place, Field] = {}
        self.tags: dict[_Place, dict[bytes, bytes]] = {}
        for field in fields:
            self._add(field)
        self.count = max(instance for _, instance in self.fields)
        if self.count > MAX_INSTANCES:
            raise SignatureProblem("fail", f"more than {MAX_INSTANCES} ARC sets")
        if len(self.fields) != 3 * self.count or min(instance for _, instance in self.fields) < 1:
            raise SignatureProblem("fail", "incomplete ARC set")

    def _add(self, field: Field) -> None:
        value = unfolded(field.value)
        if field.name == _RESULTS:
            found = _INSTANCE.match(value)
            tags = {b"i": found[1]} if found else {}
        else:
            tags = _tags(value)
        if not tags.get(b"i", b"").isdigit():
            raise SignatureProblem("fail", "ARC field without an instance")
        place = (field.name, int(tags[b"i"][:4]))
        if place in self.fields:
            raise SignatureProblem("fail", f"two of the same ARC field with i={place[1]}")
        self.fields[place], self.tags[place] = field, tags

    def key_names(self) -> list[str]:
        """Return the names of all keys that the chain uses."""
        return [_key_of(tags) for (kind, _), tags in self.tags.items() if kind != _RESULTS]

    def sealers(self) -> tuple[str, ...]:
        """Return the domains of the seals, newest first."""
        tags = [self.tags[_SEAL, instance] for instance in range(self.count, 0, -1)]
        return tuple(found.get(b"d", b"").decode("utf-8", "replace").lower()[:253] for found in tags)

    def covers_author(self) -> bool:
        """Tell whether the newest message signature covers From."""
        signed = self.tags[_MESSAGE_SIGNATURE, self.count].get(b"h", b"")
        return b"from" in (name.strip().lower() for name in signed.split(b":"))

    def for_dkimpy(self) -> list[tuple[bytes, bytes]]:
        """Return the fields as dkimpy's expressions read them best: i= first, single blanks, a semicolon at the end."""
        return [(kind, self._plain(kind, instance)) for kind, instance in self.fields]

    def _plain(self, kind: bytes, instance: int) -> bytes:
        tags = self.tags[kind, instance]
        rest = b"".join(b" " + tag + b"=" + value + b";" for tag, value in tags.items() if tag != b"i")
        return b" i=" + tags[b"i"] + b";" + rest + b"\r\n"


def _tags(value: bytes) -> dict[bytes, bytes]:
    try:
        return dict(parse_tag_value(value))
    except InvalidTagValueList as error:
        raise SignatureProblem("fail", "ARC field is no tag list") from error


def _key_of(tags: dict[bytes, bytes]) -> str:
    return key_name(tags.get(b"s", b"").decode("utf-8", "replace"), tags.get(b"d", b"").decode("utf-8", "replace"))


class _Chain(dkim.ARC):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy's judgement of the chain over our verification of each signature."""

    def __init__(self, content: SignedContent, sets: _Sets, keys: Keys) -> None:
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
        key = self._keys[_key_of(sig)]
        if isinstance(key, SignatureProblem):
            if key.word == "temperror":
                self._undecided = key.reason
            return False
        kind, instance = sig_header[0].lower(), int(sig[b"i"])
        try:
            digest = self._seal_hash(instance) if kind == _SEAL else self._message_hash(sig, include_headers, instance)
            return key.algorithm == "rsa-sha256" and key.verifies(decode_base64(sig[b"b"]), digest)
        except SignatureProblem:
            return False

    def _message_hash(self, sig: dict[bytes, bytes], signed: list[bytes], instance: int) -> bytes:
        header_form, body_form = read_canonicalisation(sig.get(b"c", b"relaxed/relaxed"))
        length = int(sig[b"l"]) if b"l" in sig else None
        if not check_body(self._content, body_form, length, decode_base64(sig[b"bh"])):
            raise SignatureProblem("policy", "l= leaves a part of the body unsigned")
        names = (*signed, b"from") if b"from" in signed else signed
        field = self._sets.fields[_MESSAGE_SIGNATURE, instance]
        return self._content.header_hash(names, header_form, field)

    def _seal_hash(self, instance: int) -> bytes:
        """Hash all sets up to this one, oldest first, this seal without its signature (section 5.1.1)."""
        places = [(kind, number) for number in range(1, instance + 1) for kind in _KINDS]
        seal = self._sets.fields[places.pop()]
        fields = [self._sets.fields[place] for place in places]
        return sha256_of([*(field.canonical(RELAXED) for field in fields), seal.without_signature(RELAXED)])
