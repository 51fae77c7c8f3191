"""Our own names in DNS: the host's in both directions, and what our domains say about their senders."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from ipaddress import ip_address

from filterproxy.app.doctor.finding import Finding, Patient, Status, answer_of
from filterproxy.core.ports import Resolver
from filterproxy.services.dmarc import Discovery, DnsTrouble, Policy
from filterproxy.services.ip_addresses import is_public, parse_ip

_HOST, _DOMAIN = "hostname", "own domains"
_MAX_DOMAINS = 20
_MAX_ADDRESSES = 4
_UNKNOWN = "DNS did not answer; see 'resolver' above"
_SPF = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
_OPEN = re.compile(r"(?:^| )\+?all(?: |$)", re.IGNORECASE)


async def examine_hostname(patient: Patient) -> Sequence[Finding]:
    """Say whether our HELO name leads to an address, and the address back to the name."""
    name = patient.site.hostname.rstrip(".").lower()
    if "." not in name:
        text = f"{name!r} is no full name: other mail servers do not accept it in HELO"
        return [Finding(_HOST, Status.WARNING, text, "set `hostname:` to this machine's full name")]
    (ipv4, trouble), (ipv6, trouble6) = await asyncio.gather(
        answer_of(patient.resolver, name, "A"), answer_of(patient.resolver, name, "AAAA")
    )
    addresses = [*ipv4, *ipv6][:_MAX_ADDRESSES]
    if not addresses:
        if trouble or trouble6:
            return [Finding(_HOST, Status.WARNING, f"{name}: {trouble or trouble6}", _UNKNOWN)]
        advice = "publish an A or AAAA record for it, or set `hostname:` to a name that has one"
        return [Finding(_HOST, Status.WARNING, f"{name} has no address in DNS", advice)]
    return await asyncio.gather(*(_reverse(patient.resolver, name, address) for address in addresses))


async def _reverse(resolver: Resolver, name: str, text: str) -> Finding:
    address = parse_ip(text)
    if address is None or not is_public(address):
        advice = "right for a server that hands all its mail to another one; else publish its public address"
        return Finding(_HOST, Status.NOTE, f"{name} is {text} here, which only this network knows", advice)
    names, trouble = await answer_of(resolver, ip_address(text).reverse_pointer, "PTR")
    if trouble:
        return Finding(_HOST, Status.WARNING, f"the name of {text}: {trouble}", _UNKNOWN)
    if name in names:
        return Finding(_HOST, Status.OK, f"{name} is {text}, and {text} is {name}")
    said = f"its reverse name is {', '.join(names[:3])}" if names else "it has no reverse name"
    advice = f"have the owner of the address publish the PTR record {name}: many refuse mail from {text} without it"
    return Finding(_HOST, Status.WARNING, f"{name} is {text}, but {said}", advice)


async def examine_domains(patient: Patient) -> Sequence[Finding]:
    """Say what SPF and DMARC of our own domains tell others about mail in our name."""
    domains = sorted(patient.site.local_domains | patient.site.relay_domains)
    if not domains:
        advice = "name them under `local_domains:`, so that mail that pretends to be yours is recognised"
        return [Finding(_DOMAIN, Status.NOTE, "none is configured", advice)]
    found = await asyncio.gather(*(_domain(patient.resolver, domain) for domain in domains[:_MAX_DOMAINS]))
    findings = [finding for findings in found for finding in findings]
    if len(domains) > _MAX_DOMAINS:
        text = f"{len(domains) - _MAX_DOMAINS} more were not looked at"
        findings.append(Finding(_DOMAIN, Status.NOTE, text, "ask for their TXT records and those of _dmarc.DOMAIN"))
    return findings


async def _domain(resolver: Resolver, domain: str) -> list[Finding]:
    return list(await asyncio.gather(_spf(resolver, domain), _dmarc(resolver, domain)))


async def _spf(resolver: Resolver, domain: str) -> Finding:
    records, trouble = await answer_of(resolver, domain, "TXT")
    spf = [record for record in records if _SPF.match(record)]
    if trouble:
        return Finding(_DOMAIN, Status.WARNING, f"SPF of {domain}: {trouble}", _UNKNOWN)
    if not spf:
        advice = f'publish which servers send for it: {domain}. TXT "v=spf1 mx -all" (or ip4:, ip6:, include:)'
        return Finding(_DOMAIN, Status.WARNING, f"{domain} has no SPF record: anybody may send in its name", advice)
    if len(spf) > 1:
        text = f"{domain} has {len(spf)} SPF records, which counts as an error everywhere (RFC 7208 section 4.5)"
        return Finding(_DOMAIN, Status.PROBLEM, text, "merge them into one")
    if _OPEN.search(spf[0]):
        advice = "end it with -all or ~all, after what names your servers"
        return Finding(_DOMAIN, Status.PROBLEM, f"SPF of {domain} lets everybody send in its name (+all)", advice)
    return Finding(_DOMAIN, Status.OK, f"SPF of {domain}: {spf[0]}")


async def _dmarc(resolver: Resolver, domain: str) -> Finding:
    try:
        found = await Discovery(resolver).applicable(domain)
    except DnsTrouble as error:
        return Finding(_DOMAIN, Status.WARNING, f"DMARC of {domain}: {error}", _UNKNOWN)
    if found is None:
        advice = f'begin with _dmarc.{domain}. TXT "v=DMARC1; p=none; rua=mailto:postmaster@{domain}"'
        return Finding(_DOMAIN, Status.WARNING, f"{domain} has no valid DMARC record", advice)
    if found.record.defect:
        text = f"the DMARC record of {found.domain} {found.record.defect}, so that it says nothing"
        return Finding(_DOMAIN, Status.PROBLEM, text, "give it a valid p=: none, quarantine or reject")
    policy = found.record.asked(subdomain=found.domain != domain, exists=True)
    if policy is Policy.NONE:
        advice = "when the reports show that your own mail passes, go on to p=quarantine and p=reject"
        return Finding(_DOMAIN, Status.NOTE, f"DMARC of {domain} asks for nothing yet (p=none)", advice)
    return Finding(_DOMAIN, Status.OK, f"DMARC of {domain}: p={policy.name.lower()}")
