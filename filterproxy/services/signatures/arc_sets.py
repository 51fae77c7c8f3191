"""The fields of an ARC chain, sorted into its sets (RFC 8617 section 4.1).

The one rule: a chain with anything missing, doubled or unreadable has no sets.
"""

from __future__ import annotations

import re

from dkim.util import InvalidTagValueList, parse_tag_value

from filterproxy.message.domains import ascii_domain
from filterproxy.services.signatures.content import RELAXED, Field, sha256_of, unfolded
from filterproxy.services.signatures.keys import key_name
from filterproxy.services.signatures.result import SignatureProblem

MAX_INSTANCES = 50  # RFC 8617 section 4.2.1

RESULTS, MESSAGE_SIGNATURE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
KINDS = (RESULTS, MESSAGE_SIGNATURE, SEAL)  # in the order in which a seal covers them (section 5.1.1)
INSTANCE = re.compile(rb" ?i ?= ?([0-9]{1,3}) ?(?:;|\Z)")

Place = tuple[bytes, int]


class ArcSets:
    """The fields of a chain by kind and instance; raises SignatureProblem unless there is one of each."""

    def __init__(self, fields: list[Field]) -> None:
        self.fields: dict[Place, Field] = {}
        self.tags: dict[Place, dict[bytes, bytes]] = {}
        for field in fields:
            self._add(field)
        self.count = max(instance for _, instance in self.fields)
        if self.count > MAX_INSTANCES:
            raise SignatureProblem("fail", f"more than {MAX_INSTANCES} ARC sets")
        if len(self.fields) != 3 * self.count or min(instance for _, instance in self.fields) < 1:
            raise SignatureProblem("fail", "incomplete ARC set")

    def _add(self, field: Field) -> None:
        value = unfolded(field.value)
        if field.name == RESULTS:
            found = INSTANCE.match(value)
            tags = {b"i": found[1]} if found else {}
        else:
            tags = _tags(value)
        if not tags.get(b"i", b"").isdigit():
            raise SignatureProblem("fail", "ARC field without an instance")
        place = (field.name, int(tags[b"i"][:4]))
        if place in self.fields:
            raise SignatureProblem("fail", f"two of the same ARC field with i={place[1]}")
        self.fields[place], self.tags[place] = field, tags

    def seal_hash(self, instance: int) -> bytes:
        """Return the SHA-256 of all sets up to that instance, oldest first, its seal without b= (section 5.1.1)."""
        places = [(kind, number) for number in range(1, instance + 1) for kind in KINDS]
        seal = self.fields[places.pop()]
        fields = [self.fields[place] for place in places]
        return sha256_of([*(field.canonical(RELAXED) for field in fields), seal.without_signature(RELAXED)])

    def key_names(self) -> list[str]:
        """Return the names of the keys that decide: of every seal and of the newest message signature (section 5.2)."""
        decisive = [(MESSAGE_SIGNATURE, self.count), *((SEAL, number) for number in range(1, self.count + 1))]
        return [key_of(self.tags[place]) for place in decisive]

    def sealers(self) -> tuple[str, ...]:
        """Return the domains of the seals, newest first."""
        tags = [self.tags[SEAL, instance] for instance in range(self.count, 0, -1)]
        return tuple(ascii_domain(found.get(b"d", b"").decode("utf-8", "replace")[:253]) for found in tags)

    def covers_author(self) -> bool:
        """Tell whether the newest message signature covers From."""
        signed = self.tags[MESSAGE_SIGNATURE, self.count].get(b"h", b"")
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


def key_of(tags: dict[bytes, bytes]) -> str:
    return key_name(tags.get(b"s", b"").decode("utf-8", "replace"), tags.get(b"d", b"").decode("utf-8", "replace"))
