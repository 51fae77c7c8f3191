"""DMARC: is the domain in From authenticated by SPF or DKIM, and what does its owner want if not?

The one rule: only one, well-formed From whose domain aligns with a pass is a pass; DNS trouble is neither pass nor
fail. A failure stays a failure when a trusted forwarder explains it, but the owner's wish is then not held against the
message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator

from filterproxy.config.actions import ActionWord
from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.outcome import Status
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain
from filterproxy.services.dmarc import (
    Author,
    Discovery,
    DnsTrouble,
    Identifier,
    Policy,
    Record,
    any_aligned,
    read_author,
)
from filterproxy.services.signatures import sealed_results

_PASS = Symbol("DMARC_PASS", -0.5, "SPF or DKIM authenticates the domain in From")
_NA = Symbol("DMARC_NA", 0.0, "The domain in From has no DMARC policy, or nothing is known to judge it by")
_TEMPERROR = Symbol("DMARC_TEMPERROR", 0.0, "DMARC could not be checked: DNS did not answer")
_PERMERROR = Symbol("DMARC_PERMERROR", 0.5, "DMARC could not be checked: From or the policy is malformed")
_FAILED = {
    Policy.NONE: Symbol(
        "DMARC_POLICY_NONE", 0.1, "The domain in From is not authenticated; its owner asks for nothing"
    ),
    Policy.QUARANTINE: Symbol(
        "DMARC_POLICY_QUARANTINE", 1.5, "The domain in From is not authenticated; its owner asks for quarantine"
    ),
    Policy.REJECT: Symbol(
        "DMARC_POLICY_REJECT", 2.0, "The domain in From is not authenticated; its owner asks for rejection"
    ),
}
_FORGIVEN = Symbol(
    "DMARC_FORGIVEN", 0.0, "The domain in From is not authenticated, but was when a trusted forwarder (ARC) saw it"
)

_MAX_DOMAIN = 100  # in a reply


class DmarcConfig(CheckConfig):
    """Keys of `checks.dmarc`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    actions: dict[Literal["none", "quarantine", "reject"], ActionWord] = Field(
        {},
        description="Actions forced for mail that fails, by its owner's policy (`reject: reject`); else by score.",
    )

    @field_validator("actions")
    @classmethod
    def _no_pass(cls, value: dict[str, Action]) -> dict[str, Action]:
        if Action.NO_ACTION in value.values():
            raise ValueError("'no action' would let spoofed mail pass all other checks; leave the policy out instead")
        return value


