"""The check interface: the one seam between the pipeline and everything that has an opinion on a message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from filterproxy.core.action import Action
from filterproxy.core.composite import Composite
from filterproxy.core.ports import CheckMetrics, Clock, Log, NoMetrics, Resolver, ScanPool, Site, Store
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.core.values import Seconds


class Stage(IntEnum):
    """The points of a transaction at which more data exists; RCPT means all recipients are known."""

    CONNECT = 1
    HELO = 2
    MAIL = 3
    RCPT = 4
    MESSAGE = 5


class CheckConfig(BaseModel):
    """What every `checks.<name>` accepts; a check adds its own keys in a subclass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Seconds = Field(10.0, gt=0, description="Longest time this check may take, inside the deadline.")
    on_failure: Literal["ignore", "soft reject"] = Field(
        "ignore", description="What a failure or time-out of this check does to the message."
    )
    authenticated: bool = Field(True, description="Run for mail of authenticated users.")
    local: bool = Field(True, description="Run for mail from local_networks.")

    def watched_files(self, base_dir: Path) -> Sequence[Path]:
        """Return files of the check whose change makes a running service reload, with what patterns stand for now."""
        return ()

    def load_ahead(self, base_dir: Path) -> None:
        """Load what all workers can share; called once before they are forked, outside any event loop.

        The check itself takes what was loaded, or loads it when it was not. No threads, sockets or databases: a fork
        carries none of them over. A ConfigError raised here is ignored, as the check raises it again at its start.
        """


ConfigT = TypeVar("ConfigT", bound=CheckConfig)


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a check may use; everything else is out of its reach."""

    resolver: Resolver
    store: Store
    scan_pool: ScanPool
    clock: Clock
    log: Log
    site: Site
    metrics: CheckMetrics = field(default_factory=NoMetrics)


class Check(ABC, Generic[ConfigT]):
    """One independent opinion on a transaction: it reports evidence and never decides.

    A check keeps no per-message state on itself: `inspect` runs for many transactions at once.

    `immediate`: until it first waits, `inspect` asks nothing of its asyncio task (`asyncio.timeout`, `TaskGroup`,
    `current_task`), so it is begun without one, and needs none when it does not wait at all.
    """

    name: ClassVar[str]
    symbols: ClassVar[Sequence[Symbol]] = ()
    config_type: ClassVar[type[CheckConfig]] = CheckConfig
    stage: ClassVar[Stage] = Stage.MESSAGE
    after: ClassVar[frozenset[str]] = frozenset()
    immediate: ClassVar[bool] = False

    def __init__(self, config: ConfigT, context: CheckContext) -> None:
        self.config = config
        self.context = context

    async def start(self) -> None:
        """Prepare (load files, open connections); raise to stop the start-up."""

    async def close(self) -> None:
        """Give back what `start` took."""

    def declared_symbols(self) -> Sequence[Symbol]:
        """Return every symbol `inspect` may fire; override when the configuration decides which exist."""
        return self.symbols

    def composites(self) -> Sequence[Composite]:
        """Return symbols made of other symbols, for the policy to apply."""
        return ()

    def forced_actions(self) -> Mapping[str, Action]:
        """Return actions that a symbol of this check forces, by symbol name."""
        return {}

    def group_limits(self) -> Mapping[str, float]:
        """Return the most that symbols of a group add to a score, by the group's name."""
        return {}

    @abstractmethod
    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return the evidence; raise CheckError when the question cannot be answered."""

    async def inspect_envelope(self, transaction: Transaction) -> Sequence[SymbolResult]:
        """Return what can be said without the message, for an answer at RCPT; raise CheckError.

        Only asked of a check whose stage is MESSAGE; one of an earlier stage says all that it knows by then anyway.
        """
        return ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fired symbol and the check it comes from (a composite's is the check that declares it)."""

    symbol: ScoredSymbol
    check: str


class LearningCheck(Check[ConfigT]):
    """A check that learns: what people tell it, and from what the others said of a message (autolearn)."""

    async def teach(self, raw: bytes, label: str) -> bool:
        """Learn a message as `spam` or `ham`, or `forget` it; tell whether that changed anything.

        Raises FilterproxyError when it cannot be learned; a check that only learns by itself leaves this as it is.
        """
        return False

    @property
    def learned(self) -> tuple[int, int]:
        """Return how many spam and ham messages this site has learned."""
        return 0, 0

    @property
    def autolearns(self) -> bool:
        """Tell whether the configuration wants it; when it does not, nothing of this is ever called."""
        return False

    @abstractmethod
    def choose_class(self, transaction: Transaction, result: ScanResult, evidence: Sequence[Evidence]) -> Autolearn:
        """Return as what the message is to be learned; must return at once.

        `evidence` leaves out this check's own symbols and every composite that reads one of them.
        """

    @abstractmethod
    def learn_later(self, transaction: Transaction, chosen: Autolearn) -> None:
        """Take the message to be learned as it was chosen; called after its answer was given, must return at once."""
