"""Address lists of RFC 5322, read as forgivingly as mail programs do.

The one rule: linear time on any text. An unclosed quote or comment is plain text, never the rest of the field, so that
no mailbox hides behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filterproxy.message.domains import ascii_domain
from filterproxy.message.encoded_words import decode_words
from filterproxy.message.limits import Limits

# Nearly every field is one of these two; the rest goes through the tokens below.
_SIMPLE = re.compile(
    r'\s*+(?:"([^"\\]*+)"|([^"(),:;<>@\\\[\]=]*+))\s*+<([^\s"(),:;<>@\\]++)@([^\s"(),:;<>@\\\[\]]++)>\s*+\Z'
)
_ENCODED_WORD = r"=\?[^?\s]{1,80}+\?[bBqQ]\?[^?\s]*+\?="
_ATOM = r"\s++|[^\s\"(),:;<>@\\\[\]=]++|\\.|\[[^\[\]]*+\]|."
_TOKEN = re.compile(rf'"[^"\\]*+(?:\\.[^"\\]*+)*("?)|{_ENCODED_WORD}|{_ATOM}', re.DOTALL)
_TOKEN_WITHOUT_QUOTES = re.compile(rf"{_ENCODED_WORD}|{_ATOM}", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox. `address` is as written, unquoted; `domain` is lower case and ASCII; each is empty when missing."""

    display_name: str
    address: str
    local_part: str
    domain: str


def parse_addresses(
    text: str, limits: Limits = _DEFAULT_LIMITS, defects: set[str] | None = None
) -> tuple[Mailbox, ...]:
    """Return the mailboxes of an address field's unfolded text in their order, groups flattened.

    Several mailboxes without commas between them are all returned, and so are those inside an encoded word that
    stands where an address should. A phrase without any address is a mailbox with an empty `address`. At most
    `limits.addresses` are returned.
    """
    defects = set() if defects is None else defects
    simple = _SIMPLE.match(text)
    if simple and "=?" not in text:
        display, local = (simple[1] or simple[2] or "").strip(), simple[3]
        return (Mailbox(" ".join(display.split()), f"{local}@{simple[4]}", local, ascii_domain(simple[4])),)
    parser = _Parser(limits, defects)
    parser.parse(text)
    return tuple(parser.found)


