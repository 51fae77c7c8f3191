"""rspamd's HTTP protocol without I/O: request headers to what a client says of a message, and a verdict to JSON.

The rule: a client may tell us about the message in the request's body and never point at anything on this machine
(`File`, `Path`, shared memory). What cannot be understood of the client's facts is as if it were not said.

| request header | meaning |
|---|---|
| From, Rcpt (repeats), Deliver-To | the envelope; `<>` is the null sender |
| IP, Helo, Hostname, User, Queue-ID | the SMTP client, as the MTA tells it |
| TLS-Version, TLS-Cipher | the client's TLS |
| Flags | words joined by commas, see `ScanRequest.flags` |
| Compression, Content-Encoding | `zstd` |
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from filterproxy.core.action import Action
from filterproxy.core.errors import RemoteProtocolError
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol

PONG = b"pong\r\n"
# What a client is told that wants a number where no action has a threshold.
NO_THRESHOLD = 999.0
_FORBIDDEN = ("file", "path", "shm", "shm-offset", "shm-length")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST_HEADERS = 2000
_LONGEST_VALUE = 4096
# As in SMTP (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
_MOST_RECIPIENTS = 1000

# json.dumps would make one for each answer.
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)

Headers = Iterable[tuple[bytes, bytes]]


class RefusedRequestError(RemoteProtocolError):
    """The request is not served; `status` is HTTP's and the reason is told to the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a client says of a message; texts are empty when it does not say.

    `mail_from` is None when unknown, `address` an IP address. Of the `flags` these mean something here: `skip`,
    `no_log`, `groups`, `ext_urls`, `body_block`, `milter`. `compression` is the word for the body's encoding.
    """

    mail_from: str | None = None
    rcpt_to: tuple[str, ...] = ()
    address: str = ""
    helo: str = ""
    hostname: str = ""
    user: str = ""
    queue_id: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    flags: frozenset[str] = frozenset()
    compression: str = ""
    password: str = ""


def parse_headers(headers: Headers) -> ScanRequest:
    """Return what the header section says; raise RefusedRequestError for what must not or cannot be said."""
    fields = _fields(headers)
    forbidden = next((name for name in fields if name in _FORBIDDEN or name.startswith("shm")), None)
    if forbidden:
        raise RefusedRequestError(403, f"the header {forbidden} names something on the server; send the message itself")
    senders = fields.get("from", [])
    recipients = fields.get("rcpt") or fields.get("deliver-to", [])
    return ScanRequest(
        mail_from=_address(senders[-1]) if senders else None,
        rcpt_to=tuple(_recipients(recipients)),
        address=_ip_address(_last(fields, "ip")),
        helo=_last(fields, "helo"),
        hostname=_host_name(_last(fields, "hostname")),
        user=_last(fields, "user"),
        queue_id=_last(fields, "queue-id")[:64],
        tls_version=_last(fields, "tls-version"),
        tls_cipher=_last(fields, "tls-cipher"),
        flags=_words(fields.get("flags", [])) | _words(fields.get("pass", [])),
        compression=(_last(fields, "compression") or _last(fields, "content-encoding")).lower(),
        password=_last(fields, "password"),
    )


def _fields(headers: Headers) -> dict[str, list[str]]:
    """Return the values by lower-case name in their order; octets that are not UTF-8 are surrogate escapes."""
    fields: dict[str, list[str]] = {}
    for count, (name, octets) in enumerate(headers, 1):
        value = octets.decode("utf-8", "surrogateescape").strip(" \t")
        if count > _MOST_HEADERS or len(value) > _LONGEST_VALUE:
            raise RefusedRequestError(431, "there are too many header fields, or one is too long")
        key = name.decode("latin-1").lower()
        if _CONTROL.search(value):
            raise RefusedRequestError(400, f"the header {_CONTROL.sub('?', key)[:80]} has control characters")
        fields.setdefault(key, []).append(value)
    return fields


def _last(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields[name][-1] if name in fields else ""


def _address(text: str) -> str:
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text


def _recipients(values: Sequence[str]) -> list[str]:
    """Return the addresses of all fields; one field may hold several, joined by commas."""
    parts = [part for value in values for part in ([value] if '"' in value else value.split(","))]
    found = [address for part in parts if (address := _address(part.strip()))]
    if len(found) > _MOST_RECIPIENTS:
        raise RefusedRequestError(431, f"there are more than {_MOST_RECIPIENTS} recipients")
    return found


def _ip_address(text: str) -> str:
    bare = text.strip("[]")
    bare = bare[5:] if bare[:5].lower() == "ipv6:" else bare
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _host_name(text: str) -> str:
    return "" if text.lower() == "unknown" else text.rstrip(".")


def _words(values: Sequence[str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for value in values for word in value.split(",")) - {""}


# Answers


@dataclass(frozen=True, slots=True)
class Scanned:
    """A verdict as the protocol tells it.

    `action` is what the client is to do; `thresholds` those that apply. `smtp_message` is a text for its SMTP client,
    `subject` the new one as a header has it. `insert` are fields for the top in their order, `remove` maps each name
    to the occurrences that go (1-based), None for all of them.
    """

    action: Action
    result: ScanResult | None
    thresholds: Mapping[Action, float]
    message_id: str = ""
    urls: tuple[str, ...] = ()
    smtp_message: str = ""
    subject: str | None = None
    insert: tuple[tuple[str, str], ...] = ()
    remove: Mapping[str, tuple[int, ...] | None] | None = None


def required_score(thresholds: Mapping[Action, float]) -> float:
    """Return rspamd's `required_score`: the threshold of reject, else of what is marked."""
    for action in (Action.REJECT, Action.ADD_HEADER):
        if math.isfinite(thresholds.get(action, math.inf)):
            return thresholds[action]
    return NO_THRESHOLD


