"""Metrics: what happened how often and how long it took, for Prometheus.

The rule: nothing outside this module knows a metric's name, and no label comes from a message, so that the number of
time series is bounded by the configuration. With PROMETHEUS_MULTIPROC_DIR set, every worker writes its values into that
folder and any of them answers with the sums.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from filterproxy import __version__

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# What `totals` counts from; beside the workers' files, so that a restart begins anew.
_BASE_NAME = "totals.json"
_SCAN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_CHECK_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)
_HELD_BUCKETS = (0.025, 0.05, 0.1, 0.25, 1, 5)
_DNS_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)

M = TypeVar("M", bound=MetricWrapperBase)

_identity = "supervisor"


def prepare_multiprocess(directory: Path) -> None:
    """Have all workers of this process tree share their values in the folder, which is emptied; raise OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.db"):
        stale.unlink()
    (directory / _BASE_NAME).unlink(missing_ok=True)
    os.environ[MULTIPROCESS_VARIABLE] = str(directory)


def enter_worker(number: int) -> None:
    """Write this process's values as those of a worker: the next one with the same number counts on from them."""
    global _identity
    _identity = str(number)


def worker_ended(number: int) -> None:
    """Forget the gauges of a worker that is gone; what it counted stays counted."""
    if MULTIPROCESS_VARIABLE in os.environ:
        mark_process_dead(number)  # type: ignore[no-untyped-call]


