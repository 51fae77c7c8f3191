"""The DNS lists: each is tested now, as it is in operation (RFC 5782)."""

from __future__ import annotations

from collections.abc import Sequence

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.checks.dnslists import DnsListsCheck
from filterproxy.services.dns_lists import ListState, Trouble

_AREA = "DNS lists"
_ADVICE = {
    Trouble.REFUSED: "ask through a resolver of your own that does not forward, or get a key: docs/dns-lists.md",
    Trouble.FOREIGN: "do all lists say so? see 'resolver' above; else its domain has a new owner: remove the list",
    Trouble.WILDCARD: "the list was closed or is broken: remove it, or wait until its operator has mended it",
    Trouble.GONE: "is `zone` spelt right? else the list was closed: remove it",
    Trouble.SILENT: "do all lists say so? see 'resolver' above; else the list is down and is tried again by itself",
}


async def examine_dns_lists(patient: Patient) -> Sequence[Finding]:
    """Say for each list whether it may be believed."""
    check = next((check for check in patient.checks.checks if isinstance(check, DnsListsCheck)), None)
    if check is None:
        return () if patient.asks_lists else [_none("no DNS list is enabled")]
    states = await check.test_lists()
    findings = [_finding(name, state) for name, state in states.items()]
    if check.without_key:
        names = ", ".join(check.without_key)
        findings.append(Finding(_AREA, Status.NOTE, f"left out without a key: {names}", "see checks.dnslists.keys"))
    return findings or [_none("`dnslists` is enabled and names no list")]


def _none(text: str) -> Finding:
    return Finding(_AREA, Status.NOTE, text, "docs/dns-lists.md says which there are and what their terms are")


def _finding(name: str, state: ListState) -> Finding:
    if state.trouble is not None:
        advice = _ADVICE[state.trouble]
        return Finding(_AREA, Status.PROBLEM, f"{name} is switched off: {state.off_because}", advice)
    if state.doubt:
        return Finding(
            _AREA, Status.WARNING, f"{name}: {state.doubt}", "is `zone` spelt right, and does the list exist?"
        )
    return Finding(_AREA, Status.OK, f"{name} is on")