class _Parser:
    """Collects tokens of one list element until a separator ends it."""

    def __init__(self, limits: Limits, defects: set[str], *, decodes: bool = True) -> None:
        self.found: list[Mailbox] = []
        self._limits = limits
        self._defects = defects
        self._decodes = decodes
        self._words: list[str] = []
        self._angle: list[str] | None = None
        self._comment = ""
        self._after_mailbox = False

    def parse(self, text: str) -> None:
        pattern, comments, position = _TOKEN, True, 0
        while position < len(text) and len(self.found) < self._limits.addresses:
            match = pattern.match(text, position)
            assert match is not None
            lexeme = match[0]
            if lexeme == "(" and comments:
                end = _comment_end(text, position)
                if end:
                    self._comment = self._comment or text[position + 1 : end - 1].strip()
                    position = end
                    continue
                comments = False
            elif lexeme[0] == '"' and pattern is _TOKEN and not match[1]:
                pattern, position = _TOKEN_WITHOUT_QUOTES, position + 1
                continue
            self._take(lexeme)
            position = match.end()
        if position < len(text):
            self._defects.add("address_limit")
            return
        self._end_element()

    def _take(self, lexeme: str) -> None:
        if self._angle is not None:
            self._take_in_angle(lexeme, self._angle)
        elif lexeme == "<":
            self._angle = []
        elif lexeme in ",;":
            self._end_element()
            self._after_mailbox = False
        elif lexeme == ":" and "@" not in self._words:
            self._words.clear()
        else:
            self._words.append(" " if lexeme == ">" else _plain(lexeme))

    def _take_in_angle(self, lexeme: str, angle: list[str]) -> None:
        if lexeme == ">" or (lexeme in ",;" and angle[:1] != ["@"]):
            self._end_angle()
        elif lexeme == ":" and angle[:1] == ["@"]:
            angle.clear()
        elif not lexeme.isspace() and lexeme not in "<()":
            angle.append(_plain(lexeme))

    def _end_angle(self) -> None:
        display = self._display("".join(self._words))
        address = self._angle or []
        self._words, self._angle = [], None
        if address:
            self._add(display or self._display(self._comment), *_split_at(address))
        self._comment = ""
        self._after_mailbox = True

    def _end_element(self) -> None:
        if self._angle is not None:
            self._end_angle()
            return
        words, self._words = self._words, []
        comment, self._comment = self._comment, ""
        text = "".join(words).strip()
        if not text:
            return
        if "@" in words:
            before, local, domain, after = _find_address(words)
            self._add(self._display(before + after) or self._display(comment), local, domain)
        elif self._decodes and "=?" in text:
            self._end_encoded(text, comment)
        elif not self._after_mailbox:
            self._end_phrase(text, comment)

    def _end_encoded(self, text: str, comment: str) -> None:
        decoded = decode_words(text, self._limits, self._defects)
        if "@" not in decoded:
            self._end_phrase(decoded, comment)
            return
        inner = _Parser(self._limits, self._defects, decodes=False)
        inner.parse(decoded)
        self.found += inner.found[: self._limits.addresses - len(self.found)]

    def _end_phrase(self, text: str, comment: str) -> None:
        if len(text.split()) == 1:
            self._add(self._display(comment), text, "")
        else:
            self.found.append(Mailbox(self._display(text), "", "", ""))

    def _add(self, display: str, local: str, domain: str) -> None:
        address = f"{local}@{domain}" if domain else local
        self.found.append(Mailbox(display, address, local, ascii_domain(domain)))

    def _display(self, text: str) -> str:
        if self._decodes and "=?" in text:
            text = decode_words(text, self._limits, self._defects)
        return " ".join(text.split())


def _plain(lexeme: str) -> str:
    """Return a lexeme's text without quotes and backslashes."""
    if lexeme[0] == '"' and len(lexeme) > 1:
        lexeme = lexeme[1:-1]
        return _QUOTED_PAIR.sub(r"\1", lexeme) if "\\" in lexeme else lexeme
    return lexeme[1:] if lexeme[0] == "\\" and len(lexeme) == 2 else lexeme


def _comment_end(text: str, start: int) -> int:
    """Return the offset after the comment that begins at `start`, 0 when it is never closed."""
    depth = 0
    for match in _PARENTHESIS.finditer(text, start):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return match.end()
    return 0


def _split_at(pieces: list[str]) -> tuple[str, str]:
    """Return the local part and the domain around the last `@`."""
    if "@" not in pieces:
        return "".join(pieces), ""
    last = len(pieces) - 1 - pieces[::-1].index("@")
    return "".join(pieces[:last]), "".join(pieces[last + 1 :])


def _find_address(words: list[str]) -> tuple[str, str, str, str]:
    """Return the text before, the local part, the domain and the text after of an element without angle brackets."""
    words = _close_up(words)
    at = len(words) - 1 - words[::-1].index("@")
    first, last = at, at + 1
    while first and not words[first - 1].isspace():
        first -= 1
    while last < len(words) and not words[last].isspace():
        last += 1
    local, domain = "".join(words[first:at]), "".join(words[at + 1 : last])
    return "".join(words[:first]), local, domain, "".join(words[last:])


def _close_up(words: list[str]) -> list[str]:
    """Drop blanks next to a dot or an `@`: RFC 5322 section 4.4 allows `john . doe @ example . org`."""
    return [
        word
        for index, word in enumerate(words)
        if not (word.isspace() and 0 < index < len(words) - 1 and _joins(words[index - 1], words[index + 1]))
    ]


def _joins(before: str, after: str) -> bool:
    return before == "@" or after == "@" or before.endswith(".") or after.startswith(".")
