"""DNS lists: is the client, or a domain the message shows, on a list the administrator configured?

The one rule: only a return code that the configuration maps to a symbol scores; a list that refuses, lies or lists
everything is switched off (see `services.dns_list`), and an address or name of our own is never asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from filterproxy.core.check import Check, CheckConfig, CheckContext, Stage
from filterproxy.core.envelope import domain_of
from filterproxy.core.symbol import SYMBOL_NAME, Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.core.values import Seconds
from filterproxy.message.domains import ascii_domain, registrable_domain
from filterproxy.services.dns_list import DnsList, Matcher, parse_code
from filterproxy.services.ip_addresses import is_public, parse_ip, reversed_labels

Query = Literal["client", "reverse_name", "helo", "mail_from", "header_from", "urls"]

_STAGES: dict[str, Stage] = {
    "client": Stage.CONNECT,
    "reverse_name": Stage.CONNECT,
    "helo": Stage.HELO,
    "mail_from": Stage.MAIL,
    "header_from": Stage.MESSAGE,
    "urls": Stage.MESSAGE,
}
_KINDS = {"client": {"address"}, "urls": {"address", "domain"}}
_MAX_FROM = 4


class CodeConfig(BaseModel):
    """What a return code means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str = Field(pattern=SYMBOL_NAME.pattern.removesuffix(r"\Z") + "$", description="The symbol that fires.")
    score: float = Field(0.0, description="Its score.")
    description: str = Field("", description="What it means, for people.")


