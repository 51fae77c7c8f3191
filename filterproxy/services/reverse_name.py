"""The name of an address that its own address records confirm (RFC 8601 section 3, iprev).

The rule: DNS that does not answer is never 'there is no name'.
"""

from __future__ import annotations

import asyncio

from filterproxy.core.ports import DnsAnswer, DnsStatus, Resolver
from filterproxy.services.ip_addresses import Address, parse_ip


async def reverse_name(resolver: Resolver, address: Address, max_names: int = 5) -> tuple[str, str]:
    """Return RFC 8601's word (pass, fail, permerror, temperror) and the confirmed name, or a claimed one that is not.

    At most `max_names` of the names are looked up; the name is empty when the address has none.
    """
    reverse = await resolver.resolve(address.reverse_pointer, "PTR")
    if reverse.status is DnsStatus.TEMPERROR:
        return "temperror", ""
    names = [name for name in reverse.records if name][:max_names]
    if not names:
        return "permerror", ""
    rtype = "A" if address.version == 4 else "AAAA"
    answers = await asyncio.gather(*(resolver.resolve(name, rtype) for name in names))
    for name, answer in zip(names, answers, strict=True):
        if _holds(answer, address):
            return "pass", name
    undecided = any(answer.status is DnsStatus.TEMPERROR for answer in answers)
    return "temperror" if undecided else "fail", names[0]


def _holds(answer: DnsAnswer, address: Address) -> bool:
    return any(parse_ip(record) == address for record in answer.records)
