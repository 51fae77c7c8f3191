"""Debian's SpamAssassin rules, imported: how many load, and whether they judge as SpamAssassin does."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from benchmarks.lib import spamassassin
from filterproxy.ruleset.import_spamassassin.report import Fate

MESSAGES = Path(__file__).parents[1] / "data" / "messages"

_MIME = "SpamAssassin reads a MIME structure that is broken in another way"
# Every pair that differs, and why: message, rule (patterns) and the reason.
DIFFERENCES = (
    ("spamassassin-spam/015", "*", "a line of one blank ends SpamAssassin's header; in RFC 5322 it continues a field"),
    ("spamassassin-spam/017", "*", "SpamAssassin has no body at all for a message without parts, not even the subject"),
    ("spamassassin-spam/badmime3.txt", "*", _MIME),
    ("spamassassin-nice/mime8", "MIME_BASE64_TEXT", _MIME),
    ("spamassassin-nice/mime9", "__HAS_ANY_EMAIL", _MIME),
    ("spamassassin-nice/unicode2", "__FROM_*", "the name is in UTF-16 without a byte order mark, which we decode"),
    ("spamassassin-nice/002", "*UNPARSEABLE_RELAY*", "a Received field without an address is one we cannot read"),
    ("spamassassin-spam/003", "__MANY_SUBDOM", "a host that begins with a number is no address in text for us"),
)  # fmt: skip


@pytest.fixture(scope="module", name="imported")
def _imported() -> spamassassin.Imported:
    """Return the rules of the Debian package, translated and loaded."""
    return spamassassin.load()


def test_nearly_all_rules_are_translated_and_load(imported):
    report = imported.report
    expressions, translated = report.expressions()
    assert expressions > 1000
    assert translated >= 0.95 * expressions
    assert len(report.outcomes) > 2500
    assert report.count(Fate.TRANSLATED) >= 0.8 * len(report.outcomes)
    assert report.problems == []
    assert len(imported.ruleset.rules) + len(imported.ruleset.parts) == report.count(Fate.TRANSLATED)


def test_rules_hit_the_messages_that_they_hit_in_spamassassin(imported):
    folders = (MESSAGES / "spamassassin-nice", MESSAGES / "spamassassin-spam")
    paths = sorted(path for folder in folders for path in folder.iterdir())
    assert len(paths) == 65
    found = spamassassin.compare(imported, paths)
    assert found.both > 3000
    assert found.pairs >= 0.98
    assert found.hits >= 0.98
    assert [item for item in found.differences if not _explained(item[0], item[1])] == []


def _explained(path: str, rule: str) -> bool:
    return any(path.endswith(message) and fnmatch(rule, pattern) for message, pattern, _ in DIFFERENCES)
