"""From a verdict at RCPT to Postfix's words (access(5)), and Received-SPF. One table; the listener only writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline import Verdict

OnAllow = Literal["dunno", "permit_auth_destination", "ok"]
_LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """An action of access(5) and what follows it."""

    action: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.text}".rstrip()


DUNNO = Answer("DUNNO")


def answer_for(verdict: Verdict, on_allow: OnAllow) -> Answer:
    """Return the answer; what neither refuses nor holds a recipient is left to Postfix.

    | verdict | answer |
    |---|---|
    | reject | `REJECT` with the reason |
    | soft reject, or a failure of ours | `DEFER_IF_PERMIT`: Postfix may still refuse it for good |
    | quarantine | `HOLD` |
    | no action that a symbol forces | as `on_allow` says |
    | anything else | `DUNNO` |
    """
    reply, result = verdict.reply, verdict.result
    if reply is not None:
        return Answer("REJECT" if verdict.action is Action.REJECT else "DEFER_IF_PERMIT", reply.texts()[0])
    if verdict.action is Action.QUARANTINE and result is not None:
        reason = f"forced by {result.forced_by}" if result.forced_by else f"score {result.score:.1f}"
        return Answer("HOLD", f"filterproxy: {reason}")
    allowed = result is not None and result.forced_by and result.action is Action.NO_ACTION
    return Answer(on_allow.upper() if on_allow == "ok" else on_allow) if allowed and on_allow != "dunno" else DUNNO


def received_spf(transaction: Transaction, hostname: str) -> Answer | None:
    """Return the answer that adds Received-SPF (RFC 7208 section 9.1); None when SPF was not checked."""
    found = list(transaction.methods("spf"))
    best = next((item for item in found if item.property("smtp.mailfrom")), found[0] if found else None)
    if best is None:
        return None
    identity = "mailfrom" if best.property("smtp.mailfrom") else "helo"
    pairs = {
        "client-ip": transaction.client.address,
        "envelope-from": transaction.envelope.mail_from or "",
        "helo": transaction.helo,
        "receiver": hostname,
        "identity": identity,
    }
    values = "; ".join(f"{name}={_quoted(value)}" for name, value in pairs.items() if value)
    return Answer("PREPEND", f"Received-SPF: {best.result} ({_comment(best, transaction)}) {values};")


def _comment(result: MethodResult, transaction: Transaction) -> str:
    subject = result.property("smtp.mailfrom") or result.property("smtp.helo")
    return _plain(f"domain of {subject}, client {transaction.client.address}")


def _plain(text: str) -> str:
    """Return text for a comment: without parentheses, backslashes and what is not printable ASCII."""
    return "".join(char if " " <= char <= "~" and char not in "()\\" else "?" for char in text[:_LONGEST_VALUE])


def _quoted(text: str) -> str:
    """Return a value: as it is where that is a word, else as a quoted-string (RFC 5322 section 3.2.4)."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text[:_LONGEST_VALUE])
    if shown and all(char.isalnum() or char in ".-_:" for char in shown):
        return shown
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
