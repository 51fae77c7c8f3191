"""How far imported rules agree with SpamAssassin, which must be installed with its rules.

    python benchmarks/spamassassin.py [--rules DIR] [--sample N] [--list | --cost] PATH...

PATH is a message or a folder of messages; with `--sample N` every so many are taken that N remain. Printed are the
share of pairs of a message and a rule that agree, that among pairs in which the rule hits on either side, and the rules
that differ most (`+`: only ours hits, `-`: only SpamAssassin's); with `--list` every difference. `--cost` measures
instead what the rules cost: CPU time to load them, to match a message that is parsed already, and SpamAssassin's for
the same messages.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import spamassassin
from filterproxy.core.transaction import Transaction
from filterproxy.ruleset import loader
from filterproxy.ruleset.import_spamassassin.importing import import_folder
from filterproxy.ruleset.ruleset import RuleSet


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, default=spamassassin.RULES)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    files = [file for path in options.paths for file in _files(path)]
    step = max(len(files) // options.sample, 1) if options.sample else 1
    if options.cost:
        _cost(options.rules, files[::step])
        return
    imported = spamassassin.load(options.rules)
    for line in imported.report.lines():
        print(line)
    found = spamassassin.compare(imported, files[::step])
    print(f"{found.messages} messages, {found.rules} rules: {100 * found.pairs:.3f} % of all pairs agree,")
    hitting = found.both + len(found.differences)
    print(f"{100 * found.hits:.2f} % of those in which the rule hits ({found.both} of {hitting})")
    if options.list:
        for path, name, mine in found.differences:
            print(f"{'+' if mine else '-'}{name}  {path}")
    else:
        counted = Counter(f"{'+' if mine else '-'}{name}" for _, name, mine in found.differences)
        for name, number in counted.most_common(40):
            print(f"{number:6}  {name}")


def _cost(rules: Path, files: list[Path]) -> None:
    """Print what loading and matching cost, in CPU time of this process, and what SpamAssassin takes."""
    translation = import_folder(rules)
    with tempfile.TemporaryDirectory() as temporary:
        path = spamassassin.write(translation, rules, Path(temporary))
        begun = time.process_time()
        ruleset = loader.load([path], path.parent)
        seconds = time.process_time() - begun
        counted = f"{len(ruleset.rules)} rules and {len(ruleset.parts)} parts"
        print(f"loading {counted}: {seconds:.2f} s CPU")
    messages = [spamassassin.transaction(file) for file in files]
    times = [min(_seconds(ruleset, message) for _ in range(3)) for message in messages]
    print(f"a message: median {1000 * median(times):.2f} ms, mean {1000 * sum(times) / len(times):.2f} ms CPU")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    spamassassin.theirs(files[:1], rules)
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    spamassassin.theirs(files, rules)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start - (start - before)
    print(f"SpamAssassin: mean {1000 * used / len(files):.2f} ms CPU, its parsing included")


def _seconds(ruleset: RuleSet, message: Transaction) -> float:
    begun = time.process_time()
    ruleset.match(message, datetime.now(UTC))
    return time.process_time() - begun


def _files(path: Path) -> list[Path]:
    return sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]


if __name__ == "__main__":
    main()
