"""Eval functions about MIME parts and their text (Mail::SpamAssassin::Plugin::MIMEEval, BodyEval)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from filterproxy.message import Part
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.bodies import body_lines, effective_type, full, leaves, render, source_text
from filterproxy.ruleset.spamassassin.functions.function import Call, Function, once
from filterproxy.ruleset.spamassassin.functions.headers import CAPITALS, text_of

_QUOTED = re.compile(rb"=(?:09|3[0-9ABCEF]|[2456][0-9A-F]|7[0-9A-E])")
_ILLEGAL = re.compile(rb"[\x00\r\x80-\xff]")
_ENTITY = re.compile(rb"&#x[0-9A-F]{4};")
_ASCII = re.compile(
    r"us-ascii|ansi_x3\.4-1968|iso-ir-6|ansi_x3\.4-1986|iso_646\.irv:1991|ascii|iso646-us|us|ibm367|cp367"
)
_BAD_ISO = re.compile(r"iso-\S+-\S+\b")
_GOOD_ISO = re.compile(r"iso-(?:8859-\d{1,2}|2022-(?:jp|kr))\b")
_LOWER, _UPPER = b"abcdefghijklmnopqrstuvwxyz0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ENCODED = re.compile(rb"(?:[A-Za-z0-9+/=]{60,76} ){2}")


@dataclass
class MimeFacts:
    """What the MIME parts are made of; names are those of SpamAssassin."""

    counts: Counter[str]
    ratio: float = 1.0
    unicode_ratio: float = 0.0
    longest_base64: int = 0


KNOWN = frozenset(
    {"mime_attachment", "mime_bad_iso_charset", "mime_base64_count", "mime_base64_encoded_text", "mime_body_html_count",
     "mime_body_text_count", "mime_qp_count", "mime_qp_long_line", "mime_ascii_text_illegal",
     "mime_multipart_alternative"}
)  # fmt: skip


@once
def mime_facts(facts: Facts) -> MimeFacts:
    """Return what the MIME parts are made of."""
    found = MimeFacts(Counter())
    sizes: list[tuple[str, int | None]] = []
    plain = entities = quoted = quoted_bytes = 0
    for part in facts.message.parts:
        kind, encoding, disposition = part.content_type, part.encoding, part.disposition
        _note_header(found.counts, part)
        if part.is_container:
            continue
        raw = part.raw.replace(b"\r\n", b"\n")
        measured = found.counts["mime_multipart_alternative"] and kind in ("text/plain", "text/html")
        sizes.append((kind, None if disposition == "attachment" else len(raw) if measured else 0))
        if encoding == "quoted-printable":
            found.counts["mime_qp_long_line"] |= any(len(line) > 78 for line in raw.split(b"\n"))
            quoted_bytes += len(raw)
            quoted += sum(map(_quoted, raw.split(b"\n")))
        if kind == "text/plain" and part.charset in ("", "us-ascii") and _ILLEGAL.search(raw):
            found.counts["mime_ascii_text_illegal"] += 1
        if kind == "text/plain" and encoding in ("", "7bit", "8bit"):
            number = len(_ENTITY.findall(raw))
            entities += number
            plain += len(raw) - 8 * number
        if encoding == "base64" and kind != "application/ics":
            longest = max((len(line) + 1 for line in raw.split(b"\n") if line), default=0)
            found.longest_base64 = max(found.longest_base64, longest)
    if quoted_bytes:
        found.counts["mime_qp_count"] = quoted
    found.unicode_ratio = entities / plain if plain else 0.0
    found.ratio = _alternative_ratio(sizes) if found.counts["mime_multipart_alternative"] else 1.0
    return found


def _quoted(line: bytes) -> int:
    """Return how many characters of a line are encoded without need."""
    number = len(_QUOTED.findall(line))
    stripped = line.rstrip()
    while number and stripped.endswith((b"=20", b"=09")):
        stripped = stripped[:-3]
        number -= 1
    return number


def _note_header(counts: Counter[str], part: Part) -> None:
    kind, charset = part.content_type, part.charset
    counts["mime_multipart_alternative"] |= kind == "multipart/alternative"
    counts["mime_body_html_count"] += kind == "text/html"
    counts["mime_body_text_count"] += kind.startswith("text") and kind != "text/html"
    counts["mime_base64_count"] += part.encoding == "base64"
    counts["mime_qp_count"] += part.encoding == "quoted-printable"
    counts["mime_attachment"] += part.disposition == "attachment"
    if kind.startswith("text") and part.encoding == "base64" and part.disposition not in ("attachment", "inline"):
        counts["mime_base64_encoded_text"] |= not charset or bool(_ASCII.search(charset))
    if _BAD_ISO.search(charset) and not _GOOD_ISO.search(charset):
        counts["mime_bad_iso_charset"] = 1


def _alternative_ratio(sizes: list[tuple[str, int | None]]) -> float:
    last = {kind: size for kind, size in sizes if size is not None}
    plain, html = last.get("text/plain"), last.get("text/html")
    return plain / html if plain is not None and html else 1.0


def _html(call: Call) -> bool:
    declared = text_of(call.facts, "Content-Type").lower().startswith("text/html")
    return declared or mime_facts(call.facts).counts["mime_body_html_count"] > 0


def _html_only(call: Call) -> bool:
    counts = mime_facts(call.facts).counts
    declared = text_of(call.facts, "Content-Type").lower().startswith("text/html")
    return declared or (counts["mime_body_html_count"] > 0 and counts["mime_body_text_count"] == 0)


def _ratio(call: Call) -> bool:
    return call.number(0) <= mime_facts(call.facts).ratio < call.number(1, float("inf"))


def _base64_length(call: Call) -> bool:
    return call.number(0) <= mime_facts(call.facts).longest_base64 <= call.number(1, float("inf"))


def _body_length(call: Call) -> bool:
    return len(full(call.facts.message).partition(b"\n\n")[2]) <= call.number(0)


@once
def _capitals(facts: Facts) -> float:
    """Return how much of the letters of the body are capitals, in percent."""
    declared = re.search(r"charset=[\"']?([^\"'\s;]+)", text_of(facts, "Content-Type"), re.IGNORECASE)
    charsets = [part.charset for part in facts.message.parts if part.charset]
    charsets += [declared[1].lower()] if declared else []
    if any(CAPITALS.fullmatch(charset) for charset in charsets):
        return 0.0
    length = lower = upper = 0
    for line in body_lines(facts.message):
        if len(line.split()) < 2 or _ENCODED.match(line):
            continue
        length += len(line)
        lower += len(line) - len(line.translate(None, _LOWER))
        upper += len(line) - len(line.translate(None, _UPPER))
    return 100 * upper / (upper + lower) if length >= 200 and upper + lower else 0.0


def _uppercase(call: Call) -> bool:
    return call.number(0) < _capitals(call.facts) <= call.number(1)


@once
def _spaces(facts: Facts) -> int:
    """Return the largest share of blanks in a paragraph, in percent of its other characters."""
    largest = -1
    for line in body_lines(facts.message):
        if len(line) > 5:
            blanks = line.count(b" ")
            others = len(line) - blanks
            largest = max(largest, 100 if blanks > others or not others else 100 * blanks // others)
    return largest


def _vertical_words(call: Call) -> bool:
    high = call.number(1)
    return call.number(0) <= _spaces(call.facts) < (101 if high >= 100 else high)


def _is_word(text: str) -> bool:
    return text.isalnum() or any(char.isalnum() or char == "_" for char in text)


@once
def _differences(facts: Facts) -> tuple[float, int, int]:
    """Return by how much HTML differs from plain text in multipart/alternative, and the words of both."""
    most, html_words, plain_words = 0.0, 0, 0
    for part in facts.message.parts:
        if part.content_type != "multipart/alternative":
            continue
        html, plain = Counter[str](), Counter[str]()
        for leaf in part.walk():
            kind = effective_type(leaf)
            if not leaf.is_container and kind in ("text/plain", "text/html"):
                words = (render(source_text(leaf)) if kind == "text/html" else leaf.text).split()
                (html if kind == "text/html" else plain).update(filter(_is_word, words))
        if html:
            html_words, plain_words = len(html), len(plain)
            left = sum(1 for word, number in html.items() if word not in plain or number - plain[word] >= 1)
            most = max(most, 100 * left / len(html))
    return most, html_words, plain_words


def _difference(call: Call) -> bool:
    found, low = _differences(call.facts)[0], call.number(0)
    return (low == 0 or found > low) and found <= call.number(1, float("inf"))


def _difference_count(call: Call) -> bool:
    _, html, plain = _differences(call.facts)
    return html > call.number(1) and plain / html > call.number(0)


@once
def _blank_lines(facts: Facts) -> tuple[int, int]:
    lines = [line for part in leaves(facts.message) if part.is_text for line in part.payload.splitlines()]
    return sum(not line.strip() for line in lines), len(lines)


def _blank_line_ratio(call: Call) -> bool:
    blank, lines = _blank_lines(call.facts)
    low, high = call.number(0), call.number(1, 100)
    ratio = 100 * blank / lines if lines and lines >= max(call.number(2, 1), 1) else -1
    return (low == 0 and ratio <= high) or low < ratio <= high


FUNCTIONS = {
    "check_for_mime": Function(lambda call: mime_facts(call.facts).counts[call.arguments[0]] > 0, 1, 1, first=KNOWN),
    "check_for_mime_html": Function(_html),
    "check_for_mime_html_only": Function(_html_only),
    "check_mime_multipart_ratio": Function(_ratio, 2, 2, (0, 1)),
    "check_for_ascii_text_illegal": Function(lambda call: mime_facts(call.facts).counts["mime_ascii_text_illegal"] > 0),
    "check_abundant_unicode_ratio": Function(
        lambda call: mime_facts(call.facts).unicode_ratio >= call.number(0), 1, 1, (0,)
    ),
    "check_base64_length": Function(_base64_length, 1, 2, (0, 1)),
    "check_body_length": Function(_body_length, 1, 1, (0,)),
    "check_for_uppercase": Function(_uppercase, 2, 2, (0, 1)),
    "tvd_vertical_words": Function(_vertical_words, 2, 2, (0, 1)),
    "multipart_alternative_difference": Function(_difference, 2, 2, (0, 1)),
    "multipart_alternative_difference_count": Function(_difference_count, 2, 2, (0, 1)),
    "check_blank_line_ratio": Function(_blank_line_ratio, 2, 3, (0, 1, 2)),
}
