"""Good, slow and hostile clients against a real service for minutes: do memory and descriptors stay flat?

    python benchmarks/soak.py [--minutes 10] [--slow 1000] [--rate 8] [--json]

`filterproxy run` with two workers (SMTP proxy, milter and HTTP listeners, rules and the Bayes model) stands before a
next hop that counts what it gets. The first quarter of the time is without slow clients, the rest with them: each says
a little now and then and never gets done, until a deadline ends it and it comes back. All the time good clients send
fresh mail in sessions of their own at `--rate` messages a second, and hostile ones send what breaks servers. Every five
seconds PSS (all processes of the service, from /proc) and descriptors are read.

Exit status 1 when: a good message was refused, or accepted and not delivered; memory or descriptors in the last third
of a stage are higher than in the stage's middle third; descriptors stay open when all have gone; the 99th percentile of
fresh mail is above 2 seconds; the service ends with another status than 0. Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib.process_tree import descendants, end_with_all
from tests.system.messages import gtube, message
from tests.system.postfix import scratch_folder
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port

_ROOT = Path(__file__).resolve().parent.parent
_SAMPLE_SECONDS = 5.0
_P99_LIMIT = 2.0
# What a stage may gain between its middle and its last third: allocators and caches breathe.
_MEMORY_SLACK = 1.05
_MEMORY_SLACK_MB = 6.0
_DESCRIPTOR_SLACK = 30
_SLOW_SLACK = 20  # one in so many slow clients may just be away
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Stage:
    """What was seen in one stage: seconds of each fresh message, and (second, PSS in MB, descriptors) over time."""

    name: str
    latencies: list[float] = field(default_factory=list)
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")

    def thirds(self, column: int) -> tuple[float, float]:
        """Return the medians of the middle and of the last third of the samples."""
        values = [float(sample[column]) for sample in self.samples]
        third = max(1, len(values) // 3)
        return median(values[-2 * third : -third] or values), median(values[-third:])


@dataclass
class Soak:
    """One run: the service's ports, what was sent and what arrived."""

    smtp: int
    milter: int
    next_hop: int
    stage: Stage
    accepted: int = 0
    delivered: int = 0
    hostile_accepted: int = 0
    faults: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)


# The next hop


