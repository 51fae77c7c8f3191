"""What a transaction has to look up in DNS lists: the labels that go before a zone, and the text they stand for.

The one rule: an address that only our networks know, and a name of our own, is never asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from urllib.parse import unquote

from filterproxy.core.envelope import domain_of
from filterproxy.core.ports import Site
from filterproxy.core.transaction import Transaction
from filterproxy.message.domains import ascii_domain, registrable_domain
from filterproxy.services.dns_lists.definition import Query
from filterproxy.services.ip_addresses import is_public, parse_ip, reversed_labels

MAX_FROM = 4
MAX_SIGNERS = 4
MAX_ADDRESSES = 10
_TEXT_WITH_ADDRESSES = 65_536
_LINKS, _LONGEST_HREF = 1000, 1000

_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]")
_ADDRESS = re.compile(r"(?<![\w.%+-])[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")

Found = Iterator[tuple[str, str]]


class Subjects:
    """The subjects of one transaction; each kind is collected once, however many lists want it."""

    def __init__(self, transaction: Transaction, site: Site, *, max_urls: int, max_received: int) -> None:
        self._transaction, self._site = transaction, site
        self._max_urls, self._max_received = max_urls, max_received
        self._own = frozenset(ascii_domain(name) for name in (site.hostname, *site.local_domains))
        self._known: dict[tuple[str, str], dict[str, str]] = {}

    def of(self, queries: Sequence[Query], hash_name: str = "sha1") -> dict[str, str]:
        """Return the subjects of these queries by their labels, each once; mail addresses are hashed so."""
        found: dict[str, str] = {}
        for query in queries:
            key = (query, hash_name)
            if key not in self._known:
                self._known[key] = self._read(query, hash_name)
            found |= self._known[key]
        return found

    def _read(self, query: Query, hash_name: str) -> dict[str, str]:
        if query in _ADDRESSES:
            return dict(self._hashed(_ADDRESSES[query](self), hash_name))
        return dict(_READERS[query](self))

    def client(self) -> Found:
        yield from self._address(self._transaction.client.address).items()

    def received(self) -> Found:
        """Yield the addresses of the hosts that passed the message on, newest first, our own left out."""
        found: dict[str, str] = {}
        for header in self._transaction.require_message().headers.all("received"):
            if len(found) >= self._max_received:
                break
            # Only what stands before "by" tells whom the host got it from.
            place = _IN_BRACKETS.search(header.unfolded[:1000].partition(" by ")[0])
            if place and not (self._site.is_trusted(place[1]) or self._site.is_local(place[1])):
                found |= self._address(place[1])
        yield from found.items()

    def reverse_name(self) -> Found:
        """Yield the client's name: as the listener was told, else as the check iprev confirmed it."""
        name = self._transaction.client.name
        confirmed = (result.reason for result in self._transaction.methods("iprev") if result.result == "pass")
        yield from self._domain(name or next(confirmed, ""))

    def helo(self) -> Found:
        yield from self._domain(self._transaction.helo)

    def mail_from(self) -> Found:
        yield from self._domain(domain_of(self._transaction.envelope.mail_from or ""))

    def header_from(self) -> Found:
        for mailbox in self._transaction.require_message().header_from[:MAX_FROM]:
            yield from self._domain(mailbox.domain)

    def dkim(self) -> Found:
        """Yield the domains whose signatures verify; anybody could name the others."""
        passed = (result for result in self._transaction.methods("dkim") if result.result == "pass")
        for result in islice(passed, MAX_SIGNERS):
            yield from self._domain(result.property("header.d"))

    def urls(self) -> Found:
        yield from self._urls(lambda host: self._address(host) or self._domain(host))

    def url_domains(self) -> Found:
        yield from self._urls(self._domain)

    def url_addresses(self) -> Found:
        yield from self._urls(self._address)

    def _urls(self, read: Callable[[str], Iterable[tuple[str, str]] | dict[str, str]]) -> Found:
        """Yield the hosts of the URLs, at most `max_urls`, in the order of the message."""
        found: dict[str, str] = {}
        for url in self._transaction.require_message().urls:
            if len(found) >= self._max_urls:
                break
            found |= dict(read(url.host))
        yield from islice(found.items(), self._max_urls)

    def mail_from_address(self) -> Iterator[str]:
        yield self._transaction.envelope.mail_from or ""

    def header_from_address(self) -> Iterator[str]:
        yield from (mailbox.address for mailbox in self._transaction.require_message().header_from)

    def reply_to_address(self) -> Iterator[str]:
        yield from (mailbox.address for mailbox in self._transaction.require_message().addresses("reply-to"))

    def body_addresses(self) -> Iterator[str]:
        """Yield the addresses that the reader is shown, and those that a click writes to."""
        message = self._transaction.require_message()
        yield from (match[0] for match in _ADDRESS.finditer(message.text[:_TEXT_WITH_ADDRESSES]))
        for link in islice(chain.from_iterable(document.links for document in message.html), _LINKS):
            scheme, _, target = link.href[:_LONGEST_HREF].strip().partition(":")
            if scheme.lower() == "mailto":
                found = _ADDRESS.match(unquote(target.partition("?")[0]))
                yield from (found[0],) if found else ()

    def _hashed(self, addresses: Iterable[str], hash_name: str) -> Found:
        wanted: dict[str, str] = {}
        for address in addresses:
            if len(wanted) >= MAX_ADDRESSES:
                break
            domain = domain_of(address)
            if domain and registrable_domain(ascii_domain(domain)) not in self._own:
                wanted |= dict.fromkeys(address_forms(address), address)
        for form, address in wanted.items():
            yield address_hash(form, hash_name), address

    def _address(self, text: str) -> dict[str, str]:
        address = parse_ip(text.strip("[]"))
        return {reversed_labels(address): str(address)} if address and is_public(address) else {}

    def _domain(self, name: str) -> Found:
        """Yield the name and its registrable domain; lists hold one or the other."""
        name = ascii_domain(name)
        registrable = registrable_domain(name)
        if not registrable or registrable in self._own or name in self._own or parse_ip(name.strip("[]")):
            return
        yield registrable, registrable
        if name not in (registrable, f"www.{registrable}"):
            yield name, name


def address_forms(address: str) -> list[str]:
    """Return the forms in which lists may hold a mail address: as written, and as its provider reads it."""
    plain = address.strip().lower()
    local, _, domain = plain.rpartition("@")
    local = local.partition("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return list(dict.fromkeys((plain, f"{local}@{domain}")))


def address_hash(address: str, hash_name: str) -> str:
    """Return the label that stands for a mail address."""
    return hashlib.new(hash_name, address.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


_READERS: dict[str, Callable[[Subjects], Found]] = {
    "client": Subjects.client,
    "received": Subjects.received,
    "reverse_name": Subjects.reverse_name,
    "helo": Subjects.helo,
    "mail_from": Subjects.mail_from,
    "header_from": Subjects.header_from,
    "dkim": Subjects.dkim,
    "urls": Subjects.urls,
    "url_domains": Subjects.url_domains,
    "url_addresses": Subjects.url_addresses,
}
_ADDRESSES: dict[str, Callable[[Subjects], Iterator[str]]] = {
    "mail_from_address": Subjects.mail_from_address,
    "header_from_address": Subjects.header_from_address,
    "reply_to_address": Subjects.reply_to_address,
    "body_addresses": Subjects.body_addresses,
}
