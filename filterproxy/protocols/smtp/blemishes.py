"""What is wrong with the octets of a message, and how it is mended: bare CR and LF, NUL, lines that are too long.

The rule: a bare CR or LF is told before anything reads the message, whatever pieces it came in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

CRLF = b"\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
# For a reader that drops NUL this line is the end of the message, and doubling its dot does not change that.
_HIDDEN_END = re.compile(rb"(?:\A|(?<=\r\n))\0+(?=\.\0*\r\n)")
# The end of a piece that only its successor can explain: half a CRLF, or the beginning of a line such as that.
_UNDECIDED = re.compile(rb"(?:(?:\A|(?<=\n))\0+(?:\.\0*)?\r?|\r)\Z")


def has_bare_newlines(raw: bytes) -> bool:
    """Tell whether a CR or LF stands alone: every CRLF uses up one of each."""
    pairs = raw.count(CRLF)
    return raw.count(b"\n") != pairs or raw.count(b"\r") != pairs


def lines_fit(raw: bytes, limit: int) -> bool:
    """Tell whether every CRLF line has at most `limit` octets; leaps from the last line end within reach."""
    start = 0
    while len(raw) - start > limit:
        end = raw.rfind(CRLF, start, start + limit + len(CRLF))
        if end < 0:
            return False
        start = end + len(CRLF)
    return True


def normalize_newlines(raw: bytes) -> bytes:
    """Return the message with CRLF for each bare LF and a space for each bare CR, as MTAs do that accept them.

    Dots are added again by `encode_data` afterwards, so a line that becomes a lone dot ends nothing; NULs that hide
    such a line become spaces too.
    """
    if has_bare_newlines(raw):
        raw = _BARE_LF.sub(CRLF, _BARE_CR.sub(b" ", raw))
    return _HIDDEN_END.sub(lambda match: b" " * len(match[0]), raw) if b"\0" in raw else raw


@dataclass(frozen=True, slots=True)
class Blemishes:
    """What is wrong with a message's octets: CR or LF alone, NUL, a line that ends it for a reader that drops NUL, a
    line of more octets than allowed."""

    bare_newlines: bool = False
    nul: bool = False
    hidden_end: bool = False
    long_line: bool = False


def blemishes(raw: bytes, line_limit: int | None) -> Blemishes:
    """Return what is wrong with a whole message; `line_limit` counts a line without its end, None is no limit."""
    nul = b"\0" in raw
    return Blemishes(
        bare_newlines=has_bare_newlines(raw),
        nul=nul,
        hidden_end=nul and _HIDDEN_END.search(raw) is not None,
        long_line=line_limit is not None and not lines_fit(raw, line_limit),
    )


class BlemishFinder:
    """The same for a message that comes in pieces."""

    def __init__(self, line_limit: int | None) -> None:
        self._line_limit = line_limit
        self._cutter = LineCutter()
        self._line = 0
        self.found = Blemishes()

    def feed(self, octets: bytes) -> None:
        """Look at the next piece."""
        self._look(self._cutter.feed(octets))

    def finish(self) -> Blemishes:
        """Return everything that was found."""
        self._look(self._cutter.finish())
        return replace(self.found, hidden_end=self.found.hidden_end or self._cutter.endless)

    def _look(self, text: bytes) -> None:
        if not text:
            return
        found, known = blemishes(text, None), self.found
        # A text that goes on in the middle of a line has no line start at its own.
        hidden = found.hidden_end and (not self._line or _HIDDEN_END.search(b"-" + text) is not None)
        long_line = self._long_line(text)
        self.found = Blemishes(
            bare_newlines=known.bare_newlines or found.bare_newlines,
            nul=known.nul or found.nul,
            hidden_end=known.hidden_end or hidden,
            long_line=known.long_line or long_line,
        )

    def _long_line(self, text: bytes) -> bool:
        first, last = text.find(CRLF), text.rfind(CRLF)
        if first < 0:
            self._line += len(text)
            return self._line_limit is not None and self._line > self._line_limit
        longest, self._line = self._line + first, len(text) - last - len(CRLF)
        if self._line_limit is None:
            return False
        return max(longest, self._line) > self._line_limit or not lines_fit(text[first : last + 2], self._line_limit)


class LineCutter:
    """Cuts pieces of a message so that none ends in a CRLF's middle, or in a line that may be NULs and a dot."""

    # Of a line that begins with more NULs than that the rest is not waited for; `endless` tells that it was so.
    _PATIENCE = 4096

    def __init__(self) -> None:
        self._held = b""
        self.endless = False

    def feed(self, octets: bytes) -> bytes:
        """Return what may be looked at now."""
        text = self._held + octets
        match = _UNDECIDED.search(text, max(0, len(text) - self._PATIENCE))
        cut = match.start() if match else len(text)
        self.endless = self.endless or text.endswith(b"\0" * self._PATIENCE)
        self._held = text[cut:]
        return text[:cut]

    def finish(self) -> bytes:
        """Return what was held back."""
        text, self._held = self._held, b""
        return text


class Normalizer:
    """`normalize_newlines` for a message that comes in pieces."""

    def __init__(self) -> None:
        self._cutter = LineCutter()
        self._in_line = False

    def feed(self, octets: bytes) -> bytes:
        """Return the next piece as it goes on."""
        return self._clean(self._cutter.feed(octets))

    def finish(self) -> bytes:
        """Return the last piece."""
        return self._clean(self._cutter.finish())

    def _clean(self, text: bytes) -> bytes:
        if not text:
            return b""
        if self._cutter.endless:
            text = text.replace(b"\0", b" ")
        clean = normalize_newlines(b"-" + text)[1:] if self._in_line else normalize_newlines(text)
        self._in_line = not clean.endswith(CRLF)
        return clean
