"""Metrics: what happened how often and how long it took, for Prometheus.

The rule: nothing outside this module knows a metric's name, and no label comes from a message, so that the number of
time series is bounded by the configuration. With PROMETHEUS_MULTIPROC_DIR set, every worker writes its values into that
folder and any of them answers with the sums.
"""

from __future__ import annotations

import os
from pathlib import Path

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
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from filterproxy import __version__

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SCAN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_CHECK_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)
_DNS_BUCKETS = (0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5)

_identity = "supervisor"


def prepare_multiprocess(directory: Path) -> None:
    """Have all workers of this process tree share their values in the folder, which is emptied; raise OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.db"):
        stale.unlink()
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


class Metrics:
    """One worker's metrics in a registry of their own."""

    def __init__(self) -> None:
        # prometheus_client decides between memory and shared files when it is imported, and names the files by process
        # id, so that crashes would leave files behind for ever; decide when we are made, and name them by worker.
        values.ValueClass = _value_class()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._scans = Counter(
            "filterproxy_scans", "Messages scanned, by what was done.", ["listener", "action"], registry=registry
        )
        self._scan_seconds = Histogram(
            "filterproxy_scan_seconds",
            "Wall-clock time of a scan.",
            ["listener"],
            buckets=_SCAN_BUCKETS,
            registry=registry,
        )
        self._checks = Counter(
            "filterproxy_checks",
            "Checks run, by how they ended (ok, timed_out, failed, skipped).",
            ["check", "status"],
            registry=registry,
        )
        self._check_seconds = Histogram(
            "filterproxy_check_seconds",
            "Wall-clock time of a check.",
            ["check"],
            buckets=_CHECK_BUCKETS,
            registry=registry,
        )
        self._symbols = Counter("filterproxy_symbols", "Symbols fired.", ["symbol"], registry=registry)
        self._open_sessions = Gauge(
            "filterproxy_open_sessions",
            "Sessions open now.",
            ["listener"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._sessions = Counter("filterproxy_sessions", "Sessions opened.", ["listener"], registry=registry)
        self._protocol_errors = Counter(
            "filterproxy_protocol_errors", "Times a peer broke the protocol.", ["listener"], registry=registry
        )
        self._next_hop_errors = Counter(
            "filterproxy_next_hop_errors",
            "Failures of the next hop, by the stage of the dialogue.",
            ["stage"],
            registry=registry,
        )
        self._dns = Counter(
            "filterproxy_dns_queries",
            "DNS questions, by answer (found, nodata, nxdomain, temperror).",
            ["status"],
            registry=registry,
        )
        self._dns_seconds = Histogram(
            "filterproxy_dns_seconds", "Time to a DNS answer.", buckets=_DNS_BUCKETS, registry=registry
        )
        self._history_dropped = Counter(
            "filterproxy_history_dropped", "History rows lost because the store could not take them.", registry=registry
        )
        self._log_dropped = Gauge(
            "filterproxy_log_dropped_lines",
            "Log lines lost because the log could not be written.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._internal_errors = Counter(
            "filterproxy_internal_errors", "Messages that failed by a bug of the filter itself.", registry=registry
        )
        self._reloads = Counter("filterproxy_reloads", "Reloads by result: ok, failed.", ["result"], registry=registry)
        self._crashes = Counter(
            "filterproxy_worker_crashes", "Workers that ended unasked and were started again.", registry=registry
        )
        self._info = Gauge(
            "filterproxy_build_info", "Always 1.", ["version"], multiprocess_mode="livemax", registry=registry
        )
        self._info.labels(__version__).set(1)
        ProcessCollector(registry=registry)

    def scanned(self, listener: str, action: str, seconds: float) -> None:
        """Count a scanned message and the action taken."""
        self._scans.labels(listener, action).inc()
        self._scan_seconds.labels(listener).observe(seconds)

    def check_done(self, check: str, status: str, seconds: float) -> None:
        """Count a check's end."""
        self._checks.labels(check, status).inc()
        self._check_seconds.labels(check).observe(seconds)

    def symbol_fired(self, name: str) -> None:
        """Count a fired symbol; the name is a declared one."""
        self._symbols.labels(name).inc()

    def session_opened(self, listener: str) -> None:
        """Count a new session."""
        self._sessions.labels(listener).inc()
        self._open_sessions.labels(listener).inc()

    def session_closed(self, listener: str) -> None:
        """Count the end of a session."""
        self._open_sessions.labels(listener).dec()

    def protocol_error(self, listener: str) -> None:
        """Count a peer that broke the protocol."""
        self._protocol_errors.labels(listener).inc()

    def next_hop_error(self, stage: str) -> None:
        """Count a failure of the next hop; stage is one of connect, ehlo, mail, rcpt, data, reply."""
        self._next_hop_errors.labels(stage).inc()

    def dns_query(self, status: str, seconds: float) -> None:
        """Count an answered DNS question."""
        self._dns.labels(status).inc()
        self._dns_seconds.observe(seconds)

    def history_dropped(self, count: int = 1) -> None:
        """Count history rows that were lost."""
        self._history_dropped.inc(count)

    def log_dropped(self, total: int) -> None:
        """Set how many log lines this worker lost since its start."""
        self._log_dropped.set(total)

    def internal_error(self) -> None:
        """Count a message that failed by a bug of ours."""
        self._internal_errors.inc()

    def reloaded(self, result: str) -> None:
        """Count a reload: ok or failed."""
        self._reloads.labels(result).inc()

    def worker_crashed(self) -> None:
        """Count a worker that ended without being told to."""
        self._crashes.inc()

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format; the sums over all workers when they share a folder."""
        if MULTIPROCESS_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)

    def names(self) -> list[str]:
        """Return the names of all metrics of our own, as they are scraped."""
        families = (family for family in self.registry.collect() if family.name.startswith("filterproxy_"))
        return sorted(family.name + ("_total" if family.type == "counter" else "") for family in families)
