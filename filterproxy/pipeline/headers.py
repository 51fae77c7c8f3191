"""The verdict as header fields: which inbound ones go, which of ours come.

The rule: a field that only we may write never arrives from outside (WIRE: the SpamAssassin and rspamd sets, and
Authentication-Results with our own authserv-id, RFC 8601 section 5).
"""

from __future__ import annotations

import math
import re
from email.header import Header as EncodedHeader

from filterproxy import __version__
from filterproxy.core.action import Action
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline.authentication_results import authentication_results_value, carries_authserv_id
from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.pipeline.header_fields import field_spans
from filterproxy.pipeline.profile import Profile

VERDICT_FIELDS = frozenset(
    {
        *("x-spam", "x-spam-flag", "x-spam-level", "x-spam-checker-version", "x-spam-status", "x-spam-report"),
        *("x-spam-score", "x-spamd-result", "x-spamd-bar", "x-rspamd-action", "x-rspamd-queue-id"),
        *("x-rspamd-server", "x-rspamd-score"),
    }
)
_MAX_LEVEL = 50
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def verdict_edits(
    raw: bytes,
    transaction: Transaction,
    result: ScanResult,
    action: Action,
    *,
    hostname: str,
    fields: str,
    subject: str,
    profile: Profile,
) -> HeaderEdits:
    """Return the edits for a message that is passed on with this effective action; `fields` names their set."""
    insert: list[tuple[str, str]] = []
    if profile.authentication_results:
        results = profile.results(transaction, result.authentication)
        insert.append(("Authentication-Results", authentication_results_value(hostname, results)))
    if profile.marks == "always" or (profile.marks == "spam" and result.is_spam):
        insert += _spamassassin(result, hostname) if fields == "spamassassin" else _rspamd(result, transaction)
    change: list[tuple[str, int, str]] = []
    if action is Action.REWRITE_SUBJECT:
        _rewrite_subject(raw, subject, change, insert)
    return HeaderEdits(forged_fields(raw, hostname), tuple(change), tuple(insert))


def forged_fields(raw: bytes, hostname: str) -> tuple[tuple[str, int], ...]:
    """Return the fields, as (name, occurrence), that only we may write and that came with the message."""
    found = []
    for span in field_spans(raw):
        name = _CONTROL.sub("", span.name)  # some readers do not see them
        if name in VERDICT_FIELDS or (
            name == "authentication-results"
            and carries_authserv_id(raw[span.start : span.end].partition(b":")[2], hostname)
        ):
            found.append((span.name, span.occurrence))
    return tuple(found)


def _spamassassin(result: ScanResult, hostname: str) -> list[tuple[str, str]]:
    fields = [("X-Spam-Flag", "YES")] if result.is_spam else []
    level = "*" * max(0, min(_MAX_LEVEL, int(result.score)))
    if level:
        fields.append(("X-Spam-Level", level))
    fields += [
        ("X-Spam-Status", _status(result)),
        ("X-Spam-Score", f"{result.score:.1f}"),
        ("X-Spam-Checker-Version", f"filterproxy {__version__} on {_safe(hostname)}"),
    ]
    if result.is_spam:
        fields.append(("X-Spam-Report", _report(result)))
    return fields


def _status(result: ScanResult) -> str:
    tests = _fold([symbol.name for symbol in result.symbols] or ["none"], ",")
    word = "Yes" if result.is_spam else "No"
    required = "inf" if math.isinf(result.required_score) else f"{result.required_score:.1f}"
    return (
        f"{word}, score={result.score:.1f} required={required}\n\ttests={tests}\n\t"
        f"autolearn={result.autolearn} version={__version__}"
    )


def _report(result: ScanResult) -> str:
    lines = [f"{item.score:5.1f} {item.name} {_safe(item.description)[:200]}" for item in _by_weight(result)]
    return "\n\t* ".join(["", *lines]) if lines else "no symbols"


def _rspamd(result: ScanResult, transaction: Transaction) -> list[tuple[str, str]]:
    symbols = [
        f"{item.name}({item.score:.2f})[{','.join(_safe(option)[:60] for option in item.options[:5])}]"
        for item in _by_weight(result)
    ]
    limit = result.reject_score if math.isfinite(result.reject_score) else result.required_score
    head = f"default: {result.action is Action.REJECT} [{result.score:.2f} / {limit:.2f}]"
    fields = [("X-Spam", "Yes")] if result.is_spam else []
    return [
        *fields,
        ("X-Spamd-Result", ";\n\t".join([head, *symbols])),
        ("X-Rspamd-Action", result.action.value),
        ("X-Rspamd-Queue-Id", _safe(transaction.queue_id or transaction.session.id)),
    ]


def _by_weight(result: ScanResult) -> list[ScoredSymbol]:
    return sorted(result.symbols, key=lambda item: -abs(item.score))


def _rewrite_subject(
    raw: bytes, template: str, change: list[tuple[str, int, str]], insert: list[tuple[str, str]]
) -> None:
    """Put the original subject's own bytes into the template: encoded words stay as the sender wrote them."""
    span = next((item for item in field_spans(raw) if item.name == "subject"), None)
    before, _, after = (_encoded(part) for part in template.partition("%s"))
    if span is None:
        insert.append(("Subject", f"{before}{after}".strip()))
        return
    original = raw[span.start : span.end].partition(b":")[2].replace(b"\r\n", b"\n").strip()
    text = original.translate(None, b"\r\0").decode("utf-8", "surrogateescape")
    change.append(("Subject", 1, f"{before}{text}{after}"))


def _encoded(text: str) -> str:
    """Return header text with RFC 2047 encoded words where it is not ASCII, its outer spaces kept."""
    if text.isascii():
        return text
    return f"{EncodedHeader(text.strip(), 'utf-8', maxlinelen=10_000).encode()} "


def _fold(words: list[str], separator: str, width: int = 70) -> str:
    lines, current = [], ""
    for word in words:
        if current and len(current) + len(word) > width:
            lines.append(current)
            current = ""
        current += word + separator
    return "\n\t".join([*lines, current])[: -len(separator)]


def _safe(text: str) -> str:
    return _CONTROL.sub(" ", text)
