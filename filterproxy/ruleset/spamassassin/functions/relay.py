"""Eval functions about relays (Mail::SpamAssassin::Plugin::RelayEval, WLBLEval)."""

from __future__ import annotations

import re

from filterproxy.message.domains import registrable_domain
from filterproxy.ruleset.spamassassin.functions.function import Call, Function
from filterproxy.ruleset.spamassassin.functions.headers import first_of
from filterproxy.ruleset.spamassassin.received import Relay
from filterproxy.ruleset.spamassassin.relays import relays_of

_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}\Z")
_DOMAIN = re.compile(r"\w+(?:[\w.-]+\.)+\w+\Z")
_DOTCOM = re.compile(
    r"(?:\.|\A)(?:lycos\.com|lycos\.co\.uk|hotmail\.com|localhost\.com|excite\.com|caramail\.com|cs\.com|aol\.com|msn\.com"
    r"|yahoo\.com|drizzle\.com)\Z",
    re.IGNORECASE,
)


def _all_trusted(call: Call) -> bool:
    relays = relays_of(call.facts)
    return bool(relays.of("trusted")) and not relays.of("untrusted") and not relays.unknown


def _none(call: Call) -> bool:
    relays = relays_of(call.facts)
    return not relays.relays and not relays.unknown


def _unknown(call: Call) -> bool:
    return relays_of(call.facts).unknown > 0


def _helo_mismatch(call: Call) -> bool:
    return any(_names_other_address(relay) for relay in relays_of(call.facts).of("untrusted"))


def _names_other_address(relay: Relay) -> bool:
    said = Relay(relay.helo)
    if not _IPV4.match(relay.helo) or not _IPV4.match(relay.ip) or said.private or relay.private:
        return False
    return not relay.ip.startswith(relay.helo.rpartition(".")[0] + ".")


def _dotcom(call: Call) -> bool:
    found = False
    for relay in relays_of(call.facts).of("untrusted"):
        if not relay.private:
            found = bool(_DOTCOM.search(relay.helo)) and relay.looked_up and not relay.rdns
    return found


def _site(host: str) -> str:
    """Return the last two labels of a host, three below a short suffix."""
    parts = host.split(".")
    if not re.search(r"[a-zA-Z]", host) or len(parts) < 2:
        return host
    if re.search(r"\S{3,}|ie|fr|de", parts[-1]):
        return ".".join(parts[-2:])
    return ".".join(parts[-3:])


def _forged_trail(call: Call) -> bool:
    """Tell whether at least two relays were handed the message by another host than the one below says it is."""
    relays = relays_of(call.facts).of("untrusted")
    sources: list[str] = []
    mismatches = 0
    for number, relay in enumerate(relays):
        local = relay.rdns.lower() in ("localhost", "localhost.localdomain") and relay.ip == "127.0.0.1"
        sources.append("" if local else _site(relay.rdns.lower()))
        by = _site(relay.by.lower())
        before = sources[number - 1] if number else ""
        if number and _DOMAIN.match(by) and _DOMAIN.match(before) and by != before:
            mismatches += (by, before) != ("msn.com", "hotmail.com")
    return mismatches > 1


def _sender_matches_relay(call: Call) -> bool:
    domain = first_of(call.facts, "EnvelopeFrom:addr").lower().rpartition("@")[2]
    if "." not in domain:
        return False
    relays = relays_of(call.facts)
    asked = relays.of("untrusted")[:1] or relays.of("trusted")
    site = registrable_domain(domain) or domain
    return any(relay.rdns and (registrable_domain(relay.rdns.lower()) or relay.rdns.lower()) == site for relay in asked)


FUNCTIONS = {
    "check_all_trusted": Function(_all_trusted),
    "check_no_relays": Function(_none),
    "check_relays_unparseable": Function(_unknown),
    "helo_ip_mismatch": Function(_helo_mismatch),
    "check_for_no_rdns_dotcom_helo": Function(_dotcom),
    "check_for_forged_received_trail": Function(_forged_trail),
    "check_mailfrom_matches_rcvd": Function(_sender_matches_relay),
}
