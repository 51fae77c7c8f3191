"""Whether imported rules do what SpamAssassin does: the same messages through both, rule by rule, parts included.

The rule: SpamAssassin runs without network (`spamassassin -L`); rules that ask the network, and those that read their
results, are not compared.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filterproxy.core.envelope import Envelope
from filterproxy.core.session import Client, Session
from filterproxy.core.transaction import Transaction
from filterproxy.message import Message
from filterproxy.ruleset import loader
from filterproxy.ruleset.facts import TextLimits
from filterproxy.ruleset.import_spamassassin.importing import import_folder
from filterproxy.ruleset.import_spamassassin.report import Fate, Report
from filterproxy.ruleset.import_spamassassin.translate import Translation
from filterproxy.ruleset.import_spamassassin.writer import list_text, rules_file
from filterproxy.ruleset.ruleset import RuleSet

HITS = Path(__file__).with_name("spamassassin_hits.pl")
RULES = Path("/usr/share/spamassassin")
SITE = Path("/etc/spamassassin")


@dataclass(repr=False)
class Imported:
    """A folder of SpamAssassin's rules, translated and loaded; `names`: ours by theirs, of rules that are compared."""

    report: Report
    ruleset: RuleSet
    names: dict[str, str]


@dataclass
class Comparison:
    """How many pairs of a message and a rule agree, and the others as (message, rule, whether it is ours alone)."""

    messages: int = 0
    rules: int = 0
    both: int = 0
    differences: list[tuple[str, str, bool]] = field(default_factory=list)

    @property
    def pairs(self) -> float:
        """Return the share of all pairs that agree."""
        return 1 - len(self.differences) / (self.messages * self.rules)

    @property
    def hits(self) -> float:
        """Return the share of pairs that agree among those in which the rule hits on either side."""
        return self.both / (self.both + len(self.differences))


def load(folder: Path = RULES, score_set: int = 0, seconds: float = 10.0) -> Imported:
    """Return a folder's rules; score set 0 is that of a run without network and Bayes."""
    translation = import_folder(folder, score_set=score_set)
    with tempfile.TemporaryDirectory() as temporary:
        path = write(translation, folder, Path(temporary))
        ruleset = loader.load([path], path.parent, TextLimits(seconds=seconds))
    return Imported(translation.report, ruleset, _compared(translation))


def write(translation: Translation, source: Path, folder: Path) -> Path:
    """Write the rules file and its lists into a folder; return the rules file."""
    for name, entries in translation.lists.items():
        (folder / name).write_text(list_text(entries))
    path = folder / "spamassassin.yml"
    path.write_text(rules_file(translation.rules, str(source)))
    return path


def _compared(translation: Translation) -> dict[str, str]:
    """Return the names of the translated rules, without those that read results of checks."""
    asking = {rule.name for rule in translation.rules if "authentication" in rule.match}
    while True:
        more = {r.name for r in translation.rules if r.name not in asking and asking & set(_read(r.match))}
        if not more:
            break
        asking |= more
    translated = (item for item in translation.report.outcomes if item.fate is Fate.TRANSLATED)
    names = {item.name: item.written_as or item.name for item in translated}
    return {theirs: ours for theirs, ours in names.items() if ours not in asking}


def _read(match: object) -> Iterable[str]:
    """Yield the names of the rules that a match reads."""
    if isinstance(match, dict):
        for key, value in match.items():
            if key == "rule":
                yield str(value)
            elif key == "of":
                yield from (item for item in value if isinstance(item, str))
            yield from _read(value)
    elif isinstance(match, list):
        for item in match:
            yield from _read(item)


def theirs(paths: Sequence[Path], rules: Path = RULES, site: Path = SITE) -> list[dict[str, float]]:
    """Return the rules that hit each message in SpamAssassin, and how often."""
    done = subprocess.run(
        ["perl", str(HITS), str(rules), str(site)],
        input="\n".join(map(str, paths)) + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line)["hits"] for line in done.stdout.splitlines()]


def transaction(path: Path) -> Transaction:
    """Return a message as it comes from a file: nothing is known of its session."""
    found = Transaction.begin(Session("compare", "compare", Client(""), ""))
    found.envelope = Envelope("", (), [])
    found.message = Message(path.read_bytes())
    return found


def ours(ruleset: RuleSet, path: Path) -> set[str]:
    """Return the rules and parts that hold for a message."""
    now = datetime.now(UTC)
    found = transaction(path)
    return {hit.name for hit in (*ruleset.match(found, now), *ruleset.match_parts(found, now))}


def compare(imported: Imported, paths: Sequence[Path]) -> Comparison:
    """Return how both judge the messages."""
    found = Comparison(len(paths), len(imported.names))
    for path, hits in zip(paths, theirs(paths), strict=True):
        mine = ours(imported.ruleset, path)
        for name, written in imported.names.items():
            if (name in hits) and written in mine:
                found.both += 1
            elif (name in hits) or written in mine:
                found.differences.append((str(path), name, written in mine))
    return found
