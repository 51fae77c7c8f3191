"""The relays a message came through, and which of them can be trusted, as SpamAssassin's header rules see them.

The rule: the client of the session is the newest relay when the message does not say so itself; relays count as trusted
from the newest on, as long as they have private addresses or authenticated, and no further.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from filterproxy.message import Header
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.received import NoRelay, Relay, parse_received

MAX_RELAYS = 100
_ORIGINATING = ("x-originating-ip", "x-aol-ip", "x-yahoo-post-ip")
_IP = re.compile(r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])", re.IGNORECASE)
_known: WeakKeyDictionary[Facts, Relays]


@dataclass(frozen=True)
class Relays:
    """The relays, newest first; `trusted` of them can be trusted. `unknown` fields could not be read.

    `trusted_fields`: how many Received fields, from the top, are those of trusted relays or of none.
    """

    relays: tuple[Relay, ...]
    trusted: int
    unknown: int
    trusted_fields: int

    def text(self, kind: str) -> str:
        """Return the relays of a kind (trusted, untrusted, internal, external) as one text."""
        return " ".join(map(str, self.of(kind)))

    def of(self, kind: str) -> Sequence[Relay]:
        """Return the relays of a kind."""
        inside = kind in ("trusted", "internal")
        return self.relays[: self.trusted] if inside else self.relays[self.trusted :]

    def fields(self, fields: Sequence[Header], *, outside: bool) -> list[Header]:
        """Return the fields that relays wrote which are not trusted (`outside`), or that those wrote which are."""
        received = -1
        inner: list[Header] = []
        for number, item in enumerate(fields):
            received += item.name.lower() == "received"
            if received >= self.trusted_fields:
                return list(fields[number:]) if outside else [*inner, item]
            inner.append(item)
        return [] if outside else inner


def relays_of(facts: Facts) -> Relays:
    """Return the relays of a message; they are read once."""
    found = _known.get(facts)
    if found is None:
        found = _known[facts] = _read(facts)
    return found


_known = WeakKeyDictionary()


def _read(facts: Facts) -> Relays:
    headers = facts.message.headers
    lines = [item.unfolded for item in headers.all("received")[:MAX_RELAYS]]
    parsed = [_parsed(line) for line in lines]
    for name in _ORIGINATING:
        field = headers.last(name)
        match = _IP.search(field.value) if field is not None else None
        if match:
            parsed.append(Relay(match[0]))
    client = _client(facts)
    unseen = client is not None and not any(isinstance(item, Relay) and item.ip == client.ip for item in parsed[:1])
    if client is not None and unseen:
        parsed.insert(0, client)
    return _divided(facts, parsed, unseen)


@lru_cache(maxsize=512)
def _cached(line: str) -> Relay | NoRelay:
    return parse_received(line)


def _parsed(line: str) -> Relay | NoRelay:
    found = _cached(line)
    return Relay(**{name: getattr(found, name) for name in Relay.__slots__}) if isinstance(found, Relay) else found


def _client(facts: Facts) -> Relay | None:
    transaction = facts.transaction
    if not transaction.client.address:
        return None
    return Relay(
        transaction.client.address, helo=transaction.helo, rdns=transaction.client.name, looked_up=True,
        sender=transaction.envelope.mail_from, auth="ESMTPA" if transaction.user else "",
    )  # fmt: skip


def _divided(facts: Facts, parsed: Sequence[Relay | NoRelay], unseen: bool) -> Relays:
    relays: list[Relay] = []
    trusting, trusted, fields, unknown = True, 0, -int(unseen), 0
    for item in parsed:
        if not isinstance(item, Relay):
            unknown += item is NoRelay.UNKNOWN
            fields += trusting
            if item is NoRelay.FETCHED and trusting:
                relays.clear()
                trusted = 0
            continue
        local = not relays and item.ip == facts.transaction.client.address and facts.transaction.local
        trusting = trusting and (item.private or bool(item.auth) or local)
        item.internal = trusting
        trusted += trusting
        fields += trusting
        relays.append(item)
    return Relays(tuple(relays), trusted, unknown, max(fields, 0))
