"""The form in which literals are looked for: words between blanks, so that `\\bsign\\b` is not found in `assigned`.

The rule: wherever an expression's literal stands in a text, its key stands in the spaced text, one byte further on for
the blank that each spaced text begins with.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# In literals it stands for a word boundary, or an end of the text.
BOUNDARY = "\b"
_SPACED = (
    bytes(code if code > 127 or chr(code).isalnum() or chr(code) == "_" else 32 for code in range(128)) + b" " * 128
)
_FEWEST = 3  # word characters of a literal: with less punctuation has to be compared too
_WORD = re.compile(r"[0-9A-Za-z_]")


class Key(NamedTuple):
    """What is looked for: in the spaced text, or (`exact`) in the text itself; how far the literal is into it."""

    text: bytes
    exact: bool
    lead: int = 0


def spaced(text: bytes) -> bytes:
    """Return the text with a blank for each byte that is in no word of ASCII, and a blank more at both ends."""
    return b" %b " % text.translate(_SPACED)


def bare(literal: str) -> str:
    """Return a literal without its boundaries."""
    return literal.replace(BOUNDARY, "")


@lru_cache(maxsize=65536)
def key_of(literal: str) -> Key:
    """Return the key of a literal in lower case, in which BOUNDARY may stand."""
    text = bare(literal)
    if not text.isascii() or len(_WORD.findall(text)) < _FEWEST - literal.count(BOUNDARY):
        return Key(text.encode(), True)
    lead = literal.startswith(BOUNDARY) and _WORD.match(text[0]) is not None
    tail = literal.endswith(BOUNDARY) and _WORD.match(text[-1]) is not None
    return Key(b" " * lead + text.encode().translate(_SPACED) + b" " * tail, False, int(lead))
