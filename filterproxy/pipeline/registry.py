"""Which checks are installed, and the checks that the configuration enables, put in order and verified.

The rule: what is wrong with a set of checks is found at start-up and names the culprit, never at a message.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig, CheckContext, Stage
from filterproxy.core.composite import Composite
from filterproxy.core.errors import ConfigError, FilterproxyError
from filterproxy.core.symbol import Symbol
from filterproxy.message import DEFECTS

GROUP = "filterproxy.checks"


class CheckTypes(Mapping[str, type[Check[Any]]]):
    """The installed checks by name; a check's code is imported when it is first asked for, not before."""

    def __init__(self, found: Mapping[str, EntryPoint]) -> None:
        self._found = found

    def __getitem__(self, name: str) -> type[Check[Any]]:
        """Import and return the check; raise ConfigError when its package is broken, KeyError when unknown."""
        entry_point = self._found[name]
        try:
            loaded = entry_point.load()
        except Exception as error:
            raise ConfigError(f"check {name!r} ({entry_point.value}) cannot be loaded: {error!r}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Check)):
            raise ConfigError(f"check {name!r} ({entry_point.value}) is not a subclass of filterproxy's Check")
        return loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def discover() -> CheckTypes:
    """Return every installed check, built-in or not, from the entry points group `filterproxy.checks`."""
    return CheckTypes({point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)})


@dataclass(frozen=True)
class CheckSet:
    """Enabled checks in an order that respects `after`, with everything they declare."""

    checks: tuple[Check[Any], ...] = ()
    stages: Mapping[str, Stage] = field(default_factory=dict)
    symbols: Mapping[str, Symbol] = field(default_factory=dict)
    composites: tuple[Composite, ...] = ()
    forced_actions: Mapping[str, Action] = field(default_factory=dict)
    declared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    group_limits: Mapping[str, float] = field(default_factory=dict)

    async def start(self) -> None:
        """Start every check; close those that started and raise ConfigError naming the one that did not."""
        started: list[Check[Any]] = []
        for check in self.checks:
            try:
                await check.start()
            except Exception as error:  # a plugin may raise anything; the culprit is named
                for other in reversed(started):
                    await other.close()
                if isinstance(error, ConfigError):
                    raise
                reason = error.reason if isinstance(error, FilterproxyError) else repr(error)
                raise ConfigError(f"check {check.name!r} did not start: {reason}") from error
            started.append(check)

    async def close(self) -> None:
        """Close every check, last started first."""
        for check in reversed(self.checks):
            await check.close()


def build(
    types: Mapping[str, type[Check[Any]]],
    configs: Mapping[str, CheckConfig],
    context: Callable[[str], CheckContext],
) -> CheckSet:
    """Make the enabled checks; raise ConfigError for a duplicate symbol, a cycle or an unknown composite term.

    `configs` holds one validated configuration for each enabled check; `context(name)` gives it its services.
    """
    order = _order({name: types[name] for name in configs})
    checks = tuple(_make(name, types[name], configs[name], context) for name in order)
    declared = {check.name: frozenset(symbol.name for symbol in check.declared_symbols()) for check in checks}
    symbols = _collect_symbols(checks)
    composites = _order_composites([composite for check in checks for composite in check.composites()], symbols)
    limits = {name: limit for check in checks for name, limit in check.group_limits().items()}
    return CheckSet(checks, _stages(checks), symbols, composites, _forced(checks), declared, limits)


def _order(types: Mapping[str, type[Check[Any]]]) -> list[str]:
    graph = {name: sorted(set(check.after) & set(types)) for name, check in types.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ConfigError(f"checks wait for each other in a circle: {' -> '.join(error.args[1])}") from error


def _make(
    name: str, check_type: type[Check[Any]], config: CheckConfig, context: Callable[[str], CheckContext]
) -> Check[Any]:
    if getattr(check_type, "name", None) != name:
        raise ConfigError(f"check {name!r} calls itself {getattr(check_type, 'name', None)!r}; they must be the same")
    try:
        return check_type(config, context(name))
    except FilterproxyError:
        raise
    except Exception as error:  # a plugin's constructor may raise anything; say whose it was
        raise ConfigError(f"check {name!r} cannot be made: {error!r}") from error


def _stages(checks: tuple[Check[Any], ...]) -> dict[str, Stage]:
    stages: dict[str, Stage] = {}
    for check in checks:  # in order of `after`: what it reads has its stage already
        stages[check.name] = max([check.stage, *(stages[name] for name in check.after if name in stages)])
    return stages


def outcome_symbols(check: str) -> tuple[Symbol, Symbol]:
    """Return the two symbols that say that a check failed or ran out of time."""
    prefix = check.upper().replace("-", "_")
    return (
        Symbol(f"{prefix}_FAILED", 0.0, f"The check {check} could not answer"),
        Symbol(f"{prefix}_TIMED_OUT", 0.0, f"The check {check} ran out of time"),
    )


def defect_symbol(defect: str) -> Symbol:
    """Return the symbol for one of the message parser's defects."""
    return Symbol(f"MESSAGE_{defect.upper()}", 0.0, DEFECTS.get(defect, defect))


def _collect_symbols(checks: tuple[Check[Any], ...]) -> dict[str, Symbol]:
    symbols = {symbol.name: symbol for symbol in map(defect_symbol, DEFECTS)}
    owners = dict.fromkeys(symbols, "message")
    for check in checks:
        names = [composite.name for composite in check.composites()]
        own = [*check.declared_symbols(), *outcome_symbols(check.name)]
        own += [Symbol(item.name, item.score, item.description, item.group) for item in check.composites()]
        for symbol in own:
            if symbol.name in owners:
                kind = "composite" if symbol.name in names else "symbol"
                raise ConfigError(
                    f"{kind} {symbol.name} of check {check.name!r} exists already in {owners[symbol.name]!r}"
                )
            owners[symbol.name] = check.name
            symbols[symbol.name] = symbol
    return symbols


def _forced(checks: tuple[Check[Any], ...]) -> dict[str, Action]:
    return {name: action for check in checks for name, action in check.forced_actions().items()}


def _order_composites(composites: list[Composite], symbols: Mapping[str, Symbol]) -> tuple[Composite, ...]:
    by_name = {composite.name: composite for composite in composites}
    for composite in composites:
        for name in composite.expression.names():
            if name not in symbols:
                raise ConfigError(
                    f"composite {composite.name} names {name}, which no enabled check declares",
                    file=composite.origin,
                    hint=nearest(name, symbols),
                )
    graph = {name: set(item.expression.names()) & by_name.keys() for name, item in by_name.items()}
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ConfigError(f"composites refer to each other in a circle: {' -> '.join(error.args[1])}") from error


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return `did you mean X?` for the most similar known name, or an empty string."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {found[0]}?" if found else ""
