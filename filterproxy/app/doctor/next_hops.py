"""The next hops of SMTP listeners: greeted as a session would, and left without sending anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.app.next_hops import next_hops
from filterproxy.config.addresses import SocketAddress
from filterproxy.core.errors import ConfigError, NextHopError
from filterproxy.services.ip_addresses import is_public, parse_ip
from filterproxy.services.next_hop.hop import Hop

_AREA = "next hop"
_DEADLINE = 5.0
_TIMEOUTS = ("connect_timeout", "tls_timeout", "command_timeout", "token_timeout")


async def examine_next_hops(patient: Patient) -> Sequence[Finding]:
    """Say for each server of each next hop whether it takes us, and what it offers."""
    hops: dict[str, Hop] = {}
    try:
        for _, next_hop in next_hops(patient.loaded):
            hops |= {str(hop.endpoint.address): hop for hop in next_hop.everywhere()}
    except ConfigError as error:
        return [Finding(_AREA, Status.PROBLEM, str(error), "correct the configuration")]
    found = await asyncio.gather(*(_examine(patient, hop) for hop in hops.values()))
    return [finding for findings in found for finding in findings]


async def _examine(patient: Patient, hop: Hop) -> list[Finding]:
    address, settings = hop.endpoint.address, hop.endpoint.settings
    bounded = {name: min(getattr(settings, name), _DEADLINE) for name in _TIMEOUTS}
    endpoint = replace(hop.endpoint, settings=settings.model_copy(update=bounded))
    try:
        connection = await Hop(endpoint, lambda: patient.site.hostname).open()
    except NextHopError as error:
        return [Finding(_AREA, Status.PROBLEM, f"{address} ({error.stage}): {error.reason}", _advice(error))]
    extensions, tls = connection.extensions, connection.tls
    connection.quit()
    offers = [
        tls.version if tls is not None else "STARTTLS" if "STARTTLS" in extensions else "no STARTTLS",
        f"AUTH {extensions.keywords['AUTH']}" if "AUTH" in extensions else "no AUTH",
    ]
    findings = [Finding(_AREA, Status.OK, f"{address} takes us; it offers {', '.join(offers)}")]
    if not extensions.xforward and not hop.endpoint.secret:
        advice = "without it the next hop takes this filter for the client; Postfix: smtpd_authorized_xforward_hosts"
        findings.append(Finding(_AREA, Status.NOTE, f"{address} does not take XFORWARD from us", advice))
    if _crosses_the_internet(address) and tls is None:
        advice = "let the next hop offer STARTTLS, or reach it through a tunnel"
        findings.append(Finding(_AREA, Status.WARNING, f"mail to {address} crosses the Internet in plain text", advice))
    return findings


def _advice(error: NextHopError) -> str:
    if error.stage in ("tls", "auth"):
        return "`filterproxy test-delivery` shows the whole dialogue; docs/smarthosts.md says what providers ask for"
    return "is it running, and is `next_hop:` its address? its own log says why it refuses; until then mail waits"


def _crosses_the_internet(address: SocketAddress) -> bool:
    parsed = parse_ip(address.host)
    return parsed is not None and is_public(parsed)
