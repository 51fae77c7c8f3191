"""Reverse name: does the client's address have a name, and does that name have the address (RFC 8601 section 3)?

The one rule: a name counts only when its own address records confirm it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.services.ip_addresses import is_public, parse_ip
from filterproxy.services.reverse_name import reverse_name

_SYMBOLS = {
    "pass": Symbol("IPREV_PASS", 0.0, "The client's address has a name that points back to it"),
    "fail": Symbol("IPREV_FAIL", 0.8, "The client's address has a name that does not point back to it"),
    "permerror": Symbol("IPREV_NONE", 1.0, "The client's address has no name"),
    "temperror": Symbol("IPREV_TEMPERROR", 0.0, "The client's name could not be looked up: DNS did not answer"),
}


class IprevConfig(CheckConfig):
    """Keys of `checks.iprev`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    max_names: int = Field(5, ge=1, le=10, description="Names of one address that are looked up.")


class IprevCheck(Check[IprevConfig]):
    """Forward-confirmed reverse DNS of the client."""

    name = "iprev"
    immediate = True
    symbols = tuple(_SYMBOLS.values())
    config_type = IprevConfig
    stage = Stage.CONNECT

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the one symbol for the client's address, none for an address that only this network knows."""
        address = parse_ip(transaction.client.address)
        if self.context.site.offline or address is None or not is_public(address):
            return []
        word, name = await reverse_name(self.context.resolver, address, self.config.max_names)
        method = MethodResult("iprev", word, (("policy.iprev", str(address)),), name)
        return [SymbolResult(_SYMBOLS[word].name, options=(name or str(address),), method=method)]