async def _next_hop(soak: Soak, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept everything; count messages that came to their end."""
    gone = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
    with contextlib.suppress(*gone):
        writer.write(b"220 hop ESMTP\r\n")
        while verb := (await reader.readuntil(b"\r\n"))[:4].upper():
            if verb == b"EHLO":
                writer.write(b"250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                head = b"\r\n" + await reader.readuntil(b"\r\n")
                if head != b"\r\n.\r\n":
                    head += await reader.readuntil(b"\r\n.\r\n")
                soak.delivered += b"Message-ID: <good" in head
                writer.write(b"250 2.0.0 kept\r\n")
            else:
                writer.write(b"250 ok\r\n")
    writer.close()


# Clients


@contextlib.asynccontextmanager
async def _connected(port: int) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await asyncio.wait_for(reader.readline(), 60)
        if line[3:4] != b"-":
            return line


async def _send(streams: _Streams, raw: bytes) -> bytes:
    """Return the reply to a message that is sent in the session from its greeting on."""
    reader, writer = streams
    await _reply(reader)
    envelope = (
        b"EHLO client.example\r\n",
        b"MAIL FROM:<a@example.org>\r\n",
        b"RCPT TO:<b@example.net>\r\n",
        b"DATA\r\n",
    )
    for command in (*envelope, raw.replace(b"\r\n.", b"\r\n..") + b".\r\n"):
        writer.write(command)
        reply = await _reply(reader)
        if reply[:1] not in b"23" or not reply:
            break
    return reply


async def _good(soak: Soak, number: int) -> None:
    """Send fresh mail; every tenth is large, every twentieth spam."""
    stage, began = soak.stage, time.monotonic()
    raw = (
        gtube(f"spam-{number}")
        if number % 20 == 7
        else message(
            f"good-{number}",
            body=b"Some words about nothing.\r\n" * (8000 if number % 10 == 3 else random.randint(5, 200)),
        )
    )
    async with _connected(soak.smtp) as streams:
        reply = await _send(streams, raw)
    stage.latencies.append(time.monotonic() - began)
    wanted = b"554" if number % 20 == 7 else b"250"
    if reply[:3] != wanted:
        soak.faults.append(f"message {number}: {reply!r} instead of {wanted!r}")
    soak.accepted += reply[:3] == b"250"


async def _slow(soak: Soak) -> None:
    """Say a little now and then; come back when the service has had enough."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with _connected(soak.smtp) as (reader, writer):
                script = random.choice((b"EHLO slow.example\r\n" * 40, b"NOOP\r\n" * 100, b"EH"))
                if random.random() < 0.3:
                    await _reply(reader)
                    for command in (
                        b"EHLO s\r\n",
                        b"MAIL FROM:<a@example.org>\r\n",
                        b"RCPT TO:<b@example.net>\r\n",
                        b"DATA\r\n",
                    ):
                        writer.write(command)
                        await _reply(reader)
                    script = b"x" * 400
                for octet in script:
                    writer.write(bytes([octet]))
                    await writer.drain()
                    await asyncio.sleep(random.uniform(1, 6))
                    if reader.at_eof():
                        break
                await asyncio.wait_for(reader.read(), 60)
        soak.done["slow sessions ended"] += 1
        await asyncio.sleep(random.uniform(0.1, 2))


async def _garbage(soak: Soak) -> None:
    async with _connected(soak.smtp) as (reader, writer):
        writer.write(random.randbytes(random.randint(1, 20_000)))
        writer.write_eof()
        await reader.read()


async def _long_line(soak: Soak) -> None:
    async with _connected(soak.smtp) as (reader, writer):
        await _reply(reader)
        writer.write(b"EHLO " + b"a" * random.choice((512, 1001, 2048, 70_000)) + b"\r\nQUIT\r\n")
        await asyncio.wait_for(reader.read(), 60)


async def _too_early(soak: Soak) -> None:
    async with _connected(soak.smtp) as (reader, writer):
        writer.write(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n.\r\n" * 20)
        await asyncio.wait_for(reader.read(), 60)


async def _leaves_in_data(soak: Soak) -> None:
    async with _connected(soak.smtp) as streams:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_send(streams, message("cut", body=b"x\r\n" * 400_000)), 0.2)


async def _smuggler(soak: Soak) -> None:
    end = random.choice((b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\0.\r\n"))
    async with _connected(soak.smtp) as streams:
        reply = await _send(streams, message("smuggled", body=b"a" + end + b"MAIL FROM:<x@example.org>\r\n"))
        soak.hostile_accepted += reply[:3] == b"250"


async def _bomb(soak: Soak) -> None:
    nested = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(400))
    fields = [b"Content-Type: multipart/mixed; boundary=0", *(b"X-Many: %d" % n for n in range(3000))]
    async with _connected(soak.smtp) as streams:
        reply = await _send(streams, message("bomb", headers=fields, body=nested))
        soak.hostile_accepted += reply[:3] == b"250"


async def _errors(soak: Soak) -> None:
    async with _connected(soak.smtp) as (reader, writer):
        for _ in range(100):
            writer.write(b"WHAT\0EVER\r\n")
            if not await asyncio.wait_for(reader.readline(), 60):
                break


async def _milter_garbage(soak: Soak) -> None:
    async with _connected(soak.milter) as (reader, writer):
        frame = random.randbytes(random.randint(0, 300))
        offer = b"\0\0\0\x0dO" + b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"
        writer.write(random.choice((b"", offer)) + len(frame).to_bytes(4) + frame)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 60)


_HOSTILE: tuple[Callable[[Soak], Awaitable[None]], ...] = (
    _garbage, _long_line, _too_early, _leaves_in_data, _smuggler, _bomb, _errors, _milter_garbage,
)  # fmt: skip


async def _hostile(soak: Soak) -> None:
    while True:
        attack = random.choice(_HOSTILE)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack(soak)
        soak.done[attack.__name__.lstrip("_").replace("_", " ")] += 1
        await asyncio.sleep(random.uniform(0.05, 0.4))


# Measuring


def _read(pids: list[int]) -> tuple[float, int]:
    """Return PSS in MB and open descriptors of these processes together."""
    memory, descriptors = 0.0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
            memory += int(rollup.partition("\nPss:")[2].split()[0]) / 1024
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    return memory, descriptors


async def _sample(soak: Soak, supervisor: int, quiet: bool) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_SAMPLE_SECONDS)
        memory, descriptors = _read(descendants([supervisor]))
        seconds = time.monotonic() - began
        soak.stage.samples.append((seconds, memory, descriptors))
        if not quiet:
            print(
                f"{soak.stage.name:24} {seconds:6.0f} s  {memory:7.1f} MB  {descriptors:5} descriptors  "
                f"{soak.accepted:6} accepted",
                flush=True,
            )


async def _good_mail(soak: Soak, seconds: float, rate: float, first: int) -> int:
    """Send at a steady rate, however long each takes; return the next number."""
    loop, sending, number = asyncio.get_running_loop(), set[asyncio.Task[None]](), first
    end = loop.time() + seconds
    while loop.time() < end:
        task = asyncio.create_task(_good(soak, number))
        sending.add(task)
        task.add_done_callback(sending.discard)
        number += 1
        await asyncio.sleep(random.expovariate(rate))
    results = await asyncio.gather(*sending, return_exceptions=True)
    soak.faults += [repr(error) for error in results if isinstance(error, BaseException)]
    return number


