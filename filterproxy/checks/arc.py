"""ARC: does the chain of those who passed the message on hold, and is the last of them one we trust?

The one rule: a chain proves who sealed it and nothing else; only a sealer the administrator names lends it weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from pydantic import Field, field_validator

from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain
from filterproxy.services.signatures import ArcResult, verify_arc

_SYMBOLS = {
    "pass": Symbol("ARC_PASS", 0.0, "The ARC chain verifies"),
    "fail": Symbol("ARC_FAIL", 0.0, "The ARC chain does not verify"),
    "none": Symbol("ARC_NONE", 0.0, "The message has no ARC chain"),
    "temperror": Symbol("ARC_TEMPERROR", 0.0, "An ARC key could not be fetched: DNS did not answer"),
}
_TRUSTED = Symbol("ARC_TRUSTED", -0.5, "The ARC chain verifies and a trusted sealer passed the message on")


class ArcConfig(CheckConfig):
    """Keys of `checks.arc`."""

    trusted_sealers: tuple[str, ...] = Field((), description="Domains whose seal is believed, and their subdomains.")

    @field_validator("trusted_sealers")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(ascii_domain(domain.removeprefix("@")) for domain in value)


class ArcCheck(Check[ArcConfig]):
    """Validates the chain with dkimpy; keys come through our resolver."""

    name = "arc"
    immediate = True
    symbols = (*_SYMBOLS.values(), _TRUSTED)
    config_type = ArcConfig
    stage = Stage.MESSAGE

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the chain's symbol, and ARC_TRUSTED with the trusted sealers, newest first, up to one who is not."""
        if self.context.site.offline:
            return []
        found = await verify_arc(transaction.require_message(), self.context.resolver, self.context.scan_pool)
        newest = found.sealers[0] if found.sealers else ""
        options = tuple(text for text in (newest, found.reason) if text)
        results = [SymbolResult(_SYMBOLS[found.result].name, options=options, method=_method(found))]
        trusted = tuple(takewhile(self._trusts, found.sealers))
        if trusted and found.result == "pass" and found.covers_author:
            results.append(SymbolResult(_TRUSTED.name, options=trusted))
        return results

    def _trusts(self, sealer: str) -> bool:
        return any(sealer == domain or sealer.endswith(f".{domain}") for domain in self.config.trusted_sealers)


def _method(found: ArcResult) -> MethodResult:
    sealed = f"i={found.instance}" if found.result == "pass" else ""
    properties = (("header.d", found.sealers[0]),) if found.sealers else ()
    return MethodResult("arc", found.result, properties, found.reason or sealed)
