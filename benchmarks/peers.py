"""CPU of one message: filterproxy, rspamd and SpamAssassin on the same mail, all as installed, in one interleaved run.

    python benchmarks/peers.py [--short] [--only filterproxy,rspamd,spamd] [--output FOLDER] [--json]

Every scanner runs on loopback with one scanning process and one name server of its own (unbound: it knows the senders
of the generated messages and says NXDOMAIN to anything else), and has learned the same messages. The first set are
1,000 messages of the SpamAssassin corpus (fetched by `benchmarks/corpus.py`), the second 300 generated large ones with
HTML and attachments, a third of them signed with DKIM. Each slice of a set goes through all scanners in turn, one
message at a time. CPU is what the kernel counted for all processes of a scanner: workers, supervisor, Redis and its
name server. Clients are not counted.

Debian packages that are missing are installed when root runs this. `--short` takes 100 and 40 messages and learns 200
and 200; the results go to `benchmarks/results/peers.json` and `peers.svg`. Exit status 1 when a scanner fired no
symbols, or when rspamd's CPU on the first set is not between 5 and 12 ms: then something is not as it should be, and
the figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import corpus
from benchmarks.lib import bars, mail_samples, modern_messages, peer_systems
from benchmarks.lib.mail_samples import Mail
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.peer_systems import Peer, Training
from benchmarks.lib.process_tree import cpu_seconds, end_with_all
from tests.system.postfix import scratch_folder

RESULTS = Path(__file__).resolve().parent / "results"
# Redis beside rspamd, unbound for all.
PACKAGES = {"rspamd": "rspamd", "redis-server": "redis-server", "unbound": "unbound", "spamd": "spamd"}
SYSTEMS = {"filterproxy": peer_systems.ours, "rspamd": peer_systems.rspamd, "spamd": peer_systems.spamd}
PLAUSIBLE = (5.0, 12.0)
_SLICES = 4
_WARM_UP = 40


@dataclass
class Figures:
    """One scanner on one set: CPU milliseconds a message by slice, and the seconds that each message took."""

    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    symbols: float = 0.0

    def document(self) -> dict[str, float]:
        """Return the figures as they are written."""
        return {
            "cpu_ms": round(sum(self.cpu) / len(self.cpu), 3),
            "median_ms": round(median(self.seconds) * 1000, 2),
            "p99_ms": round(quantiles(self.seconds, n=100)[98] * 1000, 2),
            "symbols": round(self.symbols, 2),
        }


def main() -> None:
    """Run the comparison, print it, and write its results."""
    end_with_all()
    options = _options()
    _install()
    with scratch_folder() as folder, contextlib.ExitStack() as stack:
        sets, training, texts = _mail(folder, options)
        peers: list[Peer] = []
        for name in options.only.split(","):
            _, port, pid = stack.enter_context(name_server(texts))
            print(f"peers: starting and training {name}", file=sys.stderr)
            peers.append(stack.enter_context(SYSTEMS[name](folder, port, pid, training)))
        results = {label: _measure(peers, mails) for label, mails in sets.items()}
    document = _document(peers, sets, results)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "peers.json").write_text(json.dumps(document, indent=2) + "\n")
    (options.output / "peers.svg").write_text(bars.chart("CPU ms a message", _plotted(document)))
    print(json.dumps(document) if options.json else _table(document))
    problem = _implausible(document)
    if problem:
        sys.exit(f"peers: {problem}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer messages")
    parser.add_argument("--only", default=",".join(SYSTEMS), help="scanners, by comma")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(SYSTEMS)
    if unknown:
        parser.error(f"no such scanner: {', '.join(sorted(unknown))} (there are {', '.join(SYSTEMS)})")
    return options


def _install() -> None:
    """Install what is missing, as root; say what is missing otherwise."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    missing = [package for program, package in PACKAGES.items() if not _found(program, path)]
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(
            f"peers: not installed: {', '.join(missing)} (root installs them: apt-get install {' '.join(missing)})"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"peers: apt-get could not install {', '.join(missing)}")
    os.execv(sys.executable, [sys.executable, *sys.argv])  # with the programs in their places


def _found(program: str, path: str) -> bool:
    return any(os.access(Path(folder) / program, os.X_OK) for folder in path.split(":"))