def to_json(scanned: Scanned, flags: frozenset[str], groups: Mapping[str, Symbol]) -> dict[str, Any]:
    """Return the answer of /checkv2; `groups` knows the declared symbols by name."""
    data = _metric(scanned)
    data["symbols"] = {symbol.name: _symbol(symbol) for symbol in _symbols(scanned)}
    if "groups" in flags:
        data["groups"] = _groups(_symbols(scanned), groups)
    data |= _about(scanned, flags)
    milter = _milter(scanned)
    if milter:
        data["milter"] = milter
    return data


def to_legacy_json(scanned: Scanned, flags: frozenset[str]) -> dict[str, Any]:
    """Return the answer of /check, where metric and symbols are one object, `default`."""
    spam = scanned.result is not None and scanned.result.is_spam
    symbols = {symbol.name: _symbol(symbol) for symbol in _symbols(scanned)}
    return {"default": {"is_spam": spam, **_metric(scanned), **symbols}, **_about(scanned, flags)}


def to_rspamc(scanned: Scanned) -> bytes:
    """Return the answer to RSPAMC, below its status line: text, a line for each fact."""
    result = scanned.result
    spam, score = (result.is_spam, result.score) if result is not None else (False, 0.0)
    lines = [
        f"Metric: default; {spam}; {number(score):.2f} / {required_score(scanned.thresholds):.2f} / 0.0",
        f"Action: {scanned.action.value}",
        *(f"Symbol: {symbol.name}({number(symbol.score):.2f})" for symbol in _symbols(scanned)),
    ]
    if scanned.subject is not None:
        lines.append(f"Subject: {scanned.subject}")
    if scanned.smtp_message:
        lines.append(f"Message: {scanned.smtp_message}")
    lines.append(f"Message-ID: {scanned.message_id or 'undef'}")
    return "".join(f"{_CONTROL.sub(' ', printable(line))}\r\n" for line in lines).encode("utf-8", "replace")


