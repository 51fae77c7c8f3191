"""How much mail goes through: filterproxy as milter and as proxy, Postfix alone, Postfix with rspamd, in one run.

    python benchmarks/throughput.py [--rounds 5] [--messages 150] [--checks all|local|none] [--json]

Each round sends the same messages through every system in turn (smtp-source, a new session per message), so that what
else the machine does hits all alike. CPU is user and system time of all processes of a system, children included, but
not of the load generator and of the DNS server, which answers NXDOMAIN to everything. The client is 127.0.0.1, so that
questions about its address fall away in every filter. Read the ratios, not the rates. Needs root, Postfix, and rspamd
for the comparison with it. Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import mail_systems
from benchmarks.lib.mail_systems import Filter, MailSystem
from benchmarks.lib.nxdomain import LIST_ENTRIES
from benchmarks.lib.process_tree import cpu_seconds, end_with_all
from benchmarks.lib.sample_messages import write_samples
from filterproxy.testing.dns_server import DnsServer
from tests.system.postfix import missing, scratch_folder
from tests.system.senders import smtp_source
from tests.system.waiting import wait_until

_ROOT = Path(__file__).resolve().parent.parent
LOCAL_CHECKS: dict[str, Any] = {
    "gtube": {},
    "bayes": {"model": str(_ROOT / "models" / "default")},
    "rules": {"files": [str(_ROOT / "rules" / "*.yml")]},
}
_DNS_LIST = {
    "name": "domains",
    "zone": "dbl.example",
    "query": ["header_from", "urls"],
    "codes": {"127.0.0.2": {"symbol": "BENCH_DBL", "score": 4}},
}
ALL_CHECKS: dict[str, Any] = {
    **LOCAL_CHECKS,
    "spf": {},
    "dkim": {},
    "dmarc": {},
    "arc": {},
    "iprev": {},
    "own_domain": {},
    "helo": {},
    "dnslists": {"lists": [_DNS_LIST]},
}
CHECKS: dict[str, dict[str, Any]] = {"all": ALL_CHECKS, "local": LOCAL_CHECKS, "none": {}}


@dataclass
class Result:
    """One system's figures, one entry a round; CPU in milliseconds a message."""

    name: str
    rates: list[float] = field(default_factory=list)
    mta_cpu: list[float] = field(default_factory=list)
    filter_cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return the median of messages a second."""
        return median(self.rates)

    @property
    def cpu(self) -> float:
        """Return the median of all CPU milliseconds a message."""
        return median(mta + own for mta, own in zip(self.mta_cpu, self.filter_cpu, strict=True))


def main() -> None:
    """Run the benchmark and print its table."""
    end_with_all()
    options = _options()
    reason = missing()
    if reason:
        sys.exit(f"throughput: {reason}")
    with scratch_folder() as folder, DnsServer(LIST_ENTRIES) as dns, contextlib.ExitStack() as stack:
        filters = Filter(CHECKS[options.checks], options.workers, dns.address)
        systems = [stack.enter_context(system) for system in _systems(folder, filters, options)]
        results = _run(systems, write_samples(folder), options)
    print(_json(results) if options.json else _table(results, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=150, help="messages a round and system")
    parser.add_argument("--sessions", type=int, default=8, help="sessions at a time")
    parser.add_argument("--workers", type=int, default=2, help="workers of each filter")
    parser.add_argument("--checks", choices=CHECKS, default="all", help="local: those without DNS and DKIM")
    parser.add_argument("--seconds", type=float, default=240, help="start no round after this time")
    parser.add_argument("--only", help="systems to run, by comma: milter-unix,milter-tcp,proxy,rspamd")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _systems(
    folder: Path, filters: Filter, options: argparse.Namespace
) -> Iterator[contextlib.AbstractContextManager[MailSystem]]:
    wanted = options.only.split(",") if options.only else ["milter-unix", "milter-tcp", "proxy", "rspamd"]
    yield mail_systems.plain(folder)
    if "milter-unix" in wanted:
        yield mail_systems.milter(folder, filters, unix=True, name="milter-unix")
    if "milter-tcp" in wanted:
        yield mail_systems.milter(folder, filters, unix=False, name="milter-tcp")
    if "proxy" in wanted:
        yield mail_systems.proxy(folder, filters, name="proxy")
    if "rspamd" in wanted and mail_systems.RSPAMD:
        yield mail_systems.rspamd(folder, filters.dns, options.workers)


def _run(systems: Sequence[MailSystem], samples: Sequence[Path], options: argparse.Namespace) -> list[Result]:
    """Send the rounds, the first one of which only warms up."""
    results = [Result(system.name) for system in systems]
    began = time.monotonic()
    for number in range(options.rounds + 1):
        if number > 1 and time.monotonic() - began > options.seconds:
            print(f"throughput: stopped after {number - 1} rounds", file=sys.stderr)
            break
        for system, result in zip(systems, results, strict=True):
            if number == 0:
                _send(system, samples, min(options.messages, 30), options.sessions)
                _settle(system)
            else:
                _measure(system, result, samples, options)
    return results


def _measure(system: MailSystem, result: Result, samples: Sequence[Path], options: argparse.Namespace) -> None:
    before = _cpu(system)
    began = time.monotonic()
    sent = _send(system, samples, options.messages, options.sessions)
    seconds = time.monotonic() - began
    _drain(system)
    after = _cpu(system)
    result.rates.append(sent / seconds)
    result.mta_cpu.append((after[0] - before[0]) / sent * 1000)
    result.filter_cpu.append((after[1] - before[1]) / sent * 1000)


def _send(system: MailSystem, samples: Sequence[Path], messages: int, sessions: int) -> int:
    """Send about `messages`, the same number of each sample, and return how many."""
    each = max(1, messages // len(samples))
    for sample in samples:
        smtp_source(system.postfix.port, count=each, sessions=min(sessions, each), file=sample, timeout=300)
    return each * len(samples)


def _drain(system: MailSystem) -> None:
    """Wait until Postfix has delivered everything: its work on these messages ends there."""
    queues = ("incoming", "active", "maildrop")
    wait_until(lambda: not any(system.postfix.queued(queue) for queue in queues), "an empty queue", 120)


def _settle(system: MailSystem) -> None:
    """Wait until a system is idle: rspamd compiles its expressions in the background after its start."""
    _drain(system)
    last = [sum(_cpu(system)), time.monotonic()]

    def idle() -> bool:
        if time.monotonic() - last[1] < 1.0:
            return False
        used, last[0] = sum(_cpu(system)) - last[0], sum(_cpu(system))
        last[1] = time.monotonic()
        return used < 0.05

    wait_until(idle, f"{system.name} idle", 120)


def _cpu(system: MailSystem) -> tuple[float, float]:
    """Return the CPU seconds of Postfix and of the filter."""
    own = cpu_seconds([system.filter_pid]) if system.filter_pid else 0.0
    return cpu_seconds([system.postfix.pid]), own


def _table(results: Sequence[Result], options: argparse.Namespace) -> str:
    by_name = {result.name: result for result in results}
    alone, peer = by_name["postfix"], by_name.get("rspamd milter")
    lines = [
        f"{len(alone.rates)} rounds of {options.messages} messages (2, 12, 60 KB), {options.sessions} at a time, "
        f"checks: {options.checks}, {options.workers} workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        f"{'':14}{'msg/s':>8}{'min-max':>12}{'CPU ms/msg':>12}{'of it filter':>14}"
        f"{'x postfix':>11}{'CPU x':>7}" + (f"{'x rspamd':>10}{'CPU x':>7}" if peer else ""),
    ]
    for result in results:
        spread = f"{min(result.rates):.0f}-{max(result.rates):.0f}"
        line = f"{result.name:14}{result.rate:>8.0f}{spread:>12}{result.cpu:>12.2f}{median(result.filter_cpu):>14.2f}"
        line += f"{_ratio(result.rate, alone.rate):>11.2f}{_ratio(result.cpu, alone.cpu):>7.2f}"
        if peer:
            line += f"{_ratio(result.rate, peer.rate):>10.2f}{_ratio(result.cpu, peer.cpu):>7.2f}"
        lines.append(line)
    return "\n".join(lines)


def _ratio(value: float, other: float) -> float:
    """Return value / other; not a number when a run was too short for the kernel's 10 ms ticks."""
    return value / other if other else math.nan


def _json(results: Sequence[Result]) -> str:
    return json.dumps(
        [
            {"name": item.name, "rates": item.rates, "mta_cpu_ms": item.mta_cpu, "filter_cpu_ms": item.filter_cpu}
            for item in results
        ]
    )


if __name__ == "__main__":
    main()
