"""A worker: one process with its own event loop, services, pipeline and listeners on the inherited sockets.

The rule: it takes its orders from the supervisor alone; when the supervisor is gone it drains and ends by itself.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filterproxy.app.compose import OpenResolver, Services, make_pipeline, make_site, make_store
from filterproxy.app.control import ControlMessage, Word
from filterproxy.app.errors import fault_lines
from filterproxy.app.loop_watch import LoopWatch, run_watched
from filterproxy.app.next_hops import check_next_hops
from filterproxy.app.serving import Listener, make_listener
from filterproxy.app.site_models import SiteModels
from filterproxy.app.sockets import BoundListener
from filterproxy.config import listeners
from filterproxy.config.endpoints import all_providers
from filterproxy.config.loader import Loaded
from filterproxy.core.errors import ConfigError, FilterproxyError
from filterproxy.core.ports import Site
from filterproxy.listeners.context import ListenerContext
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.metrics import Metrics, enter_worker
from filterproxy.pipeline import CheckSet, Pipeline
from filterproxy.services.clock import SystemClock
from filterproxy.services.scan_pool import ThreadScanPool
from filterproxy.services.store.sqlite import SqliteStore

# What the drain time-out leaves for closing the store and the checks.
_HTTP_DRAIN = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker inherits: its number, the configuration, the sockets, the log, and how to read things anew.

    `supervisor` is that process's id, `metrics_dir` the folder of the shared metrics.
    """

    number: int
    loaded: Loaded
    bound: Sequence[BoundListener]
    log: MailLog
    load: Callable[[], Loaded]
    open_resolver: OpenResolver
    supervisor: int
    metrics_dir: Path


