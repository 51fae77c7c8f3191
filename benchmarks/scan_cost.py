"""CPU of one message in the filter's own process, stage by stage, without any mail connection.

    python benchmarks/scan_cost.py [--messages 500] [--rounds 5] [--together 4] [--checks all|local|none] [--json]

The pipeline is made by the composition root from a configuration file, with log file, SQLite history and shared
metrics as in a worker. DNS is asked from a server on loopback (unbound when installed) for which no name exists; its
own CPU is not counted, the resolver's is. Messages are those of the SpamAssassin corpus when `benchmarks/corpus.py`
has fetched it, else the tests' own, with CRLF; client and envelope come from their headers.

The whole is measured without any instrument, in rounds interleaved with a yardstick: the standard library's parser
(`email`, policy compat32), decoding each part, on the same messages. With rspamd installed, `--rspamd` scans them with
it too (Debian's configuration without Redis, same name server) and counts its process' CPU. The stages come from a
second run with an instrument that costs a little itself; they are shown as measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email
import gc
import json
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from benchmarks.lib import mail_samples, stages
from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.rspamd_scan import rspamd_cpu
from benchmarks.throughput import CHECKS
from filterproxy.app.compose import Services, load_config, make_pipeline, make_site, make_store
from filterproxy.core.check import Stage
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics, prepare_multiprocess
from filterproxy.pipeline import Delivery, Pipeline
from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import create_resolver
from filterproxy.services.scan_pool import ThreadScanPool

_MILTER = Delivery("milter", can_hold=True)


def main() -> None:
    """Run the measurement and print it."""
    options = _options()
    corpus, mails = mail_samples.load(options.messages)
    with name_server() as (server, port, _), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_multiprocess(folder / "metrics")
        config = write_config(folder, options.checks, port)
        found = asyncio.run(
            measure(config, mails, rounds=options.rounds, together=options.together, profile=options.profile)
        )
        if options.rspamd:
            found["rspamd_ms"] = round(rspamd_cpu(mails, port, options.rounds), 3)
    found = {"corpus": corpus, "messages": len(mails), "checks": options.checks, "dns": f"NXDOMAIN by {server}"} | found
    print(json.dumps(found) if options.json else _table(found, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--together", type=int, default=4, help="messages in the process at once")
    parser.add_argument("--checks", choices=CHECKS, default="all")
    parser.add_argument("--rspamd", action="store_true", help="scan the messages with rspamd too")
    parser.add_argument("--profile", type=Path, help="write a cProfile of one more round to this file")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def write_config(folder: Path, checks: str, port: int) -> Path:
    """Write a configuration with those checks and that name server; return its path."""
    path = folder / "filterproxy.yml"
    settings = {
        "hostname": "mx.example.org",
        "mode": "observe",
        "log": {"to": "mail.log"},
        "store": "sqlite:state.db",
        "dns": {"nameservers": [f"127.0.0.1:{port}"], "timeout": "1s"},
        "checks": CHECKS[checks],
    }
    path.write_text(yaml.safe_dump(settings))
    return path


async def measure(
    config: Path, mails: Sequence[Mail], *, rounds: int, together: int = 4, profile: Path | None = None
) -> dict[str, Any]:
    """Return milliseconds of CPU a message, ours and the yardstick's, and microseconds by stage."""
    async with _service(config) as (pipeline, services):
        await _scan_all(pipeline, mails, together)
        gc.collect()
        gc.freeze()
        ours, stdlib = [], []
        for _ in range(rounds):
            stdlib.append(_cpu_of(lambda: _parse_all(mails)) / len(mails))
            before = _cpu()
            await _scan_all(pipeline, mails, together)
            await _flush(services)
            ours.append((_cpu() - before) / len(mails))
        if profile:
            await _profile(pipeline, mails, together, profile)
        spent = await _by_stage(pipeline, services, mails, together)
    return {
        "total_ms": round(median(ours), 3),
        "best_ms": round(min(ours), 3),
        "stdlib_parse_ms": round(median(stdlib), 3),
        "stdlib_best_ms": round(min(stdlib), 3),
        "ratio": round(median(our / peer for our, peer in zip(ours, stdlib, strict=True)), 2),
        "stages_us": {name: round(value, 1) for name, value in sorted(spent.items(), key=lambda item: -item[1])},
    }


