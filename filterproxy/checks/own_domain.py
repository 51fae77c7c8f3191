"""Own domain: does mail from outside claim to come from one of our domains without any proof of it?

The one rule: only what the checks spf and dkim established counts; while one of them could not answer, nothing is held
against the message. Mail of our own users comes authenticated, or from local_networks, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, CheckContext, Stage
from filterproxy.core.envelope import domain_of
from filterproxy.core.outcome import Status
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain

_FROM = Symbol("OWN_DOMAIN_FROM", 3.0, "Mail from outside shows one of our domains in From, without proof")
_ENVELOPE = Symbol(
    "OWN_DOMAIN_ENVELOPE", 2.0, "Mail from outside has one of our domains as envelope sender, without proof"
)


class OwnDomainConfig(CheckConfig):
    """Keys of `checks.own_domain`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    subdomains: bool = Field(True, description="Subdomains of our domains are ours too.")


class OwnDomainCheck(Check[OwnDomainConfig]):
    """Compares From and the envelope sender with `local_domains`; needs the checks spf and dkim.

    A pass of SPF, DKIM or DMARC for the same domain is the proof, and so is a trusted ARC sealer's word.
    """

    name = "own_domain"
    immediate = True
    symbols = (_FROM, _ENVELOPE)
    config_type = OwnDomainConfig
    stage = Stage.MESSAGE
    after = frozenset({"spf", "dkim", "dmarc"})

    def __init__(self, config: OwnDomainConfig, context: CheckContext) -> None:
        super().__init__(config, context)
        self._own = tuple(sorted(map(ascii_domain, context.site.local_domains), key=len))

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return a symbol for each place that claims one of our domains without proof."""
        if not self._own or not self._comes_from_outside(transaction) or not _is_judged(transaction):
            return []
        excused = {self._which(domain) for domain in _proven_or_undecided(transaction)}
        shown = [mailbox.domain for mailbox in transaction.require_message().header_from]
        places = ((_FROM, shown), (_ENVELOPE, [domain_of(transaction.envelope.mail_from or "")]))
        results = []
        for symbol, domains in places:
            claimed = {self._which(ascii_domain(domain)) for domain in domains} - excused - {""}
            if claimed:
                results.append(SymbolResult(symbol.name, options=tuple(sorted(claimed))))
        return results

    def _comes_from_outside(self, transaction: Transaction) -> bool:
        client, site = transaction.client.address, self.context.site
        return bool(client) and not (site.offline or site.is_trusted(client) or site.is_local(client))

    def _which(self, domain: str) -> str:
        """Return the widest of our domains that the domain is (or is below), empty when it is none of ours."""
        for own in self._own:
            if domain == own or (self.config.subdomains and domain.endswith(f".{own}")):
                return own
        return ""


def _is_judged(transaction: Transaction) -> bool:
    """Tell whether SPF and DKIM both have something to say."""
    outcomes = (transaction.outcomes.get(name) for name in ("spf", "dkim"))
    return all(outcome is not None and outcome.status is Status.OK for outcome in outcomes)


def _proven_or_undecided(transaction: Transaction) -> Iterator[str]:
    """Yield the domains that a result proves, and those that DNS gave no answer about."""
    for result in transaction.methods():
        forgiven = bool(result.property("policy.override"))
        if result.result in ("pass", "temperror") or forgiven:
            yield ascii_domain(_domain(result))


def _domain(result: MethodResult) -> str:
    """Return whom a result speaks of."""
    if result.method == "dkim":
        return result.property("header.d")
    if result.method == "spf":
        return domain_of(result.property("smtp.mailfrom"))
    return result.property("header.from") if result.method == "dmarc" else ""
