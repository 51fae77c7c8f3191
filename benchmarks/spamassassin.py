"""How far imported rules agree with SpamAssassin, which must be installed with its rules.

    python benchmarks/spamassassin.py [--rules DIR] [--sample N] [--list] PATH...

PATH is a message or a folder of messages; with `--sample N` every so many are taken that N remain. Printed are the
share of pairs of a message and a rule that agree, that among pairs in which the rule hits on either side, and the rules
that differ most (`+`: only ours hits, `-`: only SpamAssassin's); with `--list` every difference.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.lib import spamassassin


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, default=spamassassin.RULES)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    files = [file for path in options.paths for file in _files(path)]
    step = max(len(files) // options.sample, 1) if options.sample else 1
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


def _files(path: Path) -> list[Path]:
    return sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]


if __name__ == "__main__":
    main()
