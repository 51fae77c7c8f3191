"""CPU of one DNS question: our resolver against dnspython's asynchronous one, and aiodns, in one interleaved run.

    python benchmarks/dns.py [--rounds 5] [--questions 2000] [--together 16] [--json]

The answers come from another process on loopback: unbound or rbldnsd when one is installed, else the test server, which
is slow: then every answer wakes this process anew, and each figure is higher. CPU is user and system time of this
process alone. Every question is for a new name, so that no cache answers. aiodns takes part when it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
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


Ask = Callable[[str, str], Awaitable[object]]


def main() -> None:
    """Run the comparison and print it."""
    options = _options()
    with name_server() as (kind, port):
        rounds = asyncio.run(compare(port, options.rounds, options.questions, options.together))
    medians = {name: round(median(values), 1) for name, values in rounds.items()}
    ratios = {
        name: round(medians["filterproxy"] / value, 3) for name, value in medians.items() if name != "filterproxy"
    }
    if options.json:
        figures = {f"{name}_us": value for name, value in medians.items()}
        print(json.dumps({"server": kind, **figures, "ratio": ratios["dnspython"], "ratios": ratios}))
        return
    print(f"CPU a question, {options.together} at a time, answered by {kind}:")
    for name, value in medians.items():
        print(f"  {name:11} {value:8} µs   (rounds: {', '.join(f'{each:.0f}' for each in rounds[name])})")
    for name, ratio in ratios.items():
        print(f"  ratio to {name:11} {ratio:6}")


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
        rbldnsd = shutil.which("rbldnsd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if unbound:
            config = Path(folder) / "unbound.conf"
            config.write_text(_UNBOUND.format(port=port, folder=folder, zone=ZONE))
            command = [unbound, "-c", str(config)]
        elif rbldnsd:
            command = _rbldnsd(rbldnsd, Path(folder), port)
        else:
            command = [sys.executable, "-c", _TEST_SERVER, str(port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            wait_for_answer(port)
            yield Path(command[0]).name if unbound or rbldnsd else "the test server", port
        finally:
            process.terminate()
            process.wait()


def _rbldnsd(program: str, folder: Path, port: int) -> list[str]:
    data = folder / "zone"
    data.write_text(f":127.0.0.2:\n.{ZONE.partition('.')[0]}\n")
    folder.chmod(0o755)  # as root it becomes another user
    user = ["-u", "nobody:nogroup"] if os.geteuid() == 0 else []
    return [program, "-n", *user, "-b", f"127.0.0.1/{port}", f"example:dnset:{data}"]


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


async def compare(port: int, rounds: int, questions: int, together: int) -> dict[str, list[float]]:
    """Return microseconds of CPU a question by resolver, one entry a round; ours is the first."""
    ours = DnsResolver([("127.0.0.1", port)], SystemClock(), timeout=5.0)
    theirs = dns.asyncresolver.Resolver(configure=False)
    theirs.nameservers, theirs.port = ["127.0.0.1"], port
    asks: dict[str, Ask] = {"filterproxy": ours.resolve, "dnspython": theirs.resolve, **_aiodns(port)}
    results: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(rounds):
        for which, (name, ask) in enumerate(asks.items()):
            names = [f"{'abc'[which]}{number}x{index}.{ZONE}" for index in range(questions)]
            results[name].append(await cpu_of(names, together, ask))
    await ours.close()
    return results


def _aiodns(port: int) -> dict[str, Ask]:
    try:
        import aiodns
    except ImportError:
        return {}
    resolver = aiodns.DNSResolver(nameservers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0)
    return {"aiodns": resolver.query_dns}


async def cpu_of(names: list[str], together: int, ask: Ask) -> float:
    """Return microseconds of CPU a question, so many in flight at once."""
    before = _cpu()
    for start in range(0, len(names), together):
        await asyncio.gather(*(ask(name, "A") for name in names[start : start + together]))
    return (_cpu() - before) / len(names) * 1e6


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
