"""What the pipeline concluded about one message for one recipient policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome
from filterproxy.core.symbol import ScoredSymbol


class Autolearn(StrEnum):
    """As what a message is learned by itself, in SpamAssassin's words."""

    SPAM = "spam"
    HAM = "ham"
    NO = "no"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Action, score and everything that explains them.

    `required_score` is the threshold of `add header`, `reject_score` that of `reject` (infinite when unset).
    `forced_by` names the symbol that forced the action, empty when the score decided; `failed_by` the check
    whose failure asked for a soft reject. `seconds` is the scan's wall-clock time.
    `autolearn` says whether the message is learned from what the checks said of it.
    """

    action: Action
    score: float
    required_score: float
    reject_score: float
    symbols: tuple[ScoredSymbol, ...] = ()
    authentication: tuple[MethodResult, ...] = ()
    outcomes: tuple[CheckOutcome, ...] = ()
    forced_by: str = ""
    failed_by: str = ""
    subject: str | None = None
    seconds: float = 0.0
    autolearn: Autolearn = Autolearn.NO

    @property
    def is_spam(self) -> bool:
        """Tell whether the message is marked: its action is `add header` or harsher."""
        return self.action.severity >= Action.ADD_HEADER.severity and self.action is not Action.SOFT_REJECT