def _value_class() -> type[object]:
    """Return where values live: in files that all processes sum, or in memory."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return values.MutexValue
    return values.MultiProcessValue(lambda: _identity)  # type: ignore[no-untyped-call,no-any-return]


class _Children(dict[tuple[str, ...], M]):
    """One metric's children by their label values; a lookup here costs a third of prometheus_client's own."""

    def __init__(self, metric: M) -> None:
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> M:
        child = self[labels] = self._metric.labels(*labels) if labels else self._metric
        return child


@dataclass(frozen=True, slots=True)
class Totals:
    """Messages by action, firings by symbol, seconds of all scans together, sessions that are open now."""

    actions: dict[str, float]
    symbols: dict[str, float]
    seconds: float
    open: int


def _since(now: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    return {name: value - base.get(name, 0.0) for name, value in now.items() if value > base.get(name, 0.0)}


class Metrics:
    """One worker's metrics in a registry of their own."""

    def __init__(self) -> None:
        # prometheus_client decides between memory and shared files when it is imported, and names the files by process
        # id, so that crashes would leave files behind for ever; decide when we are made, and name them by worker.
        values.ValueClass = _value_class()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._base = Totals({}, {}, 0.0, 0)
        self._count_mail()
        self._count_peers()
        self._count_ourselves()
        ProcessCollector(registry=self.registry)

    def _count_mail(self) -> None:
        self._scans = self._counter("scans", "Messages scanned, by what was done.", "listener", "action")
        self._scan_seconds = self._histogram("scan_seconds", "Wall-clock time of a scan.", _SCAN_BUCKETS, "listener")
        self._checks = self._counter(
            "checks", "Checks run, by how they ended (ok, timed_out, failed, skipped).", "check", "status"
        )
        self._check_seconds = self._histogram("check_seconds", "Wall-clock time of a check.", _CHECK_BUCKETS, "check")
        self._symbols = self._counter("symbols", "Symbols fired.", "symbol")
        self._autolearned = self._counter(
            "autolearned", "Messages learned from what the checks said of them (spam, ham, failed).", "result"
        )

    def _count_peers(self) -> None:
        self._sessions = self._counter("sessions", "Sessions opened.", "listener")
        self._open_sessions = self._gauge("open_sessions", "Sessions open now.", "livesum", "listener")
        self._protocol_errors = self._counter("protocol_errors", "Times a peer broke the protocol.", "listener")
        self._auth = self._counter("auth", "AUTH commands and passwords over HTTP, by result: ok, failed.", "result")
        self._next_hop_errors = self._counter(
            "next_hop_errors", "Failures of the next hop, by the stage of the dialogue.", "stage"
        )
        self._dns = self._counter(
            "dns_queries", "DNS questions, by answer (found, nodata, nxdomain, temperror).", "status"
        )
        self._dns_seconds = self._histogram("dns_seconds", "Time to a DNS answer.", _DNS_BUCKETS)
        self._list_owners: dict[str, object] = {}
        self._dns_lists = self._gauge(
            "dns_list_on", "1 while a DNS list is believed, else 0; NaN once it was removed.", "livemin", "list"
        )
        self._dns_lists_off = self._counter(
            "dns_list_switched_off",
            "Times a DNS list was switched off: refused, foreign_answer, lists_everything, gone, no_answer.",
            *("list", "reason"),
        )

    def _count_ourselves(self) -> None:
        self._history_dropped = self._counter(
            "history_dropped", "History rows lost because the store could not take them."
        )
        self._log_dropped = self._counter("log_dropped", "Log lines lost because the log could not be written.")
        self._internal_errors = self._counter("internal_errors", "Messages that failed by a bug of the filter itself.")
        self._reloads = self._counter("reloads", "Reloads by result: ok, failed.", "result")
        self._held_seconds = self._histogram(
            "event_loop_held_seconds", "Times that the event loop was held longer than 10 ms.", _HELD_BUCKETS
        )
        self._crashes = self._counter("worker_crashes", "Workers that ended unasked and were started again.")
        self._gauge("build_info", "Always 1.", "livemax", "version")[__version__,].set(1)

    def _counter(self, name: str, about: str, *labels: str) -> _Children[Counter]:
        return _Children(Counter(f"filterproxy_{name}", about, labels, registry=self.registry))

    def _gauge(
        self, name: str, about: str, mode: Literal["livesum", "livemin", "livemax"], *labels: str
    ) -> _Children[Gauge]:
        return _Children(Gauge(f"filterproxy_{name}", about, labels, multiprocess_mode=mode, registry=self.registry))

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> _Children[Histogram]:
        return _Children(Histogram(f"filterproxy_{name}", about, labels, buckets=buckets, registry=self.registry))

    def scanned(self, listener: str, action: str, seconds: float) -> None:
        """Count a scanned message and the action taken."""
        self._scans[listener, action].inc()
        self._scan_seconds[listener,].observe(seconds)

    def check_done(self, check: str, status: str, seconds: float) -> None:
        """Count a check's end."""
        self._checks[check, status].inc()
        self._check_seconds[check,].observe(seconds)

    def symbol_fired(self, name: str) -> None:
        """Count a fired symbol; the name is a declared one."""
        self._symbols[name,].inc()

    def autolearned(self, result: str) -> None:
        """Count a message that was, or could not be, learned by itself: spam, ham or failed; `no` is not counted."""
        if result != "no":
            self._autolearned[result,].inc()

    def session_opened(self, listener: str) -> None:
        """Count a new session."""
        self._sessions[listener,].inc()
        self._open_sessions[listener,].inc()

    def session_closed(self, listener: str) -> None:
        """Count the end of a session."""
        self._open_sessions[listener,].dec()

    def protocol_error(self, listener: str) -> None:
        """Count a peer that broke the protocol."""
        self._protocol_errors[listener,].inc()

    def authenticated(self, *, ok: bool) -> None:
        """Count an AUTH command, or a password over HTTP."""
        self._auth["ok" if ok else "failed",].inc()

    def next_hop_error(self, stage: str) -> None:
        """Count a failure of the next hop; stage is one of connect, ehlo, mail, rcpt, data, reply."""
        self._next_hop_errors[stage,].inc()

    def dns_query(self, status: str, seconds: float) -> None:
        """Count an answered DNS question."""
        self._dns[status,].inc()
        self._dns_seconds[()].observe(seconds)

    def dns_list(self, name: str, off_because: str, owner: object) -> None:
        """Note that a DNS list is off for that reason (one word), or on (empty); `owner` knows it now."""
        self._list_owners[name] = owner
        self._dns_lists[name,].set(0 if off_because else 1)
        if off_because:
            self._dns_lists_off[name, off_because].inc()

    def forget_dns_list(self, name: str, owner: object) -> None:
        """Note that the owner knows the list no more: unless it has another owner since, it is neither on nor off."""
        if self._list_owners.get(name) is owner:
            del self._list_owners[name]
            self._dns_lists[name,].set(math.nan)  # files that several processes share cannot lose a value

    def history_dropped(self, count: int = 1) -> None:
        """Count history rows that were lost."""
        self._history_dropped[()].inc(count)

    def log_dropped(self, count: int = 1) -> None:
        """Count log lines that were lost."""
        self._log_dropped[()].inc(count)

    def internal_error(self) -> None:
        """Count a message that failed by a bug of ours."""
        self._internal_errors[()].inc()

    def reloaded(self, result: str) -> None:
        """Count a reload: ok or failed."""
        self._reloads[result,].inc()

    def event_loop_held(self, seconds: float) -> None:
        """Count that the event loop was held that long, during which no session of the worker moved on."""
        self._held_seconds[()].observe(seconds)

    def worker_crashed(self) -> None:
        """Count a worker that ended without being told to."""
        self._crashes[()].inc()

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format; the sums over all workers when they share a folder."""
        return generate_latest(self._shared())

    def totals(self) -> Totals:
        """Return what was counted by all workers since the start or the last `reset_totals`; reads files."""
        now = self._totals()
        base = self._read_base()
        return Totals(
            _since(now.actions, base.actions), _since(now.symbols, base.symbols), now.seconds - base.seconds, now.open
        )

    def reset_totals(self) -> None:
        """Have `totals` count from now on, for all workers; the metrics themselves go on as they are."""
        base = self._totals()
        folder = os.environ.get(MULTIPROCESS_VARIABLE)
        if folder is None:
            self._base = base
            return
        fresh = Path(folder) / f"{_BASE_NAME}.{_identity}"
        fresh.write_text(json.dumps([base.actions, base.symbols, base.seconds]), encoding="utf-8")
        fresh.replace(Path(folder) / _BASE_NAME)

    def _read_base(self) -> Totals:
        folder = os.environ.get(MULTIPROCESS_VARIABLE)
        if folder is None:
            return self._base
        try:
            actions, symbols, seconds = json.loads((Path(folder) / _BASE_NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Totals({}, {}, 0.0, 0)
        return Totals(actions, symbols, seconds, 0)

    def _totals(self) -> Totals:
        actions: dict[str, float] = {}
        symbols: dict[str, float] = {}
        seconds, sessions = 0.0, 0
        for family in self._shared().collect():
            for sample in family.samples:
                if sample.name == "filterproxy_scans_total":
                    actions[sample.labels["action"]] = actions.get(sample.labels["action"], 0.0) + sample.value
                elif sample.name == "filterproxy_symbols_total":
                    symbols[sample.labels["symbol"]] = sample.value
                elif sample.name == "filterproxy_scan_seconds_sum":
                    seconds += sample.value
                elif sample.name == "filterproxy_open_sessions":
                    sessions += int(sample.value)
        return Totals(actions, symbols, seconds, sessions)

    def _shared(self) -> CollectorRegistry:
        """Return where the sums of all workers are: our own registry unless they share a folder."""
        if MULTIPROCESS_VARIABLE not in os.environ:
            return self.registry
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return shared

    def names(self) -> list[str]:
        """Return the names of all metrics of our own, as they are scraped."""
        families = (family for family in self.registry.collect() if family.name.startswith("filterproxy_"))
        return sorted(family.name + ("_total" if family.type == "counter" else "") for family in families)
