"""How many messages get 3 points or more from the shipped rules alone: spam of these years, and wanted mail.

    python benchmarks/rule_set.py [--missed] [--json]

Nothing is known of the client, the envelope or authentication, and no other check runs. Spam of 2026 is told in two
halves by a hash of the file's name, so that new rules can be written by looking at one half only; older rules were
written with both in sight. `--missed` names the spam of that
first half below 3 points, and all wanted mail at or above
them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Also for the processes that scan: they import this file by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import corpus

from filterproxy.cli.replay import Way, known_symbols, replay
from filterproxy.ruleset.rows import Row, group_limits, total
from filterproxy.services.corpus import IndexLine, locate_messages, read_index

POINTS = 3.0
DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
MESSAGES = DATA / "messages"
# The functional tests of a filter hold few messages that people would want: those that are named for it.
_RSPAMD_HAM = ("*ham*.eml", "alias*.eml", "alt-*.eml", "alternative*.eml", "mid_*.eml", "dkim*.eml")
_RECORD = """\
From: {author}
Subject: {subject}
To: you@example.com
Date: Mon, 5 Jan 2026 12:00:00 +0100
Message-ID: <{number}@posta.example>
Content-Type: text/plain; charset=utf-8

{body}
"""


@dataclass(frozen=True)
class Group:
    """Messages that are told together; `show` names those that are wrong."""

    name: str
    lines: Sequence[IndexLine]
    show: bool = True


def main() -> None:
    """Measure every group and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missed", action="store_true", help="name the messages on the wrong side")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(list(groups(Path(folder))), Path(folder), missed=options.missed)
    if options.json:
        print(json.dumps(figures))


def measure(groups: Sequence[Group], folder: Path, *, missed: bool) -> dict[str, dict[str, float]]:
    """Return for each group how many messages there are and how many get the points; print them."""
    config = folder / "filterproxy.yml"
    config.write_text("checks: {rules: {}}\n")
    way = Way(config)
    known = known_symbols(way)
    scores, limits = {name: symbol.score for name, symbol in known.items()}, group_limits(known)
    figures = {}
    for group in groups:
        rows = list(replay(group.lines, way, lambda name, why: sys.exit(f"{name}: {why}")))
        reached = [row for row in rows if total(row, scores, limits) >= POINTS]
        share = 100 * len(reached) / len(rows)
        figures[group.name] = {"messages": len(rows), "reached": len(reached), "percent": round(share, 2)}
        print(f"{group.name:<34}{len(reached):5} of {len(rows):5}  {share:6.2f} %", flush=True)
        wrong = [row for row in rows if (total(row, scores, limits) >= POINTS) is not row.is_spam]
        if missed and group.show:
            show(wrong, scores)
    return figures


def show(rows: Sequence[Row], scores: Mapping[str, float]) -> None:
    """Name the messages with the rules that matched."""
    for row in rows:
        fired = " ".join(f"{name}({scores[name]:g})" for name in sorted(row.fired) if scores[name])
        print(f"    {total(row, scores):5.1f}  {row.name}  {fired}")


def groups(folder: Path) -> Iterator[Group]:
    """Yield the groups; messages that are kept as records are written into the folder."""
    recent = list(_lines("spam", MESSAGES / "spam-2026", "*.eml"))
    yield Group("spam 2026, half to write from", [line for line in recent if not held_out(line.file.name)])
    yield Group("spam 2026, half held out", [line for line in recent if held_out(line.file.name)], show=False)
    yield Group("spam 2026, all", recent, show=False)
    yield Group("spam 2023-2025", list(_lines("spam", MESSAGES / "spam-2023-2025", "*.eml")), show=False)
    yield Group("spam, Italian, of our own", list(_records("spam", folder)))
    ham = [line for pattern in _RSPAMD_HAM for line in _lines("ham", MESSAGES / "rspamd", pattern)]
    yield Group("ham of rspamd's tests", sorted(set(ham), key=lambda line: line.path))
    yield Group("ham of SpamAssassin's tests", list(_lines("ham", MESSAGES / "spamassassin-nice", "*")))
    yield Group("ham, Italian, of our own", list(_records("ham", folder)))
    if (DATA / "transactional").is_dir():
        yield Group("transactional ham of our own", list(_lines("ham", DATA / "transactional", "*/*.eml")))
    index = list(read_index(corpus.ensure()))
    yield Group("ham of the SpamAssassin corpus", [line for line in index if line.judge == "ham"])
    yield Group("spam of the SpamAssassin corpus", [line for line in index if line.judge == "spam"], show=False)


def held_out(name: str) -> bool:
    """Tell whether a message belongs to the half that new rules are not written from."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def _lines(judge: str, folder: Path, pattern: str) -> Iterator[IndexLine]:
    for file in sorted(folder.glob(pattern)):
        if file.name.startswith(("LICENSE", "README", ".")):
            continue
        for found in locate_messages([file]):
            yield IndexLine(judge, str(file.relative_to(DATA)), Path(found.path))  # type: ignore[arg-type]


def _records(judge: str, folder: Path) -> Iterator[IndexLine]:
    """Yield the Italian messages, which are kept as records: From, Subject, body, and a line `---`."""
    records = (DATA / "italian" / f"{judge}.txt").read_text().split("\n---\n")
    for number, record in enumerate(filter(str.strip, records), 1):
        author, subject, body = record.strip().split("\n", 2)
        file = folder / f"{judge}{number}.eml"
        file.write_text(_RECORD.format(author=author, subject=subject, number=number, body=body))
        yield IndexLine(judge, f"italian/{judge} {number}", file)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
