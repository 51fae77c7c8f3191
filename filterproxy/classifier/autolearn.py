"""Which messages teach the classifier by themselves: those that everything else is sure about.

The rule: the classifier's own opinion is never a reason to learn, only a reason not to; without a balance of the
classes nothing is learned of the larger one. A pure function of what the checks found and of what was learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from filterproxy.classifier.learner import Examples
from filterproxy.core.check import Evidence
from filterproxy.core.scan_result import Autolearn

# The classes are compared only when one of them has this many examples.
_FIRST = 20


class AutolearnConfig(BaseModel):
    """Keys of `checks.bayes.autolearn`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(False, description="Learn messages by themselves that the other checks are sure about.")
    spam_score: float = Field(
        12.0, allow_inf_nan=False, description="Learned as spam: the score without BAYES symbols, at least."
    )
    ham_score: float = Field(
        -0.5, allow_inf_nan=False, description="Learned as ham: the score without BAYES symbols, at most."
    )
    spam_symbols: int = Field(3, ge=1, description="Different symbols with a score above 0 that spam must have.")
    ham_symbols: int = Field(2, ge=1, description="Different symbols with a score below 0 that ham must have.")
    min_checks: int = Field(2, ge=1, description="Different checks that these symbols must come from.")
    max_imbalance: float = Field(
        3.0, ge=1, description="Nothing more is learned of a class that has so many times the other's messages."
    )
    authenticated: bool = Field(False, description="Learn mail of authenticated users too.")
    local: bool = Field(False, description="Learn mail from local_networks too.")
    max_waiting: int = Field(100, ge=1, description="Messages that may wait to be learned; more are not learned.")


def choose(config: AutolearnConfig, evidence: Sequence[Evidence], fired: Iterable[str], learned: Examples) -> Autolearn:
    """Return as what a message is to be learned.

    `evidence` is what everything but the classifier found, `fired` the names of all symbols, and
    `learned` how many messages were learned on this site.
    """
    score = sum(item.symbol.score for item in evidence)
    sure_of_spam = "BAYES_SPAM" in set(fired)
    if score >= config.spam_score and _is_enough(config, evidence, 1, config.spam_symbols):
        return Autolearn.SPAM if _is_balanced(config, learned.spam, learned.ham) else Autolearn.NO
    if score <= config.ham_score and not sure_of_spam and _is_enough(config, evidence, -1, config.ham_symbols):
        return Autolearn.HAM if _is_balanced(config, learned.ham, learned.spam) else Autolearn.NO
    return Autolearn.NO


def _is_enough(config: AutolearnConfig, evidence: Iterable[Evidence], sign: int, symbols: int) -> bool:
    """Tell whether enough different symbols of that sign, from enough different checks, fired."""
    found = [item for item in evidence if sign * item.symbol.score > 0]
    return len(found) >= symbols and len({item.check for item in found}) >= config.min_checks


def _is_balanced(config: AutolearnConfig, of_this: int, of_other: int) -> bool:
    return of_this < max(_FIRST, config.max_imbalance * of_other)