def _config(soak: Soak, slow: int) -> dict[str, Any]:
    limits = {"connections": slow + 500, "command_timeout": "30s", "data_timeout": "40s", "data_rate": 250}
    return {
        "workers": 2,
        "listeners": [
            {
                "type": "smtp",
                "address": f"127.0.0.1:{soak.smtp}",
                "next_hop": f"127.0.0.1:{soak.next_hop}",
                "limits": limits,
            },
            {"type": "milter", "address": f"127.0.0.1:{soak.milter}"},
            {"type": "http", "address": f"127.0.0.1:{free_port()}"},
        ],
        "checks": {
            "gtube": {},
            "bayes": {"model": str(_ROOT / "models" / "default")},
            "rules": {"files": [str(_ROOT / "rules" / "*.yml")]},
        },
    }


async def _run(soak: Soak, server: FilterproxyServer, options: argparse.Namespace) -> list[Stage]:
    hop = await asyncio.start_server(lambda r, w: _next_hop(soak, r, w), "127.0.0.1", soak.next_hop, limit=1 << 24)
    before = _read(descendants([server.pid]))[1]
    others = [asyncio.create_task(_hostile(soak)) for _ in range(4)]
    others.append(asyncio.create_task(_sample(soak, server.pid, options.json)))
    stages, number = [soak.stage], await _good_mail(soak, options.minutes * 15, options.rate, 0)
    soak.stage = Stage(f"with {options.slow} slow clients")
    stages.append(soak.stage)
    others += [asyncio.create_task(_slow(soak)) for _ in range(options.slow)]
    await _good_mail(soak, options.minutes * 45, options.rate, number)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await _settle(soak, server.pid, before)
    hop.close()
    return stages


async def _settle(soak: Soak, supervisor: int, before: int) -> None:
    """Wait until the descriptors of those who left are closed."""
    for _ in range(100):
        descriptors = _read(descendants([supervisor]))[1]
        if descriptors <= before + _DESCRIPTOR_SLACK:
            return
        await asyncio.sleep(0.2)
    soak.faults.append(f"{descriptors} descriptors are open when all have gone; there were {before}")


def _judge(soak: Soak, stages: list[Stage], slow: int) -> None:
    if soak.delivered < soak.accepted:
        soak.faults.append(f"{soak.accepted} good messages were accepted and {soak.delivered} delivered")
    for stage in stages:
        middle, last = stage.thirds(1)
        if last > middle * _MEMORY_SLACK + _MEMORY_SLACK_MB:
            soak.faults.append(f"{stage.name}: memory grew from {middle:.1f} to {last:.1f} MB")
        middle, last = stage.thirds(2)
        if last > middle + _DESCRIPTOR_SLACK + slow // _SLOW_SLACK:
            soak.faults.append(f"{stage.name}: descriptors grew from {middle:.0f} to {last:.0f}")
        if stage.percentile(0.99) > _P99_LIMIT:
            soak.faults.append(f"{stage.name}: p99 of fresh mail is {stage.percentile(0.99):.2f} s")


def _report(soak: Soak, stages: list[Stage], as_json: bool) -> None:
    rows = [
        {
            "stage": stage.name,
            "messages": len(stage.latencies),
            "median_ms": round(stage.percentile(0.5) * 1000, 1),
            "p99_ms": round(stage.percentile(0.99) * 1000, 1),
            "pss_mb": [round(value, 1) for value in stage.thirds(1)],
            "descriptors": [int(value) for value in stage.thirds(2)],
        }
        for stage in stages
    ]
    if as_json:
        print(json.dumps({"stages": rows, "faults": soak.faults, "attacks": soak.done}))
        return
    for row in rows:
        print(
            f"{row['stage']}: {row['messages']} fresh messages, median {row['median_ms']} ms, p99 {row['p99_ms']} ms; "
            f"PSS {row['pss_mb'][0]} -> {row['pss_mb'][1]} MB, "
            f"descriptors {row['descriptors'][0]} -> {row['descriptors'][1]}"
        )
    print(
        f"accepted {soak.accepted}, delivered {soak.delivered}; " + ", ".join(f"{k} {n}" for k, n in soak.done.items())
    )
    for fault in soak.faults:
        print(f"FAULT {fault}")


def main() -> int:
    """Return the exit status."""
    end_with_all()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--slow", type=int, default=1000, help="slow clients")
    parser.add_argument("--rate", type=float, default=8.0, help="fresh messages a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = options.slow * 2 + 2000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    if hard < wanted:
        parser.error(f"{options.slow} slow clients need {wanted} descriptors, ulimit -Hn is {hard}")
    soak = Soak(free_port(), free_port(), free_port(), Stage("without slow clients"))
    with scratch_folder() as folder:
        server = FilterproxyServer(folder / "service", _config(soak, options.slow)).start()
        try:
            stages = asyncio.run(_run(soak, server, options))
        finally:
            status = server.stop()
        internal = [line for line in server.log().splitlines() if "internal error" in line or "Traceback" in line]
    soak.faults += internal[:5] + ([f"the service ended with {status}"] if status else [])
    _judge(soak, stages, options.slow)
    _report(soak, stages, options.json)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
