"""SPF: may this client send for the envelope sender's domain, and for the name in HELO?

The one rule: a DNS failure is SPF_TEMPERROR and never a fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.envelope import domain_of
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain
from filterproxy.services.spf_evaluator import SpfResult, evaluate

_SYMBOLS = {
    "pass": Symbol("SPF_PASS", -0.2, "The envelope sender's domain lists the client in SPF"),
    "fail": Symbol("SPF_FAIL", 1.5, "The envelope sender's domain forbids the client in SPF (-all)"),
    "softfail": Symbol("SPF_SOFTFAIL", 0.5, "The envelope sender's domain does not list the client in SPF (~all)"),
    "neutral": Symbol("SPF_NEUTRAL", 0.0, "The envelope sender's domain says nothing about the client in SPF (?all)"),
    "none": Symbol("SPF_NONE", 0.0, "The envelope sender's domain has no SPF record"),
    "temperror": Symbol("SPF_TEMPERROR", 0.0, "SPF could not be checked: DNS did not answer"),
    "permerror": Symbol("SPF_PERMERROR", 0.5, "The envelope sender's domain has a broken SPF record"),
}
_HELO_SYMBOLS = {
    "pass": Symbol("SPF_HELO_PASS", 0.0, "The name in HELO lists the client in SPF"),
    "fail": Symbol("SPF_HELO_FAIL", 1.0, "The name in HELO forbids the client in SPF (-all)"),
    "softfail": Symbol("SPF_HELO_SOFTFAIL", 0.2, "The name in HELO does not list the client in SPF (~all)"),
    "neutral": Symbol("SPF_HELO_NEUTRAL", 0.0, "The name in HELO says nothing about the client in SPF (?all)"),
    "temperror": Symbol("SPF_HELO_TEMPERROR", 0.0, "SPF of the name in HELO could not be checked"),
    "permerror": Symbol("SPF_HELO_PERMERROR", 0.2, "The name in HELO has a broken SPF record"),
}
_SHARE_OF_TIME = 0.9
_MAX_DOMAIN = 60  # in a reply


class SpfConfig(CheckConfig):
    """Keys of `checks.spf`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    explanation: bool = Field(
        True, description="A refusal because of SPF_FAIL tells the sender what the domain's owner published (`exp=`)."
    )


class SpfCheck(Check[SpfConfig]):
    """MAIL FROM identity, or HELO for the null sender (RFC 7208 section 2.4); HELO besides (section 2.3)."""

    name = "spf"
    immediate = True
    symbols = (*_SYMBOLS.values(), *_HELO_SYMBOLS.values())
    config_type = SpfConfig
    stage = Stage.MAIL

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return one SPF symbol for the envelope sender, and one for HELO when it has a record."""
        mail_from = transaction.envelope.mail_from
        if self.context.site.offline or not transaction.client.address or mail_from is None:
            return []
        sender, helo = await asyncio.gather(
            self._evaluate(transaction, mail_from), self._evaluate(transaction, _postmaster(transaction.helo))
        )
        if not sender:
            return [self._result(_SYMBOLS, helo or SpfResult("none", ""), "smtp.helo", transaction)]
        results = [self._result(_SYMBOLS, sender, "smtp.mailfrom", transaction)]
        if helo and helo.result in _HELO_SYMBOLS:
            results.append(self._result(_HELO_SYMBOLS, helo, "smtp.helo", transaction))
        return results

    def _result(
        self, symbols: dict[str, Symbol], found: SpfResult, name: str, transaction: Transaction
    ) -> SymbolResult:
        value = transaction.helo if name == "smtp.helo" else transaction.envelope.mail_from or ""
        method = MethodResult("spf", found.result, ((name, value),), found.explanation or found.reason)
        options = tuple(text for text in (found.domain, found.reason) if text)
        reply = self._reply(found, transaction.client.address) if found.result == "fail" else ""
        return SymbolResult(symbols[found.result].name, options=options, method=method, reply=reply)

    def _reply(self, found: SpfResult, client: str) -> str:
        """Return what a refusal says; a text of the domain's owner is marked as theirs (RFC 7208 section 6.2)."""
        domain = ascii_domain(found.domain)[:_MAX_DOMAIN]
        text = f"SPF of {domain} does not allow {client}"
        explained = found.explanation and self.config.explanation
        return f"{text}; {domain} explains: {found.explanation}" if explained else text

    async def _evaluate(self, transaction: Transaction, identity: str) -> SpfResult | None:
        if not identity:
            return None
        try:
            # A chain of slow zones ends as a temperror of its own (RFC 7208 section 4.6.4), not as a lost check.
            async with asyncio.timeout(self.config.timeout * _SHARE_OF_TIME):
                return await evaluate(
                    self.context.resolver,
                    client=transaction.client.address,
                    identity=identity,
                    helo=transaction.helo,
                    receiver=self.context.site.hostname,
                )
        except TimeoutError:
            return SpfResult("temperror", domain_of(identity), "DNS was too slow")


def _postmaster(helo: str) -> str:
    """Return the HELO identity as an address, empty when the name cannot have a record."""
    return f"postmaster@{helo}" if "." in helo and not helo.startswith("[") else ""