@dataclass(frozen=True, slots=True)
class Generation:
    """Everything that one configuration made; a reload makes the next."""

    loaded: Loaded
    site: Site
    services: Services
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a reload has built and not put to use yet; `listeners` are the changes of each listener."""

    number: int
    generation: Generation
    context: ListenerContext
    listeners: Sequence[tuple[BoundListener, Callable[[], None]]]


def run_worker(setup: WorkerSetup, control: socket.socket) -> int:
    """Serve until told to stop; return the exit status, 1 when the start failed (the supervisor knows why)."""
    enter_worker(setup.number)
    try:
        worker = Worker(setup, control)
        return run_watched(worker.run(), worker.watch)
    finally:
        setup.log.close()
        if os.getppid() != setup.supervisor:
            # Nobody else is left to tidy up; the other workers keep their files open until they have drained.
            shutil.rmtree(setup.metrics_dir, ignore_errors=True)


class Worker:
    """The worker's life: start, serve, reload, drain."""

    def __init__(self, setup: WorkerSetup, control: socket.socket) -> None:
        self._setup = setup
        self._control = control
        self._log = setup.log
        self._metrics = Metrics()
        self._log.on_lost(self._metrics.log_dropped)
        self.watch = LoopWatch(self._metrics, self._log)
        self._clock = SystemClock()
        self._pool = ThreadScanPool()
        self._store: SqliteStore = make_store(setup.loaded, self._clock, self._log, self._metrics)
        self._listeners: list[tuple[Listener, BoundListener]] = []
        self._prepared: Prepared | None = None
        self._retiring: dict[asyncio.Task[None], asyncio.Event] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Return the exit status."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        self._reader, self._writer = await asyncio.open_connection(sock=self._control)
        try:
            await self._start()
        except FilterproxyError as error:
            temporary = not isinstance(error, ConfigError)
            await self._say(ControlMessage(Word.FAILED, lines=tuple(fault_lines(error)), temporary=temporary))
            return 1
        # What was loaded stays: the garbage collector need not walk through it, nor write to its pages.
        gc.collect()
        gc.freeze()
        self.watch.begin()
        await self._say(ControlMessage(Word.READY))
        orders = asyncio.create_task(self._take_orders(), name="orders")
        await self._stopping.wait()
        orders.cancel()
        (ended,) = await asyncio.gather(orders, return_exceptions=True)
        if isinstance(ended, Exception):
            self._log.internal_error("orders", ended)
        await self._drain()
        return 0

    async def _start(self) -> None:
        await self._store.start()
        self._current = await self._open(self._setup.loaded)
        providers = all_providers(self._setup.loaded.settings.providers)
        self._context = ListenerContext(
            self._current.site,
            self._log,
            self._metrics,
            self._clock,
            providers,
            self._current.services.resolver,
            self._store,
            SiteModels(self._current.loaded),
        )
        for bound in self._setup.bound:
            listener = make_listener(
                _settings_of(bound, self._setup.loaded), self._pipeline, self._context, self._serving
            )
            await listener.start(bound.sockets)
            self._listeners.append((listener, bound))

    def _pipeline(self) -> Pipeline:
        return self._current.pipeline

    def _serving(self) -> bool:
        return not self._stopping.is_set()

    async def _open(self, loaded: Loaded, *, aside: bool = False) -> Generation:
        """Return a started generation; it owns its resolver, so that closing one never disturbs another.

        `aside`: it is made in a thread, beside the sessions that are served.
        """
        resolver = self._setup.open_resolver(loaded.settings.dns, self._clock, self._metrics.dns_query)
        services = Services(self._clock, self._log, self._metrics, self._store, self._store, self._pool, resolver)
        site = make_site(loaded)
        try:
            if aside:
                pipeline = await asyncio.to_thread(make_pipeline, loaded, site, services)
            else:
                pipeline = make_pipeline(loaded, site, services)
            await pipeline.start()
        except BaseException:
            await resolver.close()
            raise
        return Generation(loaded, site, services, pipeline)

    # Orders

    async def _take_orders(self) -> None:
        """Do as the supervisor says until it says drain, or nothing any more; then the worker stops."""
        try:
            while line := await self._reader.readline():
                order = ControlMessage.decode(line)
                if order.word is Word.DRAIN:
                    return
                await self._obey(order)
            self._log.warning("worker", f"the supervisor is gone: draining pid={os.getpid()}")
        finally:
            self._stopping.set()

    async def _obey(self, order: ControlMessage) -> None:
        if order.word is Word.PREPARE:
            await self._say(await self._prepare(order.generation))
        elif order.word is Word.COMMIT:
            self._commit(order.generation)
        elif order.word is Word.ABORT:
            await self._abort()

    async def _say(self, message: ControlMessage) -> None:
        try:
            self._writer.write(message.encode())
            await self._writer.drain()
        except ConnectionError:
            self._stopping.set()

    async def _prepare(self, generation: int) -> ControlMessage:
        await self._abort()
        try:
            # Reading and compiling takes a while: in a thread, sessions go on.
            loaded = await asyncio.to_thread(self._setup.load)
            await asyncio.to_thread(check_next_hops, loaded)
            self._prepared = await self._prepared_for(generation, await self._open(loaded, aside=True))
        except FilterproxyError as error:
            return ControlMessage(Word.REFUSED, generation, tuple(fault_lines(error)))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the configuration in use stays in use
            self._log.internal_error("reload", error)
            return ControlMessage(Word.REFUSED, generation, (f"{type(error).__name__}: {error}",))
        return ControlMessage(Word.PREPARED, generation)

    async def _prepared_for(self, number: int, generation: Generation) -> Prepared:
        """Return what the new settings of the listeners need; nothing is left of the generation when one is refused."""
        providers = all_providers(generation.loaded.settings.providers)
        site, resolver = generation.site, generation.services.resolver
        context = replace(self._context, site=site, resolver=resolver, providers=providers)
        try:
            changes = [
                (bound, await listener.prepare(_settings_of(bound, generation.loaded), context))
                for listener, bound in self._listeners
            ]
        except BaseException:
            await _close(generation.pipeline.checks, generation.services)
            raise
        return Prepared(number, generation, context, changes)

    def _commit(self, generation: int) -> None:
        prepared = self._prepared
        if prepared is None or prepared.number != generation:
            return
        gc.unfreeze()  # the old generation goes when nobody uses it any more
        old, self._current, self._prepared = self._current, prepared.generation, None
        self._context.site, self._context.resolver = prepared.context.site, prepared.context.resolver
        self._context.models = prepared.context.models
        self._context.providers = prepared.context.providers
        self._log.reopen()
        for bound, use in prepared.listeners:
            try:
                use()
            except ConfigError as error:
                self._log.warning("reload", f"{bound.config.address} keeps its files as they were: {error}")
        self._retire(old)

    async def _abort(self) -> None:
        if self._prepared is not None:
            forgotten, self._prepared = self._prepared.generation, None
            await _close(forgotten.pipeline.checks, forgotten.services)

    def _retire(self, old: Generation) -> None:
        """Close what a replaced generation opened, once the last transaction that uses it has let go of it."""
        loop = asyncio.get_running_loop()
        unused = asyncio.Event()
        weakref.finalize(old.pipeline, lambda: loop.is_closed() or loop.call_soon_threadsafe(unused.set)).atexit = False
        task = loop.create_task(_close(old.pipeline.checks, old.services, after=unused), name="retire")
        self._retiring[task] = unused
        task.add_done_callback(self._retiring.pop)

    # The end

    async def _drain(self) -> None:
        """Finish what is open; health is answered until the last session has gone."""
        timeout = self._current.loaded.settings.drain_timeout
        ends = self._clock.monotonic() + timeout
        mail = [listener for listener, bound in self._listeners if bound.config.type != "http"]
        await asyncio.gather(*(listener.drain(timeout) for listener in mail))
        left = max(_HTTP_DRAIN, ends - self._clock.monotonic())
        await asyncio.gather(*(item.drain(left) for item, bound in self._listeners if bound.config.type == "http"))
        for unused in self._retiring.values():
            unused.set()
        await asyncio.gather(*self._retiring)
        await self._abort()
        await _close(self._current.pipeline.checks, self._current.services)
        await self._store.close()
        self._pool.close()
        self._writer.close()


def _settings_of(bound: BoundListener, loaded: Loaded) -> listeners.Listener:
    """Return what a configuration says of a listener; when it says nothing, what was said at the start."""
    key = (bound.config.type, bound.config.address)
    return next((item for item in loaded.settings.listeners if (item.type, item.address) == key), bound.config)


async def _close(checks: CheckSet, services: Services, after: asyncio.Event | None = None) -> None:
    if after is not None:
        await after.wait()
    await checks.close()
    await services.resolver.close()
