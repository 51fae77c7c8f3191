"""Where the matcher `received` finds its texts: the relays that a message came through, newest first.

The rule: what strangers wrote into their Received fields is text like any other, and never trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from filterproxy.ruleset.facts import Facts, Field, Target
from filterproxy.ruleset.spamassassin.received import Relay
from filterproxy.ruleset.spamassassin.relays import relays_of


@cache
def target(only: str | None) -> Target:
    """Return all relays, or only the newest (`first`) or the oldest (`last`)."""

    def items(facts: Facts) -> Sequence[Relay]:
        relays = relays_of(facts).relays
        if only is None:
            return relays
        return relays[:1] if only == "first" else relays[-1:]

    return Target(f"received.{only or 'all'}", items)


@cache
def fields(only: str | None) -> dict[str, Field]:
    """Return the fields of these relays by the names of the schema."""
    of = target(only)
    return {
        "name": Field(f"{of.key}.name", of, lambda relay: relay.rdns),
        "helo": Field(f"{of.key}.helo", of, lambda relay: relay.helo),
        "by": Field(f"{of.key}.by", of, lambda relay: relay.by),
        "auth": Field(f"{of.key}.auth", of, lambda relay: relay.auth),
    }
