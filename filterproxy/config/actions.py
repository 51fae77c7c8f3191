"""Actions in the configuration: their words, thresholds by action, and actions that symbols force."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from filterproxy.core.action import Action


def _parse_action(value: Any) -> Any:
    return Action.parse(value) if isinstance(value, str) else value


def _no_threshold_for_no_action(value: dict[Action, float]) -> dict[Action, float]:
    if Action.NO_ACTION in value:
        raise ValueError("'no action' has no threshold: it is what is left below the others")
    return value


ActionWord = Annotated[
    Action,
    BeforeValidator(_parse_action),
    WithJsonSchema({"enum": sorted({action.value for action in Action} | {action.key for action in Action})}),
]
Thresholds = Annotated[dict[ActionWord, float], AfterValidator(_no_threshold_for_no_action)]
ForcedActions = dict[str, ActionWord]
