"""The normal form in which rules see decoded text, so that a rule says words and not their disguises.

The rule: linear time, and text that is plain already comes out as it went in.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

# Nobody sees these: soft hyphen, joiners, zero-width spaces, direction marks, fillers, variation selectors, tags;
# accents that belong to no letter go with them.
_INVISIBLE = (
    (0xAD, 0xAD), (0x300, 0x36F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF),
)  # fmt: skip
_LATIN_LETTERS = (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))


def _unaccented(code: int) -> str:
    """Return the ASCII letter that a Latin letter is without its accents, empty when there is none."""
    base = unicodedata.normalize("NFKD", chr(code))[0]
    return base if base.isascii() and base.isalpha() else ""


# One character for one, so that expressions keep their meaning when they are treated like texts.
_SUBSTITUTES = (
    {chr(code): base for code in _LATIN_LETTERS if (base := _unaccented(code))}
    | dict(zip("ßØøĐđÐðŁłıĦħŦŧſ", "sOoDdDdLliHhTts", strict=True))
    | dict.fromkeys("‘’‚‛′ʼ`´", "'")
    | dict.fromkeys("“”„‟″", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
)
_REPLACED = {chr(code): "" for low, high in _INVISIBLE for code in range(low, high + 1)} | _SUBSTITUTES
_IN_EXPRESSIONS = str.maketrans(_SUBSTITUTES)
_TABLE = str.maketrans(_REPLACED)
_FEW = 32

# Cyrillic, Greek and other letters that look like Latin ones.
_LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјкорсухԁԛԝһ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυ" + "ɑɡƖ",
    "ABESIJKMHOPCTYXaesijkopcyxdqwh" + "ABEZHIKMNOPTYXaivopu" + "agl",
)
_FOREIGN = re.compile("[\u0196\u0251\u0261\u0370-\u03ff\u0400-\u052f]")
_MIXED = re.compile(f"[A-Za-z]{_FOREIGN.pattern}|{_FOREIGN.pattern}[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]++")


def normal_form(text: str, limit: int) -> str:
    """Return the text in normal form, cut at `limit` characters.

    White space of any kind and length is one blank. Compatibility characters become the ones they stand for (NFKC:
    full-width, mathematical, ligatures), invisible ones vanish, typographic quotes and dashes become those of ASCII,
    Latin letters lose their accents, and in a word that mixes Latin letters with Cyrillic or Greek ones the look-alikes
    become Latin.
    """
    text = text[:limit]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)[:limit]
        unusual = _unusual(text)
        text = _replace(text, unusual)
        if any(map(_FOREIGN.match, unusual)) and _MIXED.search(text):
            text = _WORD.sub(_unmask, text)
    return " ".join(text.split())


def normal_expression(pattern: str) -> str:
    """Return a regular expression that finds in the normal form what it says: its accents, quotes and dashes go too."""
    return pattern if pattern.isascii() else pattern.translate(_IN_EXPRESSIONS)


def _unusual(text: str) -> set[str]:
    """Return the characters outside ASCII."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return set(map(chr, np.unique(codes[codes > 127]).tolist()))


def _replace(text: str, unusual: set[str]) -> str:
    found = _REPLACED.keys() & unusual
    if len(found) > _FEW:
        return text.translate(_TABLE)
    for char in found:
        text = text.replace(char, _REPLACED[char])
    return text


def _unmask(match: re.Match[str]) -> str:
    word = match[0]
    return word if word.isascii() or not _MIXED.search(word) else word.translate(_LOOK_ALIKES)