def _mail(folder: Path, options: argparse.Namespace) -> tuple[dict[str, list[Mail]], Training, dict[str, str]]:
    """Return the sets, what is learned, and the TXT records of the senders.

    The first messages of a set only warm up; none of the others was sent or learned before: greylisting would stop it.
    """
    index = corpus.ensure()
    labelled = [line.split(" ", 1) for line in index.read_text().splitlines()]
    count, modern, learned = (100, 40, 200) if options.short else (1000, 300, 500)
    files = [(label, index.parent / name) for label, name in labelled]
    step = len(files) / count
    chosen = {files[int(number * step)][1] for number in range(count)}
    training = Training(folder / "train-ham", folder / "train-spam")
    for label, target in (("ham", training.ham), ("spam", training.spam)):
        target.mkdir()
        rest = [path for its, path in files if its == label and path not in chosen]
        for number in range(learned):
            path = rest[number * len(rest) // learned]
            (target / f"{number:04}").write_bytes(path.read_bytes())
    made, texts = modern_messages.make(modern + _WARM_UP)
    taught = [path for folder in (training.ham, training.spam) for path in sorted(folder.iterdir())]
    sets = {
        "corpus": [
            mail_samples.read(path) for path in (*taught[:: len(taught) // _WARM_UP][:_WARM_UP], *sorted(chosen))
        ],
        "modern": made,
    }
    return sets, training, texts


def _measure(peers: Sequence[Peer], mails: Sequence[Mail]) -> dict[str, Figures]:
    found = {peer.name: Figures() for peer in peers}
    first, mails = mails[:_WARM_UP], mails[_WARM_UP:]
    for peer in peers:  # caches fill, expressions are compiled
        for mail in first:
            peer.scan(mail)
    before = {peer.name: peer.symbols() for peer in peers}
    for start in range(_SLICES):
        for peer in peers:
            _slice(peer, mails[start::_SLICES], found[peer.name])
    for peer in peers:
        found[peer.name].symbols = (peer.symbols() - before[peer.name]) / len(mails)
    return found


def _slice(peer: Peer, mails: Sequence[Mail], figures: Figures) -> None:
    before = cpu_seconds(peer.pids)
    for mail in mails:
        began = time.perf_counter()
        peer.scan(mail)
        figures.seconds.append(time.perf_counter() - began)
    figures.cpu.append((cpu_seconds(peer.pids) - before) * 1000 / len(mails))


def _document(
    peers: Sequence[Peer], sets: dict[str, list[Mail]], results: dict[str, dict[str, Figures]]
) -> dict[str, Any]:
    return {
        "messages": {label: len(mails) - _WARM_UP for label, mails in sets.items()},
        "scanners": {peer.name: {"version": peer.version, "checks": peer.checks} for peer in peers},
        "results": {
            label: {name: figures.document() for name, figures in found.items()} for label, found in results.items()
        },
    }


def _table(document: dict[str, Any]) -> str:
    lines = [f"{name} {about['version']}: {about['checks']}" for name, about in document["scanners"].items()]
    for label, found in document["results"].items():
        own = found.get("filterproxy", {}).get("cpu_ms")
        lines += ["", f"{label}, {document['messages'][label]} messages, one at a time"]
        lines.append(f"{'':14}{'CPU ms/msg':>12}{'ours / it':>11}{'median ms':>11}{'p99 ms':>9}{'symbols/msg':>13}")
        for name, row in found.items():
            ratio = f"{own / row['cpu_ms']:.3f}" if own and row["cpu_ms"] else "-"
            line = f"{name:14}{row['cpu_ms']:>12.2f}{ratio:>11}{row['median_ms']:>11.1f}{row['p99_ms']:>9.1f}"
            lines.append(f"{line}{row['symbols']:>13.1f}")
    return "\n".join(lines)


def _plotted(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {label: {name: row["cpu_ms"] for name, row in found.items()} for label, found in document["results"].items()}


def _implausible(document: dict[str, Any]) -> str:
    """Return why the figures cannot be right, nothing when they can."""
    for label, found in document["results"].items():
        silent = [name for name, row in found.items() if not row["symbols"]]
        if silent:
            return f"{', '.join(silent)} fired no symbols on {label}: it did not scan"
    cpu = document["results"]["corpus"].get("rspamd", {}).get("cpu_ms")
    if cpu is not None and not PLAUSIBLE[0] <= cpu <= PLAUSIBLE[1]:
        return f"rspamd took {cpu} ms CPU a message on the corpus, expected between {PLAUSIBLE[0]} and {PLAUSIBLE[1]}"
    return ""


if __name__ == "__main__":
    main()
