"""A folder of messages: `filterproxy scan`, `rspamc` with rspamd, and `spamc` with spamd, one after the other.

    python benchmarks/folder.py [--messages 10000] [--spamc 300] [--json]

The messages are those of the SpamAssassin corpus, again and again until there are enough. rspamd has a worker for each
core, spamd a child; both are asked by so many clients at once. spamc, which is slow, gets the first `--spamc` messages
only. Seconds are of the wall clock, so run it on a machine that does nothing else, and read the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import corpus
from benchmarks.lib import peer_systems
from benchmarks.lib.nxdomain import name_server
from benchmarks.lib.peer_systems import Training
from benchmarks.lib.process_tree import end_with_all
from benchmarks.throughput import ALL_CHECKS
from tests.system.postfix import scratch_folder
from tests.system.server import COMMAND

_LEARNED = 200


def main() -> None:
    """Scan with each and print messages a second."""
    end_with_all()
    options = _options()
    cores = os.cpu_count() or 1
    with scratch_folder() as folder, name_server() as (_, port, pid):
        mail, some, training = _write(folder, options)
        config = folder / "filterproxy.yml"
        settings = {"dns": {"nameservers": [f"127.0.0.1:{port}"]}, "checks": ALL_CHECKS, "store": "sqlite:state.db"}
        config.write_text(yaml.safe_dump(settings))
        rates = {"filterproxy scan": _rate([str(COMMAND), "scan", "--json", "-c", str(config), str(mail)], mail)}
        with peer_systems.rspamd(folder, port, pid, training, workers=cores) as peer:
            command = ["rspamc", "-h", f"127.0.0.1:{peer.port}", "-n", str(2 * cores), "--json", str(mail)]
            rates["rspamc"] = _rate(command, mail)
        with peer_systems.spamd(folder, port, pid, training, children=cores) as daemon:
            clients = f"ls {some}/* | xargs -P {2 * cores} -I FILE sh -c 'spamc -p {daemon.port} -E < FILE'"
            rates["spamc"] = _rate(["sh", "-c", clients], some)
    print(json.dumps(rates) if options.json else _table(rates))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--spamc", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _write(folder: Path, options: argparse.Namespace) -> tuple[Path, Path, Training]:
    index = corpus.ensure()
    rows = [line.split(" ", 1) for line in index.read_text().splitlines()]
    mail, some = folder / "mail", folder / "some"
    training = Training(folder / "ham", folder / "spam")
    for target in (mail, some, training.ham, training.spam):
        target.mkdir()
    for number in range(options.messages):
        raw = (index.parent / rows[number % len(rows)][1]).read_bytes()
        # Each is another message to whoever remembers what was seen.
        again = f"X-Round: {number // len(rows)}\n".encode() + raw
        (mail / f"{number:06}").write_bytes(again)
        if number < options.spamc:
            (some / f"{number:06}").write_bytes(again)
    for label, target in (("ham", training.ham), ("spam", training.spam)):
        for number, name in enumerate([name for its, name in rows if its == label][:_LEARNED]):
            (target / str(number)).write_bytes((index.parent / name).read_bytes())
    return mail, some, training


def _rate(command: Sequence[str], mail: Path) -> float:
    """Return messages a second; raise SystemExit when the command says nothing."""
    began = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    seconds = time.monotonic() - began
    if not done.stdout:
        sys.exit(f"folder: no output from {command[0]} (status {done.returncode})")
    return round(len(list(mail.iterdir())) / seconds, 1)


def _table(rates: dict[str, float]) -> str:
    ours = rates["filterproxy scan"]
    return "\n".join(f"{name:18}{rate:>9.1f} messages/s   {ours / rate:>7.2f}" for name, rate in rates.items())


if __name__ == "__main__":
    main()
