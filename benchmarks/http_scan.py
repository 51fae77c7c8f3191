"""What it costs more to have a message scanned over HTTP than by the milter: CPU of the same service, same messages.

    python benchmarks/http_scan.py [--messages 300] [--rounds 5] [--checks all|local|none] [--most 0.3] [--output DIR]

One service with one worker has a milter and an http listener, each on a unix socket. In each round, after one that
warms up, all messages are scanned in four ways, which take turns every 25 messages: by the milter and over HTTP, each
with one connection for all 25 and with a connection for each. CPU is that of the whole service, user and system. The
figure of a pair is the median over the rounds of the difference, in milliseconds a message. DNS is a server on loopback
for which no name exists. Figures go to `http_scan.json` in `benchmarks/results`; exit status 1 when HTTP costs more
than `--most` above the milter.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import mail_samples
from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.milter_client import MilterClient
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.process_tree import cpu_seconds, end_with_all
from benchmarks.throughput import CHECKS
from tests.system.postfix import scratch_folder
from tests.system.server import FilterproxyServer
from tests.system.waiting import wait_until

RESULTS = Path(__file__).resolve().parent / "results"
PAIRS = {"one connection": ("milter", "http"), "a connection each": ("milter_each", "http_each")}

_PORTION = 25

Way = Callable[[Sequence[Mail]], None]


class _UnixConnection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def main() -> None:
    """Measure, print, write the figures."""
    end_with_all()
    options = _options()
    corpus, mails = mail_samples.load(options.messages)
    found: dict[str, Any] = {"corpus": corpus, "messages": len(mails), "checks": options.checks}
    found |= {"rounds": options.rounds, "ms": _measure(mails, options)}
    found["more_ms"] = {
        name: round(median(b - a for a, b in zip(found["ms"][milter], found["ms"][over_http], strict=True)), 3)
        for name, (milter, over_http) in PAIRS.items()
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "http_scan.json").write_text(json.dumps(found, indent=2) + "\n")
    print(_table(found))
    if max(found["more_ms"].values()) > options.most:
        sys.exit(f"http_scan: HTTP costs more than {options.most} ms above the milter")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checks", choices=CHECKS, default="all", help="local: those without DNS and DKIM")
    parser.add_argument("--most", type=float, default=0.3, help="milliseconds that HTTP may cost more")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def _measure(mails: Sequence[Mail], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return milliseconds of CPU a message by way, one a round."""
    with name_server() as (_, dns, _), scratch_folder() as folder:
        milter, over_http = folder / "milter.sock", folder / "http.sock"
        config = {
            "listeners": [
                {"type": "milter", "address": f"unix:{milter}"},
                {"type": "http", "address": f"unix:{over_http}"},
            ],
            "mode": "observe",
            "dns": {"nameservers": [f"127.0.0.1:{dns}"], "timeout": "1s"},
            "checks": CHECKS[options.checks],
        }
        with FilterproxyServer(folder / "filterproxy", config) as server:
            ways = _ways(str(milter), str(over_http))
            found: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(options.rounds + 1):
                spent = _round(server, ways, mails)
                for name, milliseconds in spent.items() if number else ():
                    found[name].append(round(milliseconds / len(mails), 3))
    return found


def _round(server: FilterproxyServer, ways: dict[str, Way], mails: Sequence[Mail]) -> dict[str, float]:
    """Return milliseconds by way; the ways take turns in small portions, each as often first as the others."""
    spent = dict.fromkeys(ways, 0.0)
    for turn, start in enumerate(range(0, len(mails), _PORTION)):
        order = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in order:
            spent[name] += _cpu(server, ways[name], mails[start : start + _PORTION])
    return spent


def _cpu(server: FilterproxyServer, way: Way, mails: Sequence[Mail]) -> float:
    logged, before = server.log().count(": scan: "), cpu_seconds([server.pid])
    way(mails)
    # What follows the answers, the log's lines among it, belongs to them.
    wait_until(lambda: server.log().count(": scan: ") >= logged + len(mails), "all lines in the log", 60)
    return (cpu_seconds([server.pid]) - before) * 1000


def _ways(milter: str, http_path: str) -> dict[str, Way]:
    def by_milter(mails: Sequence[Mail]) -> None:
        with MilterClient(milter) as client:
            for number, mail in enumerate(mails):
                client.scan(mail, f"4Http{number}")

    def over_http(mails: Sequence[Mail]) -> None:
        connection = _UnixConnection(http_path)
        for number, mail in enumerate(mails):
            _post(connection, mail, f"4Http{number}")
        connection.close()

    def each(way: Way) -> Way:
        def one_by_one(mails: Sequence[Mail]) -> None:
            for mail in mails:
                way([mail])

        return one_by_one

    return {"milter": by_milter, "http": over_http, "milter_each": each(by_milter), "http_each": each(over_http)}


def _post(connection: http.client.HTTPConnection, mail: Mail, queue_id: str) -> None:
    # What the milter's client says, for the checks do the same work then.
    headers = {"IP": mail.client, "Hostname": mail.helo, "Helo": mail.helo, "From": mail.mail_from}
    headers |= {"Rcpt": "bench@example.org", "Queue-Id": queue_id}
    connection.request("POST", "/checkv2", mail.raw, headers)
    answer = connection.getresponse()
    data = json.loads(answer.read())
    if answer.status != 200 or "action" not in data:
        raise SystemExit(f"http_scan: {answer.status} {data}")


def _table(found: dict[str, Any]) -> str:
    ms = {name: median(values) for name, values in found["ms"].items()}
    lines = [f"{found['messages']} messages ({found['corpus']}), {found['rounds']} rounds, checks: {found['checks']}"]
    lines.append(f"{'CPU ms a message':20}{'milter':>10}{'http':>10}{'more':>10}")
    for name, (milter, over_http) in PAIRS.items():
        lines.append(f"{name:20}{ms[milter]:>10.2f}{ms[over_http]:>10.2f}{found['more_ms'][name]:>+10.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