class DmarcCheck(Check[DmarcConfig]):
    """RFC 9989 on the results of spf and dkim: tree walk, alignment, policy.

    A failure is forgiven (DMARC_FORGIVEN) when a sealer in `checks.arc.trusted_sealers` saw the author authenticated.
    """

    name = "dmarc"
    immediate = True
    symbols = (_PASS, _NA, _TEMPERROR, _PERMERROR, _FORGIVEN, *_FAILED.values())
    config_type = DmarcConfig
    stage = Stage.MESSAGE
    after = frozenset({"spf", "dkim", "arc"})

    def forced_actions(self) -> Mapping[str, Action]:
        """Return the actions of `checks.dmarc.actions` by symbol."""
        return {_FAILED[Policy[policy.upper()]].name: action for policy, action in self.config.actions.items()}

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the one DMARC symbol of the message."""
        if self.context.site.offline:
            return []
        author = read_author(transaction.require_message())
        discovery = Discovery(self.context.resolver)
        try:
            if not author.domain:
                return [await _without_author(discovery, author)]
            return [await _judge(discovery, author.domain, transaction)]
        except DnsTrouble as trouble:
            domain = author.domain or ", ".join(author.claimed)
            return [_result(_TEMPERROR, "temperror", domain, str(trouble))]


async def _without_author(discovery: Discovery, author: Author) -> SymbolResult:
    """Judge mail whose From is not one plain address: by the strictest policy of the domains it shows, never a pass."""
    policies = []
    for domain in author.claimed:
        found = await discovery.applicable(domain)
        if found is not None and not found.record.defect:
            policies.append((await discovery.policy(domain, found), domain))
    if not policies:
        return _result(_PERMERROR, "permerror", ", ".join(author.claimed), author.reason)
    policy, domain = max(policies)
    return _result(_FAILED[policy], "fail", domain, author.reason, policy)


async def _judge(discovery: Discovery, domain: str, transaction: Transaction) -> SymbolResult:
    found = await discovery.applicable(domain)
    if found is None:
        return _result(_NA, "none", domain)
    if found.record.defect:
        # No DMARC processing (section 4.10.1); a record with a syntax error is a permerror (section 9.1's registry).
        symbol, word = (_PERMERROR, "permerror") if found.record.broken else (_NA, "none")
        return _result(symbol, word, domain, f"the record of {found.domain} {found.record.defect}")
    results = [result for result in transaction.methods() if _counts(result, transaction)]
    if await any_aligned(discovery, domain, found.record, _identifiers(results, "pass")):
        return _result(_PASS, "pass", domain)
    if await any_aligned(discovery, domain, found.record, _identifiers(results, "temperror")):
        return _result(_TEMPERROR, "temperror", domain, "an aligned identifier could not be checked")
    failed = [name for name in ("spf", "dkim") if _did_not_answer(transaction, name)]
    if failed:
        return _result(_TEMPERROR, "temperror", domain, f"the check {failed[0]} could not answer")
    if not transaction.client.address:
        # Without the client's address SPF was not asked, so nothing is known against the message.
        return _result(_NA, "none", domain, "no client address")
    policy = await discovery.policy(domain, found)
    forwarder = await _trusted_witness(discovery, domain, found.record, transaction)
    if forwarder:
        return _result(_FORGIVEN, "fail", domain, forwarder, policy, ("policy.override", "trusted_forwarder"))
    return _result(_FAILED[policy], "fail", domain, f"policy of {found.domain}", policy)


async def _trusted_witness(discovery: Discovery, domain: str, record: Record, transaction: Transaction) -> str:
    """Return which trusted sealer saw the author authenticated, empty when none did.

    The newest sealer mostly got the message from another one already; an older one's word counts as long as everybody
    after it is trusted too, which is what ARC_TRUSTED lists.
    """
    arc = transaction.outcomes.get("arc")
    trusted = next((result.options for result in arc.results if result.name == "ARC_TRUSTED"), ()) if arc else ()
    message = transaction.require_message()
    newest = message.headers.count("arc-authentication-results")
    for instance, sealer in zip(range(newest, 0, -1), trusted, strict=False):
        seen = [found for found in sealed_results(message, instance) if _says_mail_from(found)]
        verdicts = {result.result for result in seen if result.method == "dmarc" and _author_of(result) == domain}
        if "pass" in verdicts:
            return f"trusted forwarder {sealer} (i={instance}) saw dmarc=pass"
        if not verdicts and await any_aligned(discovery, domain, record, _identifiers(seen, "pass")):
            return f"trusted forwarder {sealer} (i={instance}) saw an aligned pass"
    return ""


def _did_not_answer(transaction: Transaction, check: str) -> bool:
    outcome = transaction.outcomes.get(check)
    return outcome is not None and outcome.status in (Status.FAILED, Status.TIMED_OUT)


def _says_mail_from(result: MethodResult) -> bool:
    """Tell whether a result that others saw is no mere pass of SPF for a HELO name."""
    return result.method != "spf" or bool(result.property("smtp.mailfrom"))


def _author_of(result: MethodResult) -> str:
    return ascii_domain(result.property("header.from").rpartition("@")[2])


def _counts(result: MethodResult, transaction: Transaction) -> bool:
    """Tell whether DMARC reads the result: SPF's of HELO only without a MAIL FROM."""
    return result.method != "spf" or bool(result.property("smtp.mailfrom")) or not transaction.envelope.mail_from


def _identifiers(results: Iterable[MethodResult], word: str) -> Iterator[Identifier]:
    """Yield the identities with that result: d= of DKIM (or of i=), MAIL FROM or HELO of SPF."""
    for result in results:
        if result.method == "dkim":
            name = result.property("header.d") or result.property("header.i").rpartition("@")[2]
        elif result.method == "spf":
            name = result.property("smtp.mailfrom").rpartition("@")[2] or result.property("smtp.helo")
        else:
            continue
        if result.result == word and name:
            yield Identifier(result.method, ascii_domain(name))


def _result(
    symbol: Symbol, word: str, domain: str, reason: str = "", policy: Policy | None = None, *more: tuple[str, str]
) -> SymbolResult:
    properties = [("header.from", domain)] if domain else []
    if policy is not None:
        properties.append(("policy.dmarc", policy.name.lower()))
    properties += more
    options = tuple(text for text in (domain, reason) if text)
    method = MethodResult("dmarc", word, tuple(properties), reason)
    # The word DMARC lets the sender's people find the cause (RFC 9989 on rejecting messages).
    reply = f"DMARC policy of {domain[:_MAX_DOMAIN]}" if word == "fail" else ""
    return SymbolResult(symbol.name, options=options, method=method, reply=reply)
