"""The composition root: a loaded configuration becomes services, checks and a pipeline.

The rule: nothing else in the program makes these objects, and everything they need is handed to them here.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filterproxy.app.empty_store import EmptyStore
from filterproxy.app.profiles import make_profiles
from filterproxy.config.listeners import PolicyListener
from filterproxy.config.loader import Loaded, load
from filterproxy.config.models import Dns
from filterproxy.config.paths import find_config
from filterproxy.config.yaml_loader import KeyPath
from filterproxy.core.check import CheckConfig, CheckContext
from filterproxy.core.errors import ConfigError
from filterproxy.core.ports import Clock, Resolver, ScanPool, Site, Store
from filterproxy.observability.maillog import MailLog, open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import CheckSet, Pipeline, PipelineOptions, Recorder, ScoringPolicy, build, discover
from filterproxy.pipeline.record import History
from filterproxy.pipeline.registry import CheckTypes, nearest
from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import OfflineResolver, OnQuery, create_resolver
from filterproxy.services.scan_pool import ThreadScanPool
from filterproxy.services.store.sqlite import SqliteStore
from filterproxy.services.store.writer import WriterOptions

if TYPE_CHECKING:
    from filterproxy.services.signatures import Sealer


class ClosableResolver(Resolver, Protocol):
    """A resolver that must be closed."""

    async def close(self) -> None:
        """Give back its sockets."""


OpenResolver = Callable[[Dns, Clock, OnQuery], ClosableResolver]


@dataclass(frozen=True, slots=True)
class Services:
    """What checks and listeners of one process stand on; all of it outlives a reload except the resolver."""

    clock: Clock
    log: MailLog
    metrics: Metrics
    store: Store
    history: History | None
    scan_pool: ScanPool
    resolver: ClosableResolver


@dataclass(frozen=True, slots=True)
class OpenPipeline:
    """A started pipeline and the site it belongs to, as commands use it."""

    pipeline: Pipeline
    site: Site
    loaded: Loaded


def load_config(path: Path | None, types: CheckTypes | None = None) -> Loaded:
    """Return the configuration that applies (`-c`, environment, well-known places); raise ConfigError."""
    return load(find_config(path), config_types(types or discover()))


def config_types(types: CheckTypes) -> Mapping[str, type[CheckConfig]]:
    """Return the configuration type of each installed check, looked up when it is first asked for."""
    return _ConfigTypes(types)


class _ConfigTypes(Mapping[str, type[CheckConfig]]):
    def __init__(self, types: CheckTypes) -> None:
        self._types = types

    def __getitem__(self, name: str) -> type[CheckConfig]:
        return self._types[name].config_type

    def __contains__(self, name: object) -> bool:
        return name in list(self._types)  # by name, without importing the check

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)


def load_ahead(loaded: Loaded) -> None:
    """Load, before processes are forked, what they can share: it is in memory once, and takes its time once."""
    for config in loaded.checks.values():
        with suppress(ConfigError):  # the check says it when a process starts
            config.load_ahead(loaded.base_dir)
    # A garbage collector would write to, and so copy, the pages that a process shares with the others.
    gc.collect()
    gc.freeze()


def make_site(loaded: Loaded, *, offline: bool = False) -> Site:
    """Return what the administrator said about this site."""
    settings = loaded.settings
    return Site(
        hostname=settings.hostname,
        base_dir=loaded.base_dir,
        state_dir=loaded.state_dir,
        trusted_networks=settings.trusted_networks,
        local_networks=settings.local_networks,
        local_domains=settings.local_domains,
        relay_domains=settings.relay_domains,
        offline=offline,
    )


def make_store(loaded: Loaded, clock: Clock, log: MailLog, metrics: Metrics) -> SqliteStore:
    """Return the configured store, not yet started."""
    options = WriterOptions(retention=loaded.settings.history_retention)
    return SqliteStore(loaded.store_path, log=log, metrics=metrics, clock=clock, options=options)


def make_pipeline(loaded: Loaded, site: Site, services: Services) -> Pipeline:
    """Return the pipeline of a configuration, not yet started; raise ConfigError naming what is wrong."""
    types = discover()

    def context(name: str) -> CheckContext:
        log = services.log.for_check(name)
        return CheckContext(
            services.resolver, services.store, services.scan_pool, services.clock, log, site, services.metrics
        )

    checks = build(types, loaded.checks, context)
    policy = make_policy(loaded, checks, types)
    return Pipeline(
        checks,
        policy,
        _options(loaded),
        profiles=make_profiles(loaded.settings.profiles, policy),
        sealer=_sealer(loaded),
        clock=services.clock,
        scan_pool=services.scan_pool,
        recorder=Recorder(services.log, services.metrics, services.history, services.clock),
    )


def _sealer(loaded: Loaded) -> Sealer | None:
    settings = loaded.settings.arc_sealing
    if settings is None:
        return None
    from filterproxy.services.signatures import Sealer, load_key

    if "arc" not in loaded.checks:
        raise loaded.error(("arc_sealing",), "needs the check arc, which says whether the chain so far holds")
    try:
        key = load_key(loaded.base_dir / settings.key_file)
    except ValueError as error:
        raise loaded.error(("arc_sealing", "key_file"), str(error)) from error
    return Sealer(settings.domain, settings.selector, key)


def make_policy(loaded: Loaded, checks: CheckSet, types: CheckTypes) -> ScoringPolicy:
    """Return the policy of a configuration; raise ConfigError for a symbol that nobody declares."""
    settings = loaded.settings
    _refuse_unknown_symbols(loaded, checks, types)
    return ScoringPolicy(
        thresholds=settings.actions,
        symbols=checks.symbols,
        scores=settings.scores,
        forced_actions={**checks.forced_actions, **settings.force_actions},
        composites=checks.composites,
        group_limits=checks.group_limits,
        soft_reject_on_failure=frozenset(
            name for name, config in loaded.checks.items() if config.on_failure == "soft reject"
        ),
    )


def _refuse_unknown_symbols(loaded: Loaded, checks: CheckSet, types: CheckTypes) -> None:
    """Raise ConfigError for a score or forced action of a symbol that no enabled or built-in check declares."""
    settings = loaded.settings
    named: list[KeyPath] = [(key, name) for key in ("scores", "force_actions") for name in getattr(settings, key)]
    for profile in ("authenticated", "local"):
        scores = getattr(settings.profiles, profile).scores
        named += [("profiles", profile, "scores", name) for name in scores]
    for number, listener in enumerate(settings.listeners):
        if isinstance(listener, PolicyListener):
            named += [("listeners", number, "force_actions", name) for name in listener.force_actions]
    unknown = [path for path in named if path[-1] not in checks.symbols]
    if not unknown:
        return
    # A score for a check that is switched off is no mistake: people switch checks off and on.
    declared = _installed_symbols(types)
    for path in unknown:
        if path[-1] not in declared:
            hint = nearest(str(path[-1]), checks.symbols)
            raise loaded.error(path, "no enabled check declares this symbol", hint=hint, of_key=True)


def _installed_symbols(types: CheckTypes) -> set[str]:
    names: set[str] = set()
    for name in types:
        with suppress(ConfigError):  # a package that cannot be loaded matters when its check is enabled, and only then
            names.update(symbol.name for symbol in types[name].symbols)
    return names


def _options(loaded: Loaded) -> PipelineOptions:
    settings = loaded.settings
    return PipelineOptions(
        hostname=settings.hostname,
        deadline=settings.deadline,
        mode=settings.mode,
        failure_policy=settings.failure_policy,
        max_scan_size=settings.max_scan_size,
        subject=settings.subject,
        step_limit=settings.step_limit,
    )


@asynccontextmanager
async def open_pipeline(path: Path | None, *, offline: bool = False) -> AsyncIterator[OpenPipeline]:
    """Yield a started pipeline for a command: no listeners, no history, nothing written to the store."""
    loaded = load_config(path)
    clock, log, metrics, pool = SystemClock(), open_maillog("stderr"), Metrics(), ThreadScanPool()
    resolver = OfflineResolver() if offline else create_resolver(loaded.settings.dns, clock)
    services = Services(clock, log, metrics, EmptyStore(), None, pool, resolver)
    site = make_site(loaded, offline=offline)
    pipeline = make_pipeline(loaded, site, services)
    await pipeline.start()
    try:
        yield OpenPipeline(pipeline, site, loaded)
    finally:
        await pipeline.close()
        await resolver.close()
        pool.close()
        log.close()
