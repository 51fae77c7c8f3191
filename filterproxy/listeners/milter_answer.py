"""From a verdict to milter replies. The rule: first every modification, then exactly one decision."""

from __future__ import annotations

from filterproxy.core.action import Action
from filterproxy.pipeline import HeaderEdits, Verdict
from filterproxy.protocols.milter.replies import (
    Accept,
    ChangeHeader,
    DeleteRcpt,
    Discard,
    InsertHeader,
    Quarantine,
    Reject,
    Reply,
    ReplyCode,
    TempFail,
)


def replies_for(verdict: Verdict, *, leading_space: bool) -> list[Reply]:
    """Return the replies for a verdict; `leading_space`: HEADER_LEADING_SPACE was negotiated."""
    match verdict.action:
        case Action.SOFT_REJECT:
            return [ReplyCode.of(verdict.reply) if verdict.reply else TempFail()]
        case Action.REJECT:
            return [ReplyCode.of(verdict.reply) if verdict.reply else Reject()]
        case Action.DISCARD:
            return [Discard()]
        case Action.QUARANTINE:
            return [*_edits(verdict.edits, leading_space), Quarantine(_reason(verdict)), Accept()]
    removed = [DeleteRcpt(f"<{address}>") for address in verdict.removed]
    return [*_edits(verdict.edits, leading_space), *removed, Accept()]


def told(replies: list[Reply]) -> str:
    """Return what the MTA was told, for the records: an SMTP reply or a word."""
    decision = replies[-1]
    if isinstance(decision, ReplyCode):
        return decision.text.replace("\r\n", " ")
    if any(isinstance(reply, Quarantine) for reply in replies):
        return "hold"
    return type(decision).__name__.lower()


def _edits(edits: HeaderEdits, leading_space: bool) -> list[Reply]:
    """Return the edits, changes before insertions and the last occurrence first.

    Occurrences are counted in the message as it came; in this order no edit moves the fields of a later one, however
    the MTA counts fields that are gone already.
    """
    changes = [(occurrence, name, "") for name, occurrence in edits.remove]
    changes += [(occurrence, name, value) for name, occurrence, value in edits.change]
    replies: list[Reply] = [
        ChangeHeader(occurrence, name.encode(), _value(value, leading_space))
        for occurrence, name, value in sorted(changes, reverse=True)
    ]
    # Each goes to the very top, so the last one in is the first one seen.
    replies += [InsertHeader(0, name.encode(), _value(value, leading_space)) for name, value in reversed(edits.insert)]
    return replies


def _value(value: str, leading_space: bool) -> bytes:
    """Return a field value's octets; an empty one removes the field and gets no space."""
    octets = value.encode("utf-8", "surrogateescape")
    return b" " + octets if leading_space and octets else octets


def _reason(verdict: Verdict) -> str:
    result = verdict.result
    if result is None:
        return "filterproxy"
    return (
        f"filterproxy: forced by {result.forced_by}" if result.forced_by else f"filterproxy: score {result.score:.1f}"
    )
