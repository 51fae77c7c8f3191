"""EnvelopeFrom: the MAIL FROM address, of the session or else as the message's header tells it.

The rule: a field that a later relay wrote below its own is not believed.
"""

from __future__ import annotations

from filterproxy.message import Message, parse_addresses
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.relays import relays_of

_FIELDS = ("x-envelope-from", "envelope-sender", "return-path")


def envelope_from(facts: Facts) -> str | None:
    """Return the envelope's sender, None when nothing tells it."""
    sender = facts.transaction.envelope.mail_from
    if sender or facts.transaction.client.address:
        return sender
    relays = relays_of(facts)
    outside = relays.of("untrusted")
    last = outside[0] if outside else next(reversed(relays.of("trusted")), None)
    if last is not None and last.sender is not None and ("@" in last.sender[1:] or last.sender == ""):
        return last.sender
    for name in _FIELDS:
        found = _written_last(facts.message, name)
        if found is not None:
            return found
    return None


def _written_last(message: Message, name: str) -> str | None:
    """Return the address in a field that stands above all Received fields."""
    for field in message.headers:
        lower = field.name.lower()
        if lower == name:
            boxes = parse_addresses(field.unfolded)
            return boxes[0].address if boxes else None
        if lower == "received":
            return None
    return None
