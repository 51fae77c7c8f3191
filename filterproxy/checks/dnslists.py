"""DNS lists: is the client, or a domain or address the message shows, on a list the administrator configured?

The one rule: only a return code that the configuration maps to a symbol scores; a list that refuses, lies or lists
everything is switched off (see `services.dns_lists`), and an address or name of our own is never asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Self

from pydantic import Field, model_validator

from filterproxy.core.check import Check, CheckConfig, CheckContext, Stage
from filterproxy.core.errors import ConfigError
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.core.values import Seconds
from filterproxy.services.dns_lists import (
    CodeConfig,
    DnsList,
    KeyConfig,
    ListConfig,
    ListState,
    Subjects,
    load_definitions,
    read_keys,
)

_STAGES: dict[str, Stage] = {
    "client": Stage.CONNECT,
    "reverse_name": Stage.CONNECT,
    "helo": Stage.HELO,
    "mail_from": Stage.MAIL,
    "mail_from_address": Stage.MAIL,
}
_AFTER = {"dkim": "dkim", "reverse_name": "iprev"}

UNAVAILABLE = Symbol("DNSLISTS_UNAVAILABLE", 0.0, "A DNS list could not be asked: it is switched off or did not answer")
LIMITED = Symbol("DNSLISTS_LIMITED", 0.0, "Not everything was looked up in the DNS lists: checks.dnslists.max_lookups")


_Asked = tuple[ListConfig, DnsList]
_Lookup = tuple[ListConfig, DnsList, str, str]  # the list, the labels before its zone, and what they stand for


class DnsListsConfig(CheckConfig):
    """Keys of `checks.dnslists`."""

    authenticated: bool = Field(False, description="Run for mail of authenticated users.")
    local: bool = Field(False, description="Run for mail from local_networks.")
    definitions: tuple[str, ...] = Field(
        (), description="Files of ready-made lists, or patterns: `rules/dnslists/spamcop.yml`."
    )
    keys: dict[str, KeyConfig] = Field(
        {}, description="Customers' keys by the name that the definitions give them: text, or a map with `file`."
    )
    lists: tuple[ListConfig, ...] = Field(
        (), description="Lists of your own; one with the name of a ready-made list replaces it."
    )
    max_urls: int = Field(20, ge=0, le=200, description="Names from URLs that are looked up in each list.")
    max_received: int = Field(5, ge=0, le=50, description="Addresses from Received that are looked up in each list.")
    max_lookups: int = Field(200, ge=1, le=5000, description="Look-ups of one message in all lists together.")
    test_interval: Seconds = Field(3600.0, gt=0, description="Between two self-tests of a list.")
    retest_interval: Seconds = Field(300.0, gt=0, description="Until a list that was switched off is tried again.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.lists]
        doubles = {name for name in names if names.count(name) > 1}
        if doubles:
            raise ValueError(f"two lists are called {sorted(doubles)[0]!r}")
        _one_score_each(self.lists)
        return self


def _one_score_each(lists: Iterable[ListConfig]) -> None:
    known: dict[str, CodeConfig] = {}
    for code in (code for entry in lists for code in entry.codes.values()):
        if known.setdefault(code.symbol, code).score != code.score:
            raise ValueError(f"symbol {code.symbol} has two different scores")


class DnsListsCheck(Check[DnsListsConfig]):
    """Asks every list for everything it is configured for, at once. docs/dns-lists.md says how lists are chosen."""

    name = "dnslists"
    immediate = True
    symbols = (UNAVAILABLE, LIMITED)
    config_type = DnsListsConfig
    after = frozenset(_AFTER.values())

    def __init__(self, config: DnsListsConfig, context: CheckContext) -> None:
        super().__init__(config, context)
        entries = load_definitions(config.definitions, context.site.base_dir)
        entries |= {entry.name: entry for entry in config.lists}
        keys = read_keys(config.keys, context.site.base_dir)
        _refuse_unknown_keys(keys, entries.values(), bool(config.definitions))
        zones = {entry.name: entry.zone_for(keys) for entry in entries.values()}
        # A list that is for customers alone is left out without a key.
        self.without_key = tuple(name for name, zone in zones.items() if not zone)
        self._lists: list[_Asked] = [
            (entry, self._open(entry, zones[entry.name])) for entry in entries.values() if zones[entry.name]
        ]
        try:
            _one_score_each(entry for entry, _ in self._lists)
        except ValueError as error:
            raise ConfigError(str(error), key="checks.dnslists") from error
        early = [
            (entry, tuple(query for query in entry.query if query in _STAGES), zone) for entry, zone in self._lists
        ]
        self._lists_of_envelope = [
            (entry.model_copy(update={"query": queries}), zone) for entry, queries, zone in early if queries
        ]
        # As early as all that these lists read is known, and after the checks whose results they read.
        queries = {query for entry, _ in self._lists for query in entry.query}
        self.stage = max((_STAGES.get(query, Stage.MESSAGE) for query in queries), default=Stage.CONNECT)  # type: ignore[misc]
        self.after = frozenset(_AFTER[query] for query in queries if query in _AFTER)  # type: ignore[misc]

    def _open(self, entry: ListConfig, zone: str) -> DnsList:
        context = self.context
        return DnsList(
            entry,
            zone,
            context.resolver,
            context.clock,
            context.log,
            context.metrics,
            test_interval=self.config.test_interval,
            retest_interval=self.config.retest_interval,
        )

    def declared_symbols(self) -> Sequence[Symbol]:
        """Return the symbols of all configured return codes, and those for what could not be looked up."""
        symbols: dict[str, Symbol] = {symbol.name: symbol for symbol in self.symbols}
        for entry, _ in self._lists:
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

    async def test_lists(self) -> dict[str, ListState]:
        """Test every list now; return their states by name."""
        states = await asyncio.gather(*(dns_list.test() for _, dns_list in self._lists))
        return {entry.name: state for (entry, _), state in zip(self._lists, states, strict=True)}

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return one firing for each listing whose return code is configured, and what could not be looked up."""
        return await self._ask(transaction, self._lists)

    async def inspect_envelope(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the firings of what is known before the message: the client, its names, the envelope sender."""
        return await self._ask(transaction, self._lists_of_envelope)

    async def _ask(self, transaction: Transaction, lists: Sequence[_Asked]) -> Sequence[SymbolResult]:
        if self.context.site.offline or not lists:
            return []
        lookups = self._lookups(transaction, lists)
        found = await asyncio.gather(*(self._look_up(*lookup) for lookup in lookups[: self.config.max_lookups]))
        results = [result for results in found for result in results or ()]
        silent = dict.fromkeys(entry.name for (entry, *_), given in zip(lookups, found, strict=False) if given is None)
        if silent:
            results.append(SymbolResult(UNAVAILABLE.name, options=tuple(silent)))
        if len(lookups) > self.config.max_lookups:
            left_out = len(lookups) - self.config.max_lookups
            results.append(SymbolResult(LIMITED.name, options=(f"{left_out} left out",)))
        return results

    def _lookups(self, transaction: Transaction, lists: Sequence[_Asked]) -> list[_Lookup]:
        """Return what there is to look up: the first of each list, then the second of each, and so on."""
        subjects = Subjects(
            transaction, self.context.site, max_urls=self.config.max_urls, max_received=self.config.max_received
        )
        by_list = [
            [
                (entry, dns_list, labels, subject)
                for labels, subject in subjects.of(entry.query, entry.hash).items()
                if entry.ipv6 or ":" not in subject
            ]
            for entry, dns_list in lists
        ]
        return [lookup for turn in zip_longest(*by_list) for lookup in turn if lookup is not None]

    async def _look_up(
        self, entry: ListConfig, dns_list: DnsList, labels: str, subject: str
    ) -> list[SymbolResult] | None:
        """Return the listings of one subject in one list; None when the list could not be asked."""
        codes = await dns_list.lookup(labels)
        if codes is None:
            return None
        return [SymbolResult(code.symbol, options=(subject, entry.name)) for code in entry.meanings(codes)]


def _refuse_unknown_keys(keys: Iterable[str], entries: Iterable[ListConfig], defined: bool) -> None:
    """Raise ConfigError for a key that no list uses: a spelling mistake would go unnoticed otherwise."""
    used = {entry.key for entry in entries if entry.key}
    for name in keys:
        if name not in used:
            known = ", ".join(sorted(used)) if defined or used else "none: `definitions` names no file"
            raise ConfigError("no list uses this key", key=f"checks.dnslists.keys.{name}", hint=f"keys in use: {known}")
