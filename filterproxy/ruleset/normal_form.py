"""The normal form in which rules see decoded text, so that a rule says words and not their disguises.

The rule: linear time, and text that is plain already comes out as it went in.
"""

from __future__ import annotations

import re
import unicodedata

_NON_ASCII = re.compile(r"[^\0-\x7f]+")
# Nobody sees these: soft hyphen, joiners, zero-width spaces, direction marks, fillers, variation selectors, tags.
_INVISIBLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF),
)  # fmt: skip
_REPLACED = (
    {chr(code): "" for low, high in _INVISIBLE for code in range(low, high + 1)}
    | dict.fromkeys("‘’‚‛′ʼ`´", "'")
    | dict.fromkeys("“”„‟″", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
)
_TABLE = str.maketrans(_REPLACED)
_FEW = 32

# Cyrillic, Greek and other letters that look like Latin ones.
_LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјкорсухԁԛԝһ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυ" + "ɑɡıƖ",
    "ABESIJKMHOPCTYXaesijkopcyxdqwh" + "ABEZHIKMNOPTYXaivopu" + "agil",
)
_FOREIGN = re.compile("[\u0131\u0196\u0251\u0261\u0370-\u03ff\u0400-\u052f]")
_MIXED = re.compile(f"[A-Za-z]{_FOREIGN.pattern}|{_FOREIGN.pattern}[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]++")


def normal_form(text: str, limit: int) -> str:
    """Return the text in normal form, cut at `limit` characters.

    White space of any kind and length is one blank. Compatibility characters become the ones they stand for (NFKC:
    full-width, mathematical, ligatures), invisible ones vanish, typographic quotes and dashes become those of ASCII,
    and in a word that mixes Latin letters with Cyrillic or Greek ones the look-alikes become Latin.
    """
    text = text[:limit]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)[:limit]
        unusual = set("".join(_NON_ASCII.findall(text)))
        text = _replace(text, unusual)
        if any(map(_FOREIGN.match, unusual)) and _MIXED.search(text):
            text = _WORD.sub(_unmask, text)
    return " ".join(text.split())


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
