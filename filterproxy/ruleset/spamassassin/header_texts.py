"""`header NAME`: the text that a header rule of SpamAssassin sees, its modifiers and its pseudo fields.

The rule: a field that is not there is no text; several of one name are one text, each on its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from filterproxy.message import Header, Message, Part, parse_addresses
from filterproxy.message.domains import registrable_domain
from filterproxy.message.encoded_words import decode_words
from filterproxy.message.limits import Limits
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.envelope import envelope_from
from filterproxy.ruleset.spamassassin.relays import relays_of

MODIFIERS = frozenset({"raw", "addr", "name", "host", "domain", "ip", "revip", "first", "last"})
# Fields in which encoded words mean themselves.
_UNDECODED = re.compile(r"(?:received|(?:resent-)?(?:message-id|date)|mime-version|references|in-reply-to|list-.*)\Z")
_MESSAGE_ID = ("x-message-id", "resent-message-id", "x-original-message-id", "message-id")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_HOST = re.compile(r"@?([A-Za-z0-9](?:[A-Za-z0-9_-]*\.)+[A-Za-z]{2,})(?![._-])")
_FOLD = re.compile(r"\r?\n\s+")
_LIMITS = Limits()


class _Query(NamedTuple):
    """A header rule's left side, understood: who reads the fields, which of them, what of those, and how it is text."""

    read: Callable[[Facts], list[str]]
    only: slice
    parts: tuple[Callable[[list[str]], list[str]], ...]
    encoding: str


def header_text(facts: Facts, query: str) -> bytes | None:
    """Return the text of a header rule's left side (`From:addr`), None when there is no such field."""
    known = facts.header_texts
    if query not in known:
        known[query] = _header_text(facts, query)
    return known[query]


def _header_text(facts: Facts, query: str) -> bytes | None:
    read, only, parts, encoding = _understood(query)
    values = read(facts)[only]
    for part in parts:
        values = part(values)
    if not values:
        return None
    return ("" if values[0].endswith("\n") else "\n").join(values).encode(encoding, "replace")


@lru_cache(maxsize=4096)
def _understood(query: str) -> _Query:
    name, *modifiers = query.split(":")
    only = slice(1) if "first" in modifiers else slice(-1, None) if "last" in modifiers else slice(None)
    parts = tuple(_PARTS[part] for part in _PARTS if part in modifiers)
    received = "raw" in modifiers and not {"addr", "name"} & set(modifiers)
    return _Query(_reader(name, modifiers), only, parts, "latin-1" if received else "utf-8")


def _reader(name: str, modifiers: Sequence[str]) -> Callable[[Facts], list[str]]:
    """Return what reads the fields of a name, or a pseudo field."""
    raw, lower = "raw" in modifiers, name.lower()
    pseudo = _PSEUDO.get(lower) if lower != "all" or name == "ALL" else None
    if pseudo is not None and (lower not in _EXACT or name in _EXACT.values()):
        return lambda facts: pseudo(facts, raw)
    if lower.startswith("x-spam-"):
        return lambda facts: []
    if "addr" in modifiers or "name" in modifiers:
        return lambda facts: [field.unfolded for field in facts.message.headers.all(lower)]
    show = raw_value if raw else value
    return lambda facts: [show(field) for field in facts.message.headers.all(lower)]


def value(field: Header) -> str:
    """Return the decoded value on one line, with a line end."""
    return (field.unfolded if _UNDECODED.match(field.name.lower()) else field.value) + "\n"


def raw_value(field: Header) -> str:
    """Return the value as received, a line end included, bytes as characters (Latin-1)."""
    return field.raw_value.decode("latin-1").replace("\r\n", "\n").lstrip(" \t") + "\n"


def _one_line(field: Header, raw: bool) -> str:
    return _FOLD.sub(" ", raw_value(field)) if raw else value(field)


def all_headers(headers: Sequence[Header]) -> list[str]:
    """Return each field with its name, decoded and on one line."""
    return [f"{field.name}: {value(field)}" for field in headers]


def shown(message: Message) -> list[Header]:
    """Return the header fields but for those that mark an earlier verdict of SpamAssassin."""
    return [field for field in message.headers if not field.name.lower().startswith("x-spam-")]


