"""Whether a scan got slower: its CPU as a ratio, against the ratios kept in benchmarks/baseline.json.

    python benchmarks/check.py [--write] [--messages 150]

The messages are those of the tests. Best of three rounds, interleaved with a yardstick that never changes: the standard
library's parser on the same messages (benchmarks/scan_cost.py measures both); with rspamd installed, the ratio to its
CPU too. Exit status 1 when a ratio is more than a quarter above the kept one; `--write` keeps this run's ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import scan_cost
from benchmarks.lib import mail_samples
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.rspamd_scan import rspamd_cpu
from filterproxy.observability.metrics import prepare_multiprocess

BASELINE = Path(__file__).resolve().parent / "baseline.json"
TOLERANCE = 1.25
_ROUNDS = 3


def main() -> None:
    """Measure, print, compare."""
    options = _options()
    ratios = measure(options.messages)
    if options.write:
        kept = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
        BASELINE.write_text(json.dumps(kept | ratios, indent=2) + "\n")
    slower = compare(ratios, json.loads(BASELINE.read_text()))
    if slower:
        sys.exit(f"bench-check: more than 25 % slower: {', '.join(slower)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=150)
    parser.add_argument("--write", action="store_true", help="keep this run's ratios")
    return parser.parse_args()


def measure(count: int) -> dict[str, float]:
    """Return our CPU a message over that of each peer."""
    mails = mail_samples.load_shipped(count)
    with name_server() as (_, port, _), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_multiprocess(folder / "metrics")
        found = asyncio.run(scan_cost.measure(scan_cost.write_config(folder, "all", port), mails, rounds=_ROUNDS))
        ratios = {"stdlib_parse": round(found["best_ms"] / found["stdlib_best_ms"], 2)}
        if shutil.which("rspamd"):
            ratios["rspamd"] = round(found["best_ms"] / rspamd_cpu(mails, port, _ROUNDS), 2)
    return ratios


def compare(ratios: dict[str, float], kept: dict[str, float]) -> list[str]:
    """Print each ratio beside the kept one; return the names of those that are too much above it."""
    slower = []
    for name, ratio in ratios.items():
        before = kept.get(name)
        against = f"kept: {before:.2f}, {ratio / before - 1:+.0%}" if before else "none is kept"
        print(f"filterproxy / {name:14}{ratio:8.2f}   ({against})")
        if before and ratio > before * TOLERANCE:
            slower.append(name)
    for name in kept.keys() - ratios.keys():
        print(f"filterproxy / {name:14}       -   (not installed)")
    return slower


if __name__ == "__main__":
    main()
