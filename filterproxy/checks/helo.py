"""HELO: is what the client calls itself a name, its own address, or ours?

The one rule: RFC 5321 lets a client call itself by a name that is not in DNS for its address, so a mismatch of names is
no evidence; nonsense, a foreign address and our own name are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from pydantic import Field

from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.ports import DnsStatus
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain
from filterproxy.services.ip_addresses import Address, parse_ip

_BARE_IP = Symbol("HELO_BARE_IP", 1.5, "The client calls itself by an address without brackets")
_LITERAL = Symbol("HELO_LITERAL", 0.5, "The client calls itself by its own address instead of a name")
_LITERAL_MISMATCH = Symbol("HELO_LITERAL_MISMATCH", 1.5, "The client calls itself by an address that is not its own")
_MATCH = Symbol("HELO_MATCH", 0.0, "The name in HELO has the client's address")
_NOT_FOUND = Symbol("HELO_NOT_FOUND", 0.8, "The name in HELO does not exist in DNS")
_NOT_FQDN = Symbol("HELO_NOT_FQDN", 0.8, "The name in HELO has no domain")
_SYNTAX = Symbol("HELO_SYNTAX", 1.0, "HELO holds neither a host name nor an address literal")
_TEMPERROR = Symbol("HELO_TEMPERROR", 0.0, "The name in HELO could not be looked up: DNS did not answer")
_US = Symbol("HELO_IS_US", 3.0, "The client calls itself by our own name or domain")

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\Z")


class HeloConfig(CheckConfig):
    """Keys of `checks.helo`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")


class HeloCheck(Check[HeloConfig]):
    """Syntax, address literals, our own names, existence."""

    name = "helo"
    immediate = True
    symbols = (_BARE_IP, _LITERAL, _LITERAL_MISMATCH, _MATCH, _NOT_FOUND, _NOT_FQDN, _SYNTAX, _TEMPERROR, _US)
    config_type = HeloConfig
    stage = Stage.HELO

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return at most one symbol about the name in HELO; none when the client or its HELO is not known."""
        client = parse_ip(transaction.client.address)
        helo = ascii_domain(transaction.helo)
        if client is None or not helo:
            return []
        symbol = self._judge(helo, client) or await self._look_up(helo, client)
        return [SymbolResult(symbol.name, options=(transaction.helo,))] if symbol else []

    def _judge(self, helo: str, client: Address) -> Symbol | None:
        """Return what the text alone shows."""
        if helo.startswith("["):
            literal = parse_ip(helo[1:].removesuffix("]").removeprefix("ipv6:")) if helo.endswith("]") else None
            if literal is None:
                return _SYNTAX
            return _LITERAL if literal == client else _LITERAL_MISMATCH
        if parse_ip(helo):
            return _BARE_IP
        if not _HOST_NAME.match(helo):
            return _SYNTAX
        if self._claims_us(helo, client):
            return _US
        return None if "." in helo else _NOT_FQDN

    def _claims_us(self, helo: str, client: Address) -> bool:
        site = self.context.site
        if site.is_trusted(str(client)) or site.is_local(str(client)):
            return False
        return helo == ascii_domain(site.hostname) or helo in {ascii_domain(name) for name in site.local_domains}

    async def _look_up(self, helo: str, client: Address) -> Symbol | None:
        if self.context.site.offline:
            return None
        own, other = ("A", "AAAA") if client.version == 4 else ("AAAA", "A")
        answer, alternative = await asyncio.gather(
            self.context.resolver.resolve(helo, own), self.context.resolver.resolve(helo, other)
        )
        if any(parse_ip(record) == client for record in answer.records):
            return _MATCH
        found = {answer.status, alternative.status}
        if DnsStatus.FOUND in found and answer.status is not DnsStatus.TEMPERROR:
            return None
        return _TEMPERROR if DnsStatus.TEMPERROR in found else _NOT_FOUND
