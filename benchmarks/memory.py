"""Memory of the service over a long run: PSS of all its processes while it scans message after message.

    python benchmarks/memory.py [--messages 100000] [--workers 2] [--limit 200] [--json]

`filterproxy run` with a milter listener, all checks, model and rules; the messages are those of the SpamAssassin corpus
(or the tests' own), again and again, over four connections. PSS counts a page that several processes share once, in
parts. Exit status 1 when the last figure is above the limit (MiB), or 10 % above that after a fifth of the run.
Everything stays on loopback.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import mail_samples
from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.milter_client import MilterClient
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.process_tree import end_with_all, pss_mib
from benchmarks.throughput import ALL_CHECKS
from tests.system.postfix import scratch_folder
from tests.system.server import FilterproxyServer

_CONNECTIONS = 4
_SAMPLES = 10
_SLACK = 1.10


def main() -> None:
    """Run and print PSS after each tenth of the messages."""
    end_with_all()
    options = _options()
    _, mails = mail_samples.load(2_000)
    with scratch_folder() as folder, name_server() as (_, port, _):
        path = folder / "milter.sock"
        config = {
            "listeners": [{"type": "milter", "address": f"unix:{path}"}],
            "workers": options.workers,
            "mode": "observe",
            "dns": {"nameservers": [f"127.0.0.1:{port}"]},
            "checks": ALL_CHECKS,
        }
        with FilterproxyServer(folder / "filterproxy", config) as server:
            samples = [(0, pss_mib(server.pid))]
            for number in range(1, _SAMPLES + 1):
                _scan(str(path), mails, options.messages // _SAMPLES)
                samples.append((number * options.messages // _SAMPLES, pss_mib(server.pid)))
                print(f"{samples[-1][0]:>8} messages {samples[-1][1]:8.1f} MiB", file=sys.stderr)
    print(json.dumps(samples) if options.json else _table(samples))
    if samples[-1][1] > options.limit:
        sys.exit(f"memory: {samples[-1][1]:.0f} MiB are more than {options.limit:g}")
    if samples[-1][1] > samples[_SAMPLES // 5][1] * _SLACK:
        sys.exit("memory: it grows")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=200.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _scan(path: str, mails: Sequence[Mail], count: int) -> None:
    """Have so many messages scanned over some connections at once; raise what a connection raised."""
    endless, lock, errors = itertools.cycle(mails), threading.Lock(), list[OSError]()

    def connection(number: int) -> None:
        try:
            with MilterClient(path) as client:
                for index in range(number, count, _CONNECTIONS):
                    with lock:
                        mail = next(endless)
                    client.scan(mail, f"4Memory{index}")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=connection, args=(number,)) for number in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _table(samples: Sequence[tuple[int, float]]) -> str:
    return "\n".join(f"{count:>8} messages {mib:8.1f} MiB" for count, mib in samples)


if __name__ == "__main__":
    main()