class ListConfig(BaseModel):
    """One list: its zone, what is looked up in it, and its return codes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="For messages; the zone, which may hold a key, is never shown.")
    zone: str = Field(min_length=1, description="The list's DNS zone.")
    query: tuple[Query, ...] = Field(min_length=1, description="What is looked up: addresses, domains, or both.")
    codes: dict[str, CodeConfig] = Field(min_length=1, description="What an answer means, by address or pattern.")
    _matchers: tuple[tuple[Matcher, CodeConfig], ...] = PrivateAttr(())

    @field_validator("codes")
    @classmethod
    def _readable(cls, value: dict[str, CodeConfig]) -> dict[str, CodeConfig]:
        for pattern in value:
            parse_code(pattern)
        return value

    def model_post_init(self, context: object) -> None:
        """Prepare the codes."""
        self._matchers = tuple((parse_code(pattern), code) for pattern, code in self.codes.items())

    def meanings(self, codes: Sequence[IPv4Address]) -> Iterator[CodeConfig]:
        """Yield what the answered codes mean; a code that is not configured means nothing."""
        for matches, code in self._matchers:
            if any(matches(answered) for answered in codes):
                yield code


class DnsListsConfig(CheckConfig):
    """Keys of `checks.dnslists`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    lists: tuple[ListConfig, ...] = Field((), description="The lists that are asked.")
    max_urls: int = Field(20, ge=0, le=200, description="Names from URLs that are looked up in each list.")
    test_interval: Seconds = Field(3600.0, gt=0, description="Between two self-tests of a list.")
    retest_interval: Seconds = Field(300.0, gt=0, description="Until a list that was switched off is tried again.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.lists]
        doubles = {name for name in names if names.count(name) > 1}
        if doubles:
            raise ValueError(f"two lists are called {sorted(doubles)[0]!r}")
        known: dict[str, CodeConfig] = {}
        for code in (code for entry in self.lists for code in entry.codes.values()):
            if known.setdefault(code.symbol, code).score != code.score:
                raise ValueError(f"symbol {code.symbol} has two different scores")
        return self


class DnsListsCheck(Check[DnsListsConfig]):
    """Asks every list for everything it is configured for, at once."""

    name = "dnslists"
    config_type = DnsListsConfig

    def __init__(self, config: DnsListsConfig, context: CheckContext) -> None:
        super().__init__(config, context)
        # As early as all that the configured lists read is known.
        queries = {query for entry in config.lists for query in entry.query}
        self.stage = max((_STAGES[query] for query in queries), default=Stage.CONNECT)  # type: ignore[misc]
        self._lists = [(entry, self._open(entry)) for entry in config.lists]
        self._own = frozenset(ascii_domain(name) for name in (context.site.hostname, *context.site.local_domains))

    def _open(self, entry: ListConfig) -> DnsList:
        kinds = frozenset(kind for query in entry.query for kind in _KINDS.get(query, {"domain"}))
        return DnsList(
            entry.name,
            entry.zone,
            kinds,
            self.context.resolver,
            self.context.clock,
            self.context.log,
            test_interval=self.config.test_interval,
            retest_interval=self.config.retest_interval,
        )

    def declared_symbols(self) -> Sequence[Symbol]:
        """Return the symbols of all configured return codes."""
        symbols: dict[str, Symbol] = {}
        for entry in self.config.lists:
            for code in entry.codes.values():
                description = code.description or f"Listed by {entry.name}"
                symbols.setdefault(code.symbol, Symbol(code.symbol, code.score, description, "dnslists"))
        return tuple(symbols.values())

    async def start(self) -> None:
        """Begin the lists' self-tests, without waiting for them."""
        if not self.context.site.offline:
            for _, dns_list in self._lists:
                dns_list.start_test()

    async def close(self) -> None:
        """Stop the self-tests."""
        await asyncio.gather(*(dns_list.close() for _, dns_list in self._lists))

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return one firing for each listing whose return code is configured."""
        if self.context.site.offline or not self._lists:
            return []
        subjects = _Subjects(transaction, self._own, self.config.max_urls)
        jobs = [
            self._look_up(entry, dns_list, labels, subject)
            for entry, dns_list in self._lists
            for labels, subject in subjects.of(entry.query).items()
        ]
        found = await asyncio.gather(*jobs)
        return [result for results in found for result in results]

    async def _look_up(self, entry: ListConfig, dns_list: DnsList, labels: str, subject: str) -> list[SymbolResult]:
        codes = await dns_list.lookup(labels)
        return [SymbolResult(code.symbol, options=(subject, entry.name)) for code in entry.meanings(codes)]


class _Subjects:
    """What a transaction has to look up: labels to put before a zone, and the text they stand for."""

    def __init__(self, transaction: Transaction, own: frozenset[str], max_urls: int) -> None:
        self._transaction, self._own, self._max_urls = transaction, own, max_urls
        self._known: dict[str, dict[str, str]] = {}

    def of(self, queries: Sequence[Query]) -> dict[str, str]:
        """Return the subjects of these queries, each once."""
        found: dict[str, str] = {}
        for query in queries:
            if query not in self._known:
                self._known[query] = _READERS[query](self)
            found |= self._known[query]
        return found

    def client(self) -> dict[str, str]:
        return self._address(self._transaction.client.address)

    def reverse_name(self) -> dict[str, str]:
        return self._domain(self._transaction.client.name)

    def helo(self) -> dict[str, str]:
        return self._domain(self._transaction.helo)

    def mail_from(self) -> dict[str, str]:
        return self._domain(domain_of(self._transaction.envelope.mail_from or ""))

    def header_from(self) -> dict[str, str]:
        mailboxes = self._transaction.require_message().header_from[:_MAX_FROM]
        return {labels: subject for mailbox in mailboxes for labels, subject in self._domain(mailbox.domain).items()}

    def urls(self) -> dict[str, str]:
        """Return the hosts of the URLs; at most `max_urls`, in the order of the message."""
        found: dict[str, str] = {}
        for url in self._transaction.require_message().urls:
            if len(found) >= self._max_urls:
                break
            found |= self._address(url.host) or self._domain(url.host)
        return dict(list(found.items())[: self._max_urls])

    def _address(self, text: str) -> dict[str, str]:
        address = parse_ip(text.strip("[]"))
        return {reversed_labels(address): str(address)} if address and is_public(address) else {}

    def _domain(self, name: str) -> dict[str, str]:
        """Return the name and its registrable domain; lists hold one or the other."""
        name = ascii_domain(name)
        registrable = registrable_domain(name)
        if not registrable or registrable in self._own or name in self._own or parse_ip(name.strip("[]")):
            return {}
        return {registrable: registrable} | ({} if name == f"www.{registrable}" else {name: name})


_READERS: dict[str, Callable[[_Subjects], dict[str, str]]] = {
    "client": _Subjects.client,
    "reverse_name": _Subjects.reverse_name,
    "helo": _Subjects.helo,
    "mail_from": _Subjects.mail_from,
    "header_from": _Subjects.header_from,
    "urls": _Subjects.urls,
}