def skipped(message_id: str = "") -> dict[str, Any]:
    """Return the answer for a message that was not scanned because the client asked for that."""
    empty: dict[str, Any] = {"thresholds": {}, "symbols": {}, "messages": {}, "urls": [], "emails": []}
    verdict = {"score": 0.0, "required_score": 0.0, "action": Action.NO_ACTION.value}
    return {"is_skipped": True, **verdict, **empty, "message-id": message_id, "time_real": 0.0}


def _metric(scanned: Scanned) -> dict[str, Any]:
    result = scanned.result
    data: dict[str, Any] = {
        "is_skipped": result is None,
        "score": number(result.score if result else 0.0),
        "required_score": required_score(scanned.thresholds),
        "action": scanned.action.value,
        "thresholds": {action.value: score for action, score in _finite(scanned.thresholds)},
    }
    if result is not None and result.forced_by:
        data["passthrough_module"] = result.forced_by
    if scanned.subject is not None:
        data["subject"] = printable(scanned.subject)
    return data


def _about(scanned: Scanned, flags: frozenset[str]) -> dict[str, Any]:
    urls: list[Any] = [printable(url) for url in scanned.urls]
    return {
        "messages": {"smtp_message": printable(scanned.smtp_message)} if scanned.smtp_message else {},
        "urls": [{"url": url} for url in urls] if "ext_urls" in flags else urls,
        "emails": [],
        "message-id": printable(scanned.message_id) or "undef",
        "time_real": round(scanned.result.seconds, 6) if scanned.result else 0.0,
    }


def _symbols(scanned: Scanned) -> tuple[ScoredSymbol, ...]:
    return scanned.result.symbols if scanned.result else ()


def _symbol(symbol: ScoredSymbol) -> dict[str, Any]:
    score = number(symbol.score)
    data: dict[str, Any] = {"name": symbol.name, "score": score, "metric_score": score}
    if symbol.description:
        data["description"] = printable(symbol.description)
    if symbol.options:
        data["options"] = [printable(option) for option in symbol.options]
    return data


def _groups(symbols: Iterable[ScoredSymbol], known: Mapping[str, Symbol]) -> dict[str, Any]:
    sums: dict[str, float] = {}
    for symbol in symbols:
        declared = known.get(symbol.name)
        if declared is not None and declared.group:
            sums[declared.group] = sums.get(declared.group, 0.0) + symbol.score
    return {group: {"name": group, "score": number(score)} for group, score in sums.items()}


def _milter(scanned: Scanned) -> dict[str, Any]:
    """Return the changes to the header section; clients insert one field after the other, so the lowest comes first."""
    added: dict[str, Any] = {}
    for name, value in reversed(scanned.insert):
        entry = {"value": printable(value), "order": 0}
        earlier = added.get(name)
        added[name] = entry if earlier is None else [*(earlier if isinstance(earlier, list) else [earlier]), entry]
    removed = {name: _occurrences(which) for name, which in (scanned.remove or {}).items()}
    blocks = {"add_headers": added, "remove_headers": removed}
    return {name: block for name, block in blocks.items() if block}


def _occurrences(which: tuple[int, ...] | None) -> Any:
    if which is None:
        return 0
    return which[0] if len(which) == 1 else list(which)


def thresholds_list(thresholds: Mapping[Action, float]) -> list[dict[str, Any]]:
    """Return the answer of /actions, harshest action first."""
    ordered = sorted(_finite(thresholds), key=lambda item: -item[0].severity)
    return [{"action": action.value, "value": score} for action, score in ordered]


def _finite(thresholds: Mapping[Action, float]) -> list[tuple[Action, float]]:
    return [(action, score) for action, score in thresholds.items() if math.isfinite(score)]


def number(value: float) -> float:
    """Return a number that JSON has, without the noise of sums in binary."""
    return round(value, 6) if math.isfinite(value) else 0.0


def printable(text: str) -> str:
    """Return text that UTF-8 takes: octets that were none as replacement characters."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def encode(data: Any) -> bytes:
    """Return JSON's octets."""
    return _JSON.encode(data).encode("utf-8", "replace")
