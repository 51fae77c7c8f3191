"""What a scan costs as work grows: CPU by size of the message, by number of rules, and by open connections.

    python benchmarks/growth.py [--only size,rules,connections] [--output FOLDER]

Each curve is measured at its points one after the other and written to `growth.json` and `growth-NAME.svg` in
`benchmarks/results`. The exponent is the slope between the last two points, both axes logarithmic: 1 is linear, 0 is
flat. Exit status 1 when one is above 1.3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from benchmarks import scan_cost
from benchmarks.lib import bars, mail_samples
from benchmarks.lib.expressions import generated
from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.milter_client import MilterClient
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.process_tree import cpu_seconds, end_with_all
from benchmarks.throughput import LOCAL_CHECKS
from filterproxy.message import Message
from filterproxy.observability.metrics import prepare_multiprocess
from filterproxy.ruleset import loader
from filterproxy.ruleset.ruleset import RuleSet
from tests.system.postfix import scratch_folder
from tests.system.server import FilterproxyServer

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 25_000_000)
RULES = (10, 100, 1_000)
CONNECTIONS = (1, 10, 100, 1_000)
STEEPEST = 1.3


def main() -> None:
    """Measure the curves and print them."""
    end_with_all()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(_CURVES))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(_CURVES)
    if unknown:
        parser.error(f"no such curve: {', '.join(sorted(unknown))} (there are {', '.join(_CURVES)})")
    options.output.mkdir(parents=True, exist_ok=True)
    found = {name: _CURVES[name]() for name in options.only.split(",")}
    for name, curve in found.items():
        print(f"{name:12} exponent {exponent(curve):5.2f}: " + ", ".join(f"{x}: {y:.2f} ms" for x, y in curve.items()))
        drawing = bars.chart(f"CPU ms a message by {name}", {name: {str(x): y for x, y in curve.items()}})
        (options.output / f"growth-{name}.svg").write_text(drawing)
    (options.output / "growth.json").write_text(json.dumps(found, indent=2) + "\n")
    steep = [name for name, curve in found.items() if exponent(curve) > STEEPEST]
    if steep:
        sys.exit(f"growth: more than linear: {', '.join(steep)}")


def exponent(curve: dict[int, float]) -> float:
    """Return by which power the cost grows between the last two points."""
    (x1, y1), (x2, y2) = list(curve.items())[-2:]
    return math.log(max(y2, 1e-6) / max(y1, 1e-6)) / math.log(x2 / x1)


def by_size() -> dict[int, float]:
    """Return milliseconds by octets of a message of words and lines, all checks on."""
    sample = mail_samples.load_shipped(1)[0]
    with name_server() as (_, port, _), tempfile.TemporaryDirectory() as name:
        prepare_multiprocess(Path(name) / "metrics")
        config = scan_cost.write_config(Path(name), "all", port)
        return {size: asyncio.run(scan_cost.cost(config, [_of_size(sample, size)] * 3)) for size in SIZES}


def _of_size(sample: Mail, size: int) -> Mail:
    line = b"All the words of one line, and a link: https://www.example.org/page\r\n"
    head = b"From: a@example.org\r\nSubject: size\r\n\r\n"
    return Mail((head + line * (size // len(line) + 1))[:size], sample.client, sample.helo, sample.mail_from)


def by_rules() -> dict[int, float]:
    """Return milliseconds by number of rules, matching alone."""
    mails = mail_samples.load_shipped(100)
    found = {}
    for count in RULES:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "rules.yml"
            rules = [
                {"name": f"MADE_{number}", "score": 1, "match": {"body": {"regex": expression}}}
                for number, expression in enumerate(generated(count))
            ]
            path.write_text(yaml.safe_dump({"rules": rules}))
            found[count] = _matching(loader.load([path], path.parent), mails)
    return found


def _matching(ruleset: RuleSet, mails: Sequence[Mail]) -> float:
    """Return milliseconds that a ruleset takes for a message; parsing is not counted."""
    now, spent = datetime.now(UTC), 0.0
    for _ in range(2):
        spent = 0.0
        for number, mail in enumerate(mails):
            transaction = mail_samples.begin(mail, number)
            transaction.message = Message(mail.raw)
            _ = transaction.message.text
            before = time.process_time()
            ruleset.match(transaction, now)
            spent += time.process_time() - before
    return spent * 1000 / len(mails)


def by_connections() -> dict[int, float]:
    """Return milliseconds by connections that are open while one message after the other is scanned over them."""
    mail = mail_samples.load_shipped(1)[0]
    found = {}
    for count in CONNECTIONS:
        with scratch_folder() as folder, ExitStack() as stack:
            path = folder / "milter.sock"
            listener = {"type": "milter", "address": f"unix:{path}", "limits": {"connections": 2 * count}}
            config = {"listeners": [listener], "checks": LOCAL_CHECKS}
            server = stack.enter_context(FilterproxyServer(folder / "filterproxy", config))
            clients = [stack.enter_context(MilterClient(str(path))) for _ in range(count)]
            for turn in range(2):
                before, scans = cpu_seconds([server.pid]), max(count, 200)
                for number in range(scans):
                    clients[number % count].scan(mail, f"4Grow{turn}{number}")
                found[count] = (cpu_seconds([server.pid]) - before) * 1000 / scans
    return found


_CURVES: dict[str, Callable[[], dict[int, float]]] = {
    "size": by_size,
    "rules": by_rules,
    "connections": by_connections,
}


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
