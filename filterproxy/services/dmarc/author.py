"""The Author Domain: whose name the From field shows (RFC 9989 section 5.3.1).

The one rule: a From that two readers could read differently has no author, so that it can never pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filterproxy.message import Header, Message
from filterproxy.message.domains import ascii_domain

MAX_DOMAINS = 4
MAX_FIELD = 8192
MAX_HIDDEN = 65_536  # octets searched for a From that some readers take for one

# One label is enough: public suffixes are not exempt (section 5.3.1).
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\Z")
_FROM_LINE = re.compile(rb"^[ \t]{0,80}from[ \t]{0,80}:", re.IGNORECASE | re.MULTILINE)
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,80}+\?[bBqQ]\?[^?\s]*+\?=")
_QUOTED = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"', re.DOTALL)
_ENCODED = "\x02"  # stands for an encoded word, which no address may hold
_ADDRESS = r"[^\s<>@,;:()\"\x02]++@[^\s<>@,;:()\"\x02]++"
_SHAPE = re.compile(rf"\s*+(?:({_ADDRESS})|([^<>,;:()\"]*+)<\s*+({_ADDRESS})\s*+>)\s*+\Z")


@dataclass(frozen=True, slots=True)
class Author:
    """`domain` is the Author Domain, empty when there is none for the reason given; `claimed` are the domains that
    the From fields show anyway, at most MAX_DOMAINS."""

    domain: str
    reason: str
    claimed: tuple[str, ...]


def read_author(message: Message) -> Author:
    """Return the Author Domain, or why there is none.

    One field may name several authors of one domain (section 5.3.1). Groups (RFC 6854) have no author here: mail
    programs show the group's name, not its members.
    """
    mailboxes = message.header_from
    domains = tuple(dict.fromkeys(mailbox.domain for mailbox in mailboxes if _DOMAIN.match(mailbox.domain)))
    claimed = domains[:MAX_DOMAINS]
    fields = message.headers.all("from")
    if len(fields) != 1:
        return Author("", f"{len(fields)} From fields", claimed)
    if len(fields[0].raw) > MAX_FIELD or len(message.headers) >= message.limits.headers:
        return Author("", "a From too long, or too many fields to see every From", claimed)
    if not message.is_separated and _FROM_LINE.search(_EMPTY_LINE.split(message.body[:MAX_HIDDEN], 1)[0]):
        return Author("", "a From below a line that is no field", claimed)
    if not claimed:
        return Author("", "no domain in From", claimed)
    if len(domains) > 1:
        return Author("", f"{len(domains)} domains in From", claimed)
    if not _is_plain(fields[0], claimed[0], len(mailboxes)) or any("@" in box.local_part for box in mailboxes):
        return Author("", "malformed From", claimed)
    return Author(claimed[0], "", claimed)


def _is_plain(field: Header, domain: str, count: int) -> bool:
    """Tell whether the field is that many of: one address, or one phrase and one address in angle brackets.

    An unquoted address in the phrase is malformed too, but common; it does no harm when it shows the same domain.
    """
    if _CONTROL.search(field.raw_value) or field.raw[:5].lower() != b"from:":
        return False
    text = _without_comments(_QUOTED.sub("Q", _ENCODED_WORD.sub(_ENCODED, field.unfolded)))
    authors = text.split(",")
    return len(authors) == count and all(_is_one(author, domain) for author in authors)


def _is_one(text: str, domain: str) -> bool:
    """Tell whether the text is one mailbox of that domain."""
    shape = _SHAPE.match(text)
    if shape is None:
        return False
    shown = [shape[1] or shape[3], *(word for word in (shape[2] or "").split() if "@" in word)]
    return all(ascii_domain(word.rpartition("@")[2].rstrip(".")) == domain for word in shown)


def _without_comments(text: str) -> str:
    """Return the text with (nested) comments as blanks; an unclosed one stays, and makes the field malformed."""
    kept: list[str] = []
    depth = start = 0
    for match in re.finditer(r"\\.|[()]", text, re.DOTALL):
        if match[0] == "(":
            if not depth:
                kept.append(text[start : match.start()])
            depth += 1
        elif match[0] == ")" and depth:
            depth -= 1
            start = match.end() if not depth else start
    return "(" if depth else " ".join([*kept, text[start:]])
