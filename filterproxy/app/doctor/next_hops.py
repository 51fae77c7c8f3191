"""The next hops of SMTP listeners: greeted as a session would, and left without sending anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.config.addresses import SocketAddress
from filterproxy.config.models import NextHop as NextHopConfig
from filterproxy.config.models import SmtpService
from filterproxy.core.errors import NextHopError
from filterproxy.services.ip_addresses import is_public, parse_ip
from filterproxy.services.next_hop import NextHop

_AREA = "next hop"
_DEADLINE = 5.0


async def examine_next_hops(patient: Patient) -> Sequence[Finding]:
    """Say for each next hop whether it takes us, and what it offers."""
    hops = {
        str(listener.next_hop.address): listener.next_hop
        for listener in patient.loaded.settings.listeners
        if isinstance(listener, SmtpService)
    }
    found = await asyncio.gather(*(_examine(patient, hop) for hop in hops.values()))
    return [finding for findings in found for finding in findings]


async def _examine(patient: Patient, config: NextHopConfig) -> list[Finding]:
    bounded = {name: min(getattr(config, name), _DEADLINE) for name in ("connect_timeout", "command_timeout")}
    hop = NextHop(config.model_copy(update=bounded), lambda: patient.site.hostname)
    try:
        connection = await hop.open()
    except NextHopError as error:
        advice = "is it running, and is `next_hop:` its address? its own log says why it refuses; until then mail waits"
        return [Finding(_AREA, Status.PROBLEM, f"{hop.address} ({error.stage}): {error.reason}", advice)]
    extensions = connection.extensions
    connection.quit()
    offers = [
        "STARTTLS" if "STARTTLS" in extensions else "no STARTTLS",
        f"AUTH {extensions.keywords['AUTH']}" if "AUTH" in extensions else "no AUTH",
    ]
    findings = [Finding(_AREA, Status.OK, f"{hop.address} takes us; it offers {', '.join(offers)}")]
    if not extensions.xforward:
        advice = "without it the next hop takes this filter for the client; Postfix: smtpd_authorized_xforward_hosts"
        findings.append(Finding(_AREA, Status.NOTE, f"{hop.address} does not take XFORWARD from us", advice))
    if _crosses_the_internet(config.address) and "STARTTLS" not in extensions:
        advice = "let the next hop offer STARTTLS, or reach it through a tunnel"
        findings.append(
            Finding(_AREA, Status.WARNING, f"mail to {hop.address} crosses the Internet in plain text", advice)
        )
    return findings


def _crosses_the_internet(address: SocketAddress) -> bool:
    parsed = parse_ip(address.host)
    return parsed is not None and is_public(parsed)
