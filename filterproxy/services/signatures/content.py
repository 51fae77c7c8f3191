"""A message in the forms that signatures are computed on (RFC 6376 section 3.4), in linear time.

The one rule: line ends are CRLF here and nothing else changes before canonicalisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from filterproxy.message import Message

SIMPLE, RELAXED = b"simple", b"relaxed"
_MANY_BLANKS = b" " * 64


class Field:
    """One header field; `name` is lower case, `raw` the whole field with CRLF line ends."""

    __slots__ = ("_relaxed", "name", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.name = raw.partition(b":")[0].rstrip(b" \t").lower()
        self._relaxed: bytes | None = None

    @property
    def value(self) -> bytes:
        """Return everything after the colon."""
        return self.raw.partition(b":")[2]

    def canonical(self, form: bytes) -> bytes:
        """Return the field in `simple` or `relaxed` form, with its CRLF."""
        if form == SIMPLE:
            return self.raw
        if self._relaxed is None:
            self._relaxed = self.name + b":" + unfolded(self.value) + b"\r\n"
        return self._relaxed

    def without_signature(self, form: bytes) -> bytes:
        """Return the field as its own signature covers it: the value of b= empty, no final CRLF (section 3.7)."""
        name, colon, value = self.raw.partition(b":")
        pieces = value.split(b";")
        for number, piece in enumerate(pieces):
            tag, equals, _ = piece.partition(b"=")
            if equals and tag.strip() == b"b":
                pieces[number] = tag + b"="
                break
        return Field(name + colon + b";".join(pieces)).canonical(form).rstrip(b"\r\n")


def unfolded(value: bytes) -> bytes:
    """Return a field's value on one line, each run of blanks one space, none at the ends (section 3.4.2)."""
    return squeezed(value.replace(b"\r\n", b"")).strip(b" ")


def squeezed(text: bytes) -> bytes:
    """Return the text with every run of spaces and tabs as one space."""
    text = text.replace(b"\t", b" ")
    while _MANY_BLANKS in text:  # long runs shrink fast, so that the loop below has few rounds
        text = text.replace(_MANY_BLANKS, b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


class SignedContent:
    """A message's fields and body as signatures see them; canonical forms are computed once for all signatures."""

    def __init__(self, message: Message) -> None:
        # What is not here cannot be hashed, and says nothing against the signature.
        self.separated = message.is_separated
        self.incomplete = message.truncated or len(message.headers) >= message.limits.headers
        self._message = message
        raw = message.raw
        self._has_crlf = b"\n" in raw and raw.count(b"\n") == raw.count(b"\r\n")
        self._fields: dict[bytes, tuple[Field, ...]] = {}
        self._bodies: dict[bytes, bytes] = {}
        self._hashes: dict[tuple[bytes, int | None], bytes] = {}

    def named(self, name: bytes) -> tuple[Field, ...]:
        """Return the fields of that (lower-case) name, topmost first."""
        found = self._fields.get(name)
        if found is None:
            headers = self._message.headers.all(name.decode("latin-1"))
            found = self._fields[name] = tuple(Field(self._with_crlf(header.raw)) for header in headers)
        return found

    def _with_crlf(self, octets: bytes) -> bytes:
        return octets if self._has_crlf else with_crlf(octets)

    def body(self, form: bytes) -> bytes:
        """Return the canonical body."""
        if form not in self._bodies:
            self._bodies[form] = _canonical_body(self._with_crlf(self._message.body), form)
        return self._bodies[form]

    def body_hash(self, form: bytes, length: int | None) -> bytes:
        """Return the SHA-256 of the canonical body, or of its first `length` octets."""
        key = (form, length)
        if key not in self._hashes:
            body = self.body(form)
            self._hashes[key] = hashlib.sha256(body if length is None else memoryview(body)[:length]).digest()
        return self._hashes[key]

    def header_hash(self, signed: Iterable[bytes], form: bytes, signature: Field) -> bytes:
        """Return the SHA-256 over the named fields, the lowest of each name first, and the signature's own field.

        A name without a (further) field adds nothing: that is how a signer forbids that one is added.
        """
        return sha256_of([*(field.canonical(form) for field in self.select(signed)), signature.without_signature(form)])

    def select(self, names: Iterable[bytes]) -> list[Field]:
        """Return the fields that h= names, from the bottom up (section 5.4.2)."""
        left: dict[bytes, list[Field]] = {}
        chosen = []
        for name in names:
            if name not in left:
                left[name] = list(self.named(name))
            if left[name]:
                chosen.append(left[name].pop())
        return chosen


def sha256_of(pieces: Sequence[bytes]) -> bytes:
    """Return the SHA-256 of the pieces one after the other."""
    return hashlib.sha256(b"".join(pieces)).digest()


def with_crlf(octets: bytes) -> bytes:
    """Return the octets with every LF as CRLF, for a message that was stored with bare LF."""
    if octets.count(b"\n") != octets.count(b"\r\n"):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return octets


def _canonical_body(body: bytes, form: bytes) -> bytes:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if form == RELAXED:
        body = squeezed(body).replace(b" \r\n", b"\r\n")
    body = _without_empty_lines_at_end(body)
    return body or (b"" if form == RELAXED else b"\r\n")


def _without_empty_lines_at_end(body: bytes) -> bytes:
    """Return the body with one CRLF at its end, or empty when it has nothing but empty lines."""
    content = body.rstrip(b"\r\n")
    tail = body[len(content) :]
    # Of the final CRs and LFs only whole CRLF pairs are empty lines; a CR before another CR is content.
    last_break = tail.rfind(b"\r\r")
    kept = len(content) + last_break + 1
    return body[:kept] + b"\r\n" if kept else b""
