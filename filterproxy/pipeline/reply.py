"""From an action to what a listener does with it: one table, for every listener and mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from filterproxy.core.action import Action
from filterproxy.core.reply import Reply
from filterproxy.core.scan_result import ScanResult
from filterproxy.pipeline.symbol_names import Compat

Mode = Literal["enforce", "observe"]

_MAX_REASON = 320  # a reply line holds 512 octets (RFC 5321 section 4.5.3.1.5)
_REFUSALS = (Action.SOFT_REJECT, Action.REJECT)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a listener can do with a message.

    `in_session` is false for a content filter: the client has its 250 already and a 5xx would become a bounce.
    `can_hold` is true where the MTA has a hold queue (milter), `can_remove` where single recipients can be taken from a
    message. `never_reject` are the recipients whose mail is not refused, see `spare`. Header fields name
    symbols as `compat` does.
    """

    listener: str
    in_session: bool = True
    can_hold: bool = False
    on_reject: Action = Action.ADD_HEADER
    quarantine_fallback: Action = Action.ADD_HEADER
    header_profile: Literal["spamassassin", "rspamd"] = "spamassassin"
    can_remove: bool = False
    never_reject: frozenset[str] = frozenset()
    compat: Compat | None = None


def effective_action(action: Action, delivery: Delivery, mode: Mode, *, failed: bool = False) -> Action:
    """Return what is really done here: `greylist` does nothing yet, observe mode only marks, and so on.

    `failed` tells that a check's failure asked for a soft reject: then even a content filter's mail waits in the MTA's
    queue, for a failure of ours must neither mark nor discard it.
    """
    if action is Action.GREYLIST:
        return Action.NO_ACTION
    if mode == "observe":
        return min(action, Action.ADD_HEADER, key=lambda item: item.severity)
    if action is Action.QUARANTINE and not delivery.can_hold:
        action = delivery.quarantine_fallback
    if action is Action.SOFT_REJECT and failed:
        return action
    if action in _REFUSALS and not delivery.in_session:
        return delivery.on_reject
    return action


def spare(action: Action, recipients: Sequence[str], delivery: Delivery) -> tuple[Action, tuple[str, ...]]:
    """Return what is done when some recipients never have mail refused, and the recipients that are taken away for it.

    A message for such recipients alone is marked instead of refused, held or discarded. One that is to be refused or
    discarded and has others too is marked as well, without these, where the listener can do that; a soft reject stays
    one for all, because the message comes again.
    """
    if action.severity <= Action.REWRITE_SUBJECT.severity or not delivery.never_reject:
        return action, ()
    others = tuple(address for address in recipients if not _is_spared(address, delivery.never_reject))
    if not others:
        return Action.ADD_HEADER, ()
    if len(others) == len(recipients) or not delivery.can_remove or action not in (Action.REJECT, Action.DISCARD):
        return action, ()
    return Action.ADD_HEADER, others


def _is_spared(address: str, patterns: frozenset[str]) -> bool:
    """Tell whether an address is listed: whole, as `local@` or as `@domain`; without regard to case."""
    local, _, domain = address.lower().rpartition("@")
    return not patterns.isdisjoint((f"{local}@{domain}", f"{local}@", f"@{domain}"))


def reply_for(action: Action, result: ScanResult, message_id: str) -> Reply | None:
    """Return the reply for an effective action, None when the message goes on or is dropped silently."""
    if action is Action.REJECT:
        return Reply.of(554, "5.7.1", f"{_reason(result)} (id {message_id})")
    if action is Action.SOFT_REJECT and result.failed_by:
        return Reply.of(451, "4.3.0", f"Temporary failure, please try again later (id {message_id})")
    if action is Action.SOFT_REJECT:
        return Reply.of(451, "4.7.1", f"Try again later (id {message_id})")
    return None


def failure_reply(message_id: str) -> Reply:
    """Return the bland reply for a failure of our own; always temporary."""
    return Reply.of(451, "4.3.0", f"Temporary failure, please try again later (id {message_id})")


def _reason(result: ScanResult) -> str:
    forced = next((item for item in result.symbols if item.name == result.forced_by), None)
    text = (forced.reply or forced.description)[:_MAX_REASON] if forced else ""
    text = text.encode("ascii", "replace").decode()  # other text needs SMTPUTF8
    return f"Message rejected: {text}" if text else "Spam message rejected"
