"""Who may have mail relayed to where: the rule that keeps an SMTP listener from being an open relay.

The rule: a stranger's mail goes to relay_domains alone, and to no address that a server behind us could read as a
route to somewhere else.
"""

from __future__ import annotations

from collections.abc import Collection

# `user%elsewhere@ours`, `elsewhere!user@ours` and `"user@elsewhere"@ours` are routes to servers that still know them.
_ROUTING = frozenset("%!@")


def in_domains(address: str, domains: Collection[str]) -> bool:
    """Tell whether a stranger may send to this address: one of `domains` (`.example.org`: below it), and no route.

    `postmaster` without a domain is ours (RFC 5321 section 4.5.1).
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return address.lower() == "postmaster"
    if _ROUTING & set(local):
        return False
    return is_below(domain, domains)


def is_below(domain: str, domains: Collection[str]) -> bool:
    """Tell whether the domain is among `domains`; an entry with a leading dot stands for all domains below it."""
    name = _plain(domain)
    if not name:
        return False
    known = {_plain(entry) for entry in domains}
    if name in known:
        return True
    parents = name.split(".")[1:]
    return any("." + ".".join(parents[start:]) in known for start in range(len(parents)))


def _plain(domain: str) -> str:
    return domain.rstrip(".").casefold()
