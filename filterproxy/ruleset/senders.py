"""Lists of senders and clients: what of a message is looked up in them, and when a sender counts.

The rule: who can be forged does not open a door. In a list that lets mail through, an address or a domain of the
sender counts only when SPF, DKIM or DMARC vouches for it; the client's IP address needs no such proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from filterproxy.core.action import Action
from filterproxy.core.envelope import domain_of
from filterproxy.message.domains import ascii_domain, registrable_domain
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.lists import ListFile
from filterproxy.ruleset.nodes import Question
from filterproxy.ruleset.schema import ListModel
from filterproxy.ruleset.targets import mailboxes


def list_node(model: ListModel, file: ListFile) -> Question:
    """Return the question whether what the list looks at is listed."""
    lets_through = model.action is Action.NO_ACTION or model.score < 0
    authenticated = lets_through if model.authenticated is None else model.authenticated

    def ask(facts: Facts) -> str | None:
        found = (text for target in model.of if (text := _LOOKUPS[target](facts, file, authenticated)) is not None)
        return next(found, None)

    return Question(ask, "list")


def _listed_address(addresses: Iterable[str], file: ListFile) -> str | None:
    """Return the first address that is listed, itself or by its domain."""
    for address in addresses:
        domain = ascii_domain(domain_of(address))
        local = address.rpartition("@")[0]
        if address and (file.entries.has_word(f"{local}@{domain}") or (domain and file.entries.has_word(domain))):
            return address
    return None


def _mail_from(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    sender = facts.transaction.envelope.mail_from or ""
    if authenticated and not _spf_passed(facts, domain_of(sender)):
        return None
    return _listed_address([sender], file)


def _header_from(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    boxes = facts.message.header_from
    if authenticated and (len(boxes) != 1 or not vouched_for(facts, boxes[0].domain)):
        return None
    return _listed_address((box.address for box in boxes), file)


def _header(name: str) -> Callable[[Facts, ListFile, bool], str | None]:
    def lookup(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
        boxes = mailboxes(facts, [name])
        if authenticated and not (len(boxes) == 1 and vouched_for(facts, boxes[0].domain)):
            return None
        return _listed_address((box.address for box in boxes), file)

    return lookup


def _rcpt_to(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    return _listed_address(facts.transaction.envelope.rcpt_to, file)


def _client(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    address = facts.transaction.client.address
    return address if file.entries.has_address(address) else None


def _client_name(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    name = facts.transaction.client.name
    return name if name and file.entries.has_word(name) else None


def _url(facts: Facts, file: ListFile, authenticated: bool) -> str | None:
    for url in facts.message.urls:
        if file.entries.has_word(url.host) or (url.domain and file.entries.has_word(url.domain)):
            return url.host
    return None


_LOOKUPS: dict[str, Callable[[Facts, ListFile, bool], str | None]] = {
    "mail_from": _mail_from,
    "rcpt_to": _rcpt_to,
    "header_from": _header_from,
    "sender": _header("sender"),
    "reply_to": _header("reply-to"),
    "client": _client,
    "client_name": _client_name,
    "url": _url,
}


# What is known before the message.
ENVELOPE = frozenset({"mail_from", "rcpt_to", "client", "client_name"})


def vouched_for(facts: Facts, domain: str) -> bool:
    """Tell whether DMARC passed for the domain, or SPF or DKIM for a domain of the same registrable one."""
    for result in facts.transaction.methods():
        if result.result != "pass":
            continue
        if result.method == "dmarc" and _domain(result.property("header.from")) == domain:
            return True
        if result.method == "dkim" and _aligned(_domain(result.property("header.d")), domain):
            return True
        if result.method == "spf" and _aligned(_domain(result.property("smtp.mailfrom")), domain):
            return True
    return False


def _spf_passed(facts: Facts, domain: str) -> bool:
    """Tell whether SPF passed for the MAIL FROM domain itself."""
    return bool(domain) and any(
        result.result == "pass" and _domain(result.property("smtp.mailfrom")) == ascii_domain(domain)
        for result in facts.transaction.methods("spf")
    )


def _domain(text: str) -> str:
    """Return the domain of an address or of a domain."""
    return ascii_domain(text.rpartition("@")[2].rstrip("."))


def _aligned(proved: str, domain: str) -> bool:
    if not proved or not domain:
        return False
    return proved == domain or (registrable_domain(proved) or proved) == (registrable_domain(domain) or domain)