async def cost(config: Path, mails: Sequence[Mail]) -> float:
    """Return milliseconds of CPU a message, the first message left out."""
    async with _service(config) as (pipeline, services):
        await _scan_all(pipeline, mails[:1], 1)
        before = _cpu()
        await _scan_all(pipeline, mails, 1)
        await _flush(services)
        return (_cpu() - before) / len(mails)


@contextlib.asynccontextmanager
async def _service(config: Path) -> AsyncIterator[tuple[Pipeline, Services]]:
    """Yield a started pipeline with everything a worker gives it."""
    loaded = load_config(config)
    clock, metrics, pool = SystemClock(), Metrics(), ThreadScanPool()
    log = open_maillog(loaded.settings.log.to, loaded.base_dir)
    store = make_store(loaded, clock, log, metrics)
    await store.start()
    resolver = create_resolver(loaded.settings.dns, clock, metrics.dns_query)
    services = Services(clock, log, metrics, store, store, pool, resolver)
    pipeline = make_pipeline(loaded, make_site(loaded), services)
    await pipeline.start()
    try:
        yield pipeline, services
    finally:
        await pipeline.close()
        await resolver.close()
        await store.close()
        pool.close()
        log.close()


async def _scan_all(pipeline: Pipeline, mails: Sequence[Mail], together: int) -> None:
    """Scan and record every message, so many of them at once; like a milter, which sends edits as commands."""
    waiting: Iterator[tuple[int, Mail]] = iter(enumerate(mails))

    async def work() -> None:
        for number, mail in waiting:
            scan = pipeline.begin(mail_samples.begin(mail, number), _MILTER)
            scan.reached(Stage.MAIL)
            scan.reached(Stage.RCPT)
            verdict = await scan.finish(mail.raw)
            scan.record(verdict, "250 2.0.0 Ok: queued as 4XyzBench")

    await asyncio.gather(*(work() for _ in range(together)))


async def _flush(services: Services) -> None:
    """Wait for the writers' threads: what they do belongs to the message too."""
    services.log.flush()
    assert services.history is not None
    await services.history.flush()  # type: ignore[attr-defined]


def _parse_all(mails: Sequence[Mail]) -> None:
    for mail in mails:
        for part in email.message_from_bytes(mail.raw).walk():
            if not part.is_multipart():
                part.get_payload(decode=True)


async def _by_stage(pipeline: Pipeline, services: Services, mails: Sequence[Mail], together: int) -> dict[str, float]:
    """Return microseconds a message by stage."""
    with stages.instrument(pipeline, services) as spent:
        await _scan_all(pipeline, mails, together)
        await _flush(services)
        return {name: value / len(mails) / 1000 for name, value in spent().items()}


async def _profile(pipeline: Pipeline, mails: Sequence[Mail], together: int, to: Path) -> None:
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    await _scan_all(pipeline, mails, together)
    profile.disable()
    profile.dump_stats(to)


def _cpu_of(function: Callable[[], None]) -> float:
    before = _cpu()
    function()
    return _cpu() - before


def _cpu() -> float:
    """Return the milliseconds of CPU that all threads of this process have used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1000


def _table(found: dict[str, Any], options: argparse.Namespace) -> str:
    total = found["total_ms"]
    lines = [
        f"{found['messages']} messages ({found['corpus']}), checks: {found['checks']}, DNS: {found['dns']}, "
        f"{options.together} at a time, median of {options.rounds} rounds",
        f"  filterproxy           {total:8.3f} ms CPU a message (best {found['best_ms']:.3f})",
        f"  stdlib email parse    {found['stdlib_parse_ms']:8.3f} ms   filterproxy is {found['ratio']:.1f} times that",
    ]
    if "rspamd_ms" in found:
        rspamd = found["rspamd_ms"]
        lines.append(f"  rspamd                {rspamd:8.3f} ms   filterproxy is {total / rspamd:.2f} times that")
    spent = found["stages_us"]
    lines.append(f"by stage, with the instrument ({sum(spent.values()):.0f} µs in all):")
    lines += [f"  {name:28}{value:9.1f} µs {value / sum(spent.values()):6.1%}" for name, value in spent.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