def raw_field(field: Header) -> str:
    """Return a field as received, bytes as characters (Latin-1)."""
    return field.raw.decode("latin-1").replace("\r\n", "\n")


def _all(facts: Facts, raw: bool) -> list[str]:
    fields = shown(facts.message)
    return [raw_field(field) for field in fields] if raw else all_headers(fields)


def _named(*names: str) -> Callable[[Facts, bool], list[str]]:
    def read(facts: Facts, raw: bool) -> list[str]:
        return [_one_line(field, raw) for name in names for field in facts.message.headers.all(name)]

    return read


def _envelope_from(facts: Facts, raw: bool) -> list[str]:
    found = envelope_from(facts)
    return [] if found is None else [found]


def _relays(kind: str) -> Callable[[Facts, bool], list[str]]:
    def read(facts: Facts, raw: bool) -> list[str]:
        return [relays_of(facts).text(kind)]

    return read


def _near(*, trusted: bool) -> Callable[[Facts, bool], list[str]]:
    """Return a reader of the fields that relays wrote which are trusted, or which are not."""

    def read(facts: Facts, raw: bool) -> list[str]:
        chosen = relays_of(facts).fields(shown(facts.message), outside=not trusted)
        return [raw_field(field) for field in chosen] if raw else all_headers(chosen)

    return read


_EXACT = {"messageid": "MESSAGEID", "all": "ALL"}
_PSEUDO: dict[str, Callable[[Facts, bool], list[str]]] = {
    "all": _all,
    "messageid": _named(*_MESSAGE_ID),
    "tocc": _named("to", "cc"),
    "envelopefrom": _envelope_from,
    "all-trusted": _near(trusted=True),
    "all-internal": _near(trusted=True),
    "all-untrusted": _near(trusted=False),
    "all-external": _near(trusted=False),
    "x-spam-relays-trusted": _relays("trusted"),
    "x-spam-relays-untrusted": _relays("untrusted"),
    "x-spam-relays-internal": _relays("internal"),
    "x-spam-relays-external": _relays("external"),
}


def _addresses(values: list[str]) -> list[str]:
    return [box.address for line in values for box in parse_addresses(line) if "@" in box.address]


def _names(values: list[str]) -> list[str]:
    found: list[str] = []
    for line in values:
        for box in parse_addresses(line):
            if box.display_name:
                found.append(decode_words(box.display_name, _LIMITS, set()).strip("'"))
    return found


def _hosts(values: list[str]) -> list[str]:
    found: list[str] = []
    for line in values:
        at = line.rfind("@")
        match = _HOST.match(line, at) if at >= 0 else None
        match = match or _HOST.search(line)
        if match:
            found.append(match[1])
    return found


def _domains(values: list[str]) -> list[str]:
    return [registrable_domain(host.lower()) or host for host in _hosts(values)]


def _ips(values: list[str]) -> list[str]:
    return [match[0] for line in values if (match := _IPV4.search(line))]


def _reverse_ips(values: list[str]) -> list[str]:
    return [".".join(reversed(ip.split("."))) for ip in _ips(values)]


_PARTS: dict[str, Callable[[list[str]], list[str]]] = {
    "addr": _addresses, "name": _names, "host": _hosts, "domain": _domains, "ip": _ips, "revip": _reverse_ips,
}  # fmt: skip


def part_header_text(part: Part, query: str) -> bytes | None:
    """Return the text of a MIME part's header field (`Content-Type`, `Content-Id:raw`, `ALL`), None without it."""
    name, _, modifier = query.partition(":")
    if name == "ALL":
        return "".join(all_headers(list(part.headers))).encode("utf-8", "replace")
    field = part.headers.last(name)
    if field is None:
        return None
    if modifier == "raw":
        return raw_value(field).encode("latin-1", "replace")
    return value(field).encode("utf-8", "replace")


def first_value(message: Message, name: str) -> str:
    """Return the decoded value of the topmost field of a name, empty without one."""
    field = message.headers.first(name)
    return field.value if field is not None else ""
