"""What a DNS list is, as configuration and the files under rules/dnslists describe it.

The one rule: a zone that needs a customer's key has its place marked `{key}`, so that no file holds a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from filterproxy.core.symbol import SYMBOL_NAME
from filterproxy.services.dns_lists.codes import Matcher, parse_code
from filterproxy.services.dns_lists.keys import holds_a_key

Query = Literal[
    "client",
    "received",
    "reverse_name",
    "helo",
    "mail_from",
    "header_from",
    "dkim",
    "urls",
    "url_domains",
    "url_addresses",
    "mail_from_address",
    "header_from_address",
    "reply_to_address",
    "body_addresses",
]

# What kind of name each query makes: reversed octets, a domain, or the hash of a mail address.
KINDS: dict[str, frozenset[str]] = {
    "client": frozenset({"address"}),
    "received": frozenset({"address"}),
    "reverse_name": frozenset({"domain"}),
    "helo": frozenset({"domain"}),
    "mail_from": frozenset({"domain"}),
    "header_from": frozenset({"domain"}),
    "dkim": frozenset({"domain"}),
    "urls": frozenset({"address", "domain"}),
    "url_domains": frozenset({"domain"}),
    "url_addresses": frozenset({"address"}),
    "mail_from_address": frozenset({"hash"}),
    "header_from_address": frozenset({"hash"}),
    "reply_to_address": frozenset({"hash"}),
    "body_addresses": frozenset({"hash"}),
}
NO_TEST = "none"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\Z")
_LONGEST_ZONE = 150  # what goes before it must have room, too: an IPv6 address takes 64 octets
_KEY_PLACE = "{key}"


class CodeConfig(BaseModel):
    """What a return code means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str = Field(pattern=SYMBOL_NAME.pattern.removesuffix(r"\Z") + "$", description="The symbol that fires.")
    score: float = Field(0.0, description="Its score; below zero for an allow list.")
    description: str = Field("", description="What it means, for people.")


class ListConfig(BaseModel):
    """One list: its zone, what is looked up in it, and its return codes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=60, description="For messages; the zone is never shown.")
    zone: str = Field("", description="The list's DNS zone for the public.")
    keyed_zone: str = Field("", description="The zone for customers, with `{key}` in the place of the key.")
    key: str = Field("", description="Which of `checks.dnslists.keys` that is.")
    query: tuple[Query, ...] = Field(min_length=1, description="What is looked up: addresses, domains, or both.")
    hash: Literal["sha1", "sha256", "md5"] = Field("sha1", description="How mail addresses are hashed.")
    ipv6: bool = Field(True, description="Look up IPv6 addresses too; false for a list that has none.")
    codes: dict[str, CodeConfig] = Field(min_length=1, description="What an answer means, by address or pattern.")
    refused: tuple[str, ...] = Field((), description="Return codes by which the list says that it refuses us.")
    test: str = Field(
        "", description="What the list must have; default 127.0.0.2, for domains `test` (RFC 5782); `none`: nothing."
    )
    _matchers: tuple[tuple[Matcher, CodeConfig], ...] = PrivateAttr(())

    @field_validator("codes")
    @classmethod
    def _readable(cls, value: dict[str, CodeConfig]) -> dict[str, CodeConfig]:
        for pattern in value:
            parse_code(pattern)
        return value

    @field_validator("refused")
    @classmethod
    def _refused_readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            parse_code(pattern)
        return value

    @field_validator("zone", "keyed_zone")
    @classmethod
    def _is_a_domain(cls, value: str) -> str:
        # The value is not quoted: it may hold a key.
        name = value.replace(_KEY_PLACE, "key").removesuffix(".")
        if value and (not _DOMAIN.match(name) or len(name) > _LONGEST_ZONE):
            raise ValueError("not a domain name, such as bl.example.org")
        return value

    @field_validator("zone")
    @classmethod
    def _without_a_key(cls, value: str) -> str:
        if holds_a_key(value):  # the value is not quoted: it may be the key
            raise ValueError(
                "this is a customer's zone: write keyed_zone with {key} in the place of the key, and the key under "
                "checks.dnslists.keys, where nothing shows it"
            )
        return value

    @model_validator(mode="after")
    def _has_a_zone(self) -> Self:
        if not self.zone and not self.keyed_zone:
            raise ValueError("a list needs a zone")
        if bool(self.keyed_zone) != bool(self.key) or (self.keyed_zone and _KEY_PLACE not in self.keyed_zone):
            raise ValueError("keyed_zone and key belong together: keyed_zone: '{key}.bl.example', key: NAME")
        if len({kind == "hash" for query in self.query for kind in KINDS[query]}) > 1:
            raise ValueError("a list of mail addresses lists nothing else")
        return self

    def model_post_init(self, context: object) -> None:
        """Prepare the codes."""
        self._matchers = tuple((parse_code(pattern), code) for pattern, code in self.codes.items())

    @property
    def kinds(self) -> frozenset[str]:
        """Return what kinds of names are looked up: `address`, `domain`, `hash`."""
        return frozenset(kind for query in self.query for kind in KINDS[query])

    def zone_for(self, keys: dict[str, str]) -> str:
        """Return the zone to ask with these keys, empty when the list has none without a key."""
        key = keys.get(self.key, "") if self.key else ""
        return self.keyed_zone.replace(_KEY_PLACE, key) if key else self.zone

    def meanings(self, codes: Sequence[IPv4Address]) -> Iterator[CodeConfig]:
        """Yield what the answered codes mean; a code that is not configured means nothing."""
        for matches, code in self._matchers:
            if any(matches(answered) for answered in codes):
                yield code


class DefinitionsFile(BaseModel):
    """A file under rules/dnslists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lists: tuple[ListConfig, ...] = Field((), description="The lists it defines.")
