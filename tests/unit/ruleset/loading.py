"""Load rules from text, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.ruleset import loader
from filterproxy.ruleset.facts import DEFAULT_LIMITS, TextLimits
from filterproxy.ruleset.ruleset import RuleSet

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def load_text(folder: Path, text: str, limits: TextLimits = DEFAULT_LIMITS, **files: str) -> RuleSet:
    """Return the ruleset of a text; other files (`allow_txt="…"` is allow.txt) are put beside it."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    path = folder / "rules.yml"
    path.write_text(text)
    return loader.load([path], folder, limits)


def fired(ruleset: RuleSet, transaction: Transaction) -> dict[str, tuple[str, ...]]:
    """Return the evidence of the rules that match, by name."""
    return {hit.name: hit.evidence for hit in ruleset.match(transaction, NOW)}


def with_results(transaction: Transaction, *results: MethodResult) -> Transaction:
    """Give the transaction the results of an authentication check."""
    symbols = tuple(SymbolResult(f"TEST_{number}", method=result) for number, result in enumerate(results))
    transaction.outcomes["test"] = CheckOutcome("test", Status.OK, symbols)
    return transaction
