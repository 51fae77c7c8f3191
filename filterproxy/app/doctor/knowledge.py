"""What decides: the model and the rules, as far as they could be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filterproxy.app.doctor.finding import Finding, Patient, Status
from filterproxy.checks.bayes import BayesCheck
from filterproxy.checks.rules import RulesCheck

_ENOUGH = 0.5


async def examine_knowledge(patient: Patient) -> Sequence[Finding]:
    """Say which model and how many rules are in use."""
    return [finding for check in patient.checks.checks for finding in _knowledge(check)]


def _knowledge(check: object) -> Iterator[Finding]:
    if isinstance(check, BayesCheck):
        yield from _model(check)
    if isinstance(check, RulesCheck):
        number = len(check.ruleset.symbols) + len(check.ruleset.composites)
        yield Finding("rules", Status.OK, f"{number} rules, lists and composites are loaded")


def _model(check: BayesCheck) -> Iterator[Finding]:
    if check.model is None:
        return
    path, model = check.model
    learned = model.learned
    text = (
        f"{path.name}: trained on {model.base.spam} spam and {model.base.ham} ham, "
        f"learned here {learned.spam} spam and {learned.ham} ham"
    )
    spam, ham = model.missing_for(_ENOUGH)
    if spam or ham:
        advice = f"`filterproxy learn` {spam} more spam and {ham} more ham of your own: docs/training.md"
        yield Finding("model", Status.NOTE, f"{text}; it decides little so far", advice)
    else:
        yield Finding("model", Status.OK, text)
