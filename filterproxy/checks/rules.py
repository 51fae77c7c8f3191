"""The administrator's rules: YAML files of matchers, composites and lists. docs/writing-rules.md explains them.

The rule: every rule's firing says which text it saw; a file that is wrong stops the start-up with its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import Field

from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig, CheckContext
from filterproxy.core.composite import Composite
from filterproxy.core.errors import ConfigError
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.core.values import Seconds, Size
from filterproxy.ruleset import loader, shared
from filterproxy.ruleset.facts import DEFAULT_LIMITS, TextLimits
from filterproxy.ruleset.ruleset import TIME_LIMIT, Hit

# Seconds that asking the rules may hold the event loop before the rest goes to the scan pool.
_ON_LOOP = 0.003


class RulesConfig(CheckConfig):
    """Keys of `checks.rules`."""

    files: tuple[str, ...] = Field(
        ("rules/*.yml",), min_length=1, description="Rules files or patterns, relative to the configuration's folder."
    )
    refresh: Seconds = Field(1.0, gt=0, description="How often list files are looked at for changes.")
    text_limit: Size = Field(DEFAULT_LIMITS.text, ge=1024, description="Characters of a text that rules look at.")
    raw_limit: Size = Field(DEFAULT_LIMITS.raw, ge=1024, description="Bytes of a raw body that rules look at.")
    look_around_time: Seconds = Field(
        DEFAULT_LIMITS.seconds,
        gt=0,
        description="Time that expressions with look-around or backreferences have for one message, all together.",
    )
    pool_size: Size = Field(64 * 1024, ge=0, description="Messages larger than this are matched off the event loop.")

    def watched_files(self, base_dir: Path) -> Sequence[Path]:
        """Return the rules files; a change of one, a new one and a missing one call for a reload."""
        try:
            return loader.find_files(self.files, base_dir)
        except ConfigError:
            return ()  # the reload says what is missing

    def load_ahead(self, base_dir: Path) -> None:
        """Load the rules, which are most of a worker's memory."""
        shared.load(self.files, base_dir, self.limits)

    @property
    def limits(self) -> TextLimits:
        """Return how much rules look at."""
        return TextLimits(self.text_limit, self.raw_limit, self.look_around_time)


class RulesCheck(Check[RulesConfig]):
    """Fires the symbols of the rules that match. It runs after authentication, which allow lists rely on."""

    name = "rules"
    immediate = True
    symbols = (TIME_LIMIT,)
    config_type = RulesConfig
    after = frozenset({"spf", "dkim", "dmarc", "arc"})

    def __init__(self, config: RulesConfig, context: CheckContext) -> None:
        super().__init__(config, context)
        self.ruleset = shared.load(config.files, context.site.base_dir, config.limits)
        self._refreshed = context.clock.monotonic()

    def declared_symbols(self) -> Sequence[Symbol]:
        """Return a symbol for each rule and list."""
        return (*self.symbols, *self.ruleset.symbols)

    def composites(self) -> Sequence[Composite]:
        """Return the composites, each after those it reads."""
        return self.ruleset.composites

    def forced_actions(self) -> Mapping[str, Action]:
        """Return the `action:` of rules, lists and composites."""
        return self.ruleset.forced_actions

    def group_limits(self) -> Mapping[str, float]:
        """Return the limits under `groups:`."""
        return self.ruleset.group_limits

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the symbols of the rules that match, with the texts they saw."""
        await self._refresh_lists()
        now = self.context.clock.now()
        return [_result(hit) for hit in await self._match(transaction, now)]

    async def inspect_envelope(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the symbols of the lists that hold the client, the envelope sender or a recipient."""
        await self._refresh_lists()
        return [_result(hit) for hit in self.ruleset.match_envelope(transaction, self.context.clock.now())]

    async def _match(self, transaction: Transaction, now: datetime) -> Sequence[Hit]:
        """Match on the event loop what is sure to be fast, and anything else off it."""
        pool = self.context.scan_pool
        if transaction.require_message().size > self.config.pool_size:
            return await pool.run(self.ruleset.match, transaction, now)
        work = self.ruleset.begin(transaction, now)
        if not work.slow and self.ruleset.advance(work, _ON_LOOP):
            return work.hits
        return await pool.run(self.ruleset.finish, work)

    async def _refresh_lists(self) -> None:
        """Look at the list files, at most once in `refresh` seconds."""
        now = self.context.clock.monotonic()
        if now - self._refreshed < self.config.refresh:
            return
        self._refreshed = now
        for problem in await self.context.scan_pool.run(self.ruleset.refresh_lists):
            self.context.log.warning("a list keeps its last entries: %s", problem)


def _result(hit: Hit) -> SymbolResult:
    return SymbolResult(hit.name, options=hit.evidence)
