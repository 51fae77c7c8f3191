"""Messages that checks learn by themselves: the choice before the answer, the learning after it.

The rule: a check that learns is shown what others found and nothing of its own, and whatever it does is no reason to
treat a message differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from filterproxy.core.check import Evidence, LearningCheck
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.transaction import Transaction
from filterproxy.observability.maillog import MailLog
from filterproxy.pipeline.registry import CheckSet, outcome_symbols


class Autolearning:
    """The checks of a set that learn; does nothing when there are none."""

    def __init__(self, checks: CheckSet, log: MailLog) -> None:
        self._log = log
        self._owners = _owners(checks)
        self._learners = [
            (check, frozenset(_own_symbols(check, checks)))
            for check in checks.checks
            if isinstance(check, LearningCheck) and check.autolearns
        ]

    def choose(self, transaction: Transaction, result: ScanResult) -> Autolearn:
        """Return as what the message is to be learned; never raises."""
        chosen = Autolearn.NO
        for check, own in self._learners:
            evidence = [
                Evidence(symbol, self._owners.get(symbol.name, "message"))
                for symbol in result.symbols
                if symbol.name not in own
            ]
            try:
                chosen = check.choose_class(transaction, result, evidence)
            except Exception as error:  # noqa: BLE001 - learning must not cost a message its answer
                self._log.internal_error("autolearn", error)
                return Autolearn.FAILED
        return chosen

    def learn(self, transaction: Transaction, chosen: Autolearn) -> None:
        """Hand the message to those who learn; never raises, never waits."""
        if chosen not in (Autolearn.SPAM, Autolearn.HAM):
            return
        for check, _ in self._learners:
            try:
                check.learn_later(transaction, chosen)
            except Exception as error:  # noqa: BLE001 - the message has its answer already
                self._log.internal_error("autolearn", error)


def _owners(checks: CheckSet) -> dict[str, str]:
    """Return the check that each symbol comes from; the parser's own belong to none."""
    owners = {name: check for check, names in checks.declared.items() for name in names}
    owners |= {composite.name: check.name for check in checks.checks for composite in check.composites()}
    return owners | {symbol.name: check.name for check in checks.checks for symbol in outcome_symbols(check.name)}


def _own_symbols(check: LearningCheck[Any], checks: CheckSet) -> Iterator[str]:
    """Yield the symbols of a check, and the composites that read one of them, directly or not."""
    own = {*checks.declared[check.name], *(symbol.name for symbol in outcome_symbols(check.name))}
    for composite in checks.composites:  # in the order in which they can be computed
        if own.intersection(composite.expression.names()):
            own.add(composite.name)
    yield from own
