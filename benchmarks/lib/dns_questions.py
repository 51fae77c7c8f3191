"""CPU of one DNS question: our resolver against dnspython's asynchronous one, in one interleaved run.

    python benchmarks/dns.py [--rounds 5] [--questions 2000] [--together 16] [--json]

The answers come from unbound on loopback when it is installed, else from the test server in a process of its own. CPU
is user and system time of this process alone. Every question is for a new name, so that no cache answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

import dns.asyncresolver

from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import DnsResolver

ZONE = "bl.example"
_TEST_SERVER = f"""
import sys
from filterproxy.testing.dns_server import DnsServer
with DnsServer({{"*.{ZONE}": {{"A": ["127.0.0.2"]}}}}, port=int(sys.argv[1])):
    sys.stdin.read()
"""
_UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "/dev/null"
  do-not-query-localhost: no
  local-zone: "{zone}" redirect
  local-data: "{zone} 60 A 127.0.0.2"
remote-control:
  control-enable: no
"""


def main() -> None:
    """Run the comparison and print it."""
    options = _options()
    with name_server() as (kind, port):
        ours, theirs = asyncio.run(compare(port, options.rounds, options.questions, options.together))
    figures = {
        "server": kind,
        "filterproxy_us": round(median(ours), 1),
        "dnspython_us": round(median(theirs), 1),
        "ratio": round(median(ours) / median(theirs), 3),
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"CPU a question, {options.together} at a time, answered by {kind}:")
    print(f"  filterproxy {figures['filterproxy_us']:8} µs   (rounds: {', '.join(f'{value:.0f}' for value in ours)})")
    print(f"  dnspython   {figures['dnspython_us']:8} µs   (rounds: {', '.join(f'{value:.0f}' for value in theirs)})")
    print(f"  ratio       {figures['ratio']:8}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--together", type=int, default=16, help="questions in flight at once")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@contextlib.contextmanager
def name_server() -> Iterator[tuple[str, int]]:
    """Serve the zone from another process; yield what serves it and the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if unbound:
            config = Path(folder) / "unbound.conf"
            config.write_text(_UNBOUND.format(port=port, folder=folder, zone=ZONE))
            command = [unbound, "-c", str(config)]
        else:
            command = [sys.executable, "-c", _TEST_SERVER, str(port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            wait_for_answer(port)
            yield Path(command[0]).name if unbound else "the test server", port
        finally:
            process.terminate()
            process.wait()


def wait_for_answer(port: int) -> None:
    """Ask until the server answers, for ten seconds at most."""
    query = dns.message.make_query(f"ready.{ZONE}", "A")
    deadline = time.monotonic() + 10
    while True:
        try:
            dns.query.udp(query, "127.0.0.1", port=port, timeout=0.2)
            return
        except (OSError, dns.exception.DNSException):
            if time.monotonic() > deadline:
                raise


async def compare(port: int, rounds: int, questions: int, together: int) -> tuple[list[float], list[float]]:
    """Return microseconds of CPU a question, one entry a round, for us and for dnspython."""
    ours = DnsResolver([("127.0.0.1", port)], SystemClock(), timeout=5.0)
    theirs = dns.asyncresolver.Resolver(configure=False)
    theirs.nameservers, theirs.port = ["127.0.0.1"], port
    results: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for prefix, figures, ask in (("a", results[0], ours.resolve), ("b", results[1], theirs.resolve)):
            names = [f"{prefix}{number}x{index}.{ZONE}" for index in range(questions)]
            figures.append(await cpu_of(names, together, ask))
    await ours.close()
    return results


async def cpu_of(names: list[str], together: int, ask: Callable[[str, str], Awaitable[object]]) -> float:
    """Return microseconds of CPU a question, so many in flight at once."""
    before = _cpu()
    for start in range(0, len(names), together):
        await asyncio.gather(*(ask(name, "A") for name in names[start : start + together]))
    return (_cpu() - before) / len(names) * 1e6


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
