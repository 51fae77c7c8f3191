"""How rare a text is in mail, by the pairs of letters in it: what the prefilter looks for had better be rare.

The rule: an estimate only decides how fast something is found, never whether.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

# Of each letter after each other, twice the bits it carries (A is 0), counted in some hundred English, German, French,
# Italian, Spanish and Portuguese messages. Rows and columns: blank, a to z, a digit, anything else.
_PAIRS = (
    "ZHJIJKJNKJQQLKKKJTJIHKNJVJVKI",
    "IQLHKXOJUIUMHKGZOZHIGMLQUJRSN",
    "IIRTUDZUYKQWHPSJWZKFTJZZZIZQL",
    "MHUJZGSSIKZHGTSFWZHSHJTZZNXSM",
    "DGRTNFZVXHXZQUPJTZLLQLRWVNVQG",
    "EJQJHLNRVMXTKKHOORGHJSLLLQXUI",
    "FIWYSHJZWGZVMQUFYZHSJGYYZQZPL",
    "DJJYSEYNIKZZLMLLTZIMQMZYZPRPJ",
    "GFSTVDWZVGZZPSRGUWLWIPWSVNZWL",
    "NLKHKKKLTUZQHKFHKWKGHSJZRZOZO",
    "RHPWOFWKRLWRWRWFKWRMWDWPWWWNI",
    "DLZZWFWQQFWRPWKNSUWJMHUPZPZUI",
    "FISTLFRUUGZSGORGPZRJLMSSZIXYK",
    "GELTXEQPWHZXOLZHIZUNPLXWUNZUJ",
    "FJUKHHMGULQNOTNIRZZHGMPWZNYTI",
    "GRQLLTKPUOZRLIFMMZGJJEMKTRWYO",
    "IGZULGUKJJWXGPTHJZGLHMVZZPZPJ",
    "PNUUUUUUPUUNULUUUUPUUAULPUUUL",
    "FHTNLEQMXGVOPLNIQZNKJMLPXMTUK",
    "ELUISGUWKJZOSQSLLZRJGHXQZNUSG",
    "FIVORGSZFGZWNQUGNZKKMLUQXMZUJ",
    "HNHNJLRMYMWVHLGSIZEHIZYZVUUSL",
    "OHZXPCSZZEZZZUZKRZTVZPZZVSZNN",
    "FFZZWFXWIEZXPTMJTZOJNZWKXUZQK",
    "HIYHQMROOJRYRLYYCRTYHTYOOLYNI",
    "DQQTUNZXZOZXTMMCNZRKOZWUZZZSH",
    "HIVMVCVVLIVPVVVHNVVVPVVVVKMKG",
    "FPSQSSQOVXVVZXRZTZTSSZURTZZCF",
    "CNPMOPOPNNTTOOOPNTMLMPPPWSWHE",
)
_FIRST = "FIMKKHMMLITPKMJILVJJIKNNSLULI"
_CLASSES = bytes(
    code - 96 if 97 <= code <= 122 else 0 if code in b" \t\r\n" else 27 if 48 <= code <= 57 else 28
    for code in range(256)
)
_BITS = tuple(tuple((ord(char) - ord("A")) / 2 for char in row) for row in _PAIRS)
_FIRST_BITS = tuple((ord(char) - ord("A")) / 2 for char in _FIRST)


def rarity(text: bytes) -> float:
    """Return the bits that a text (lower case) carries: it stands at about one of 2^bits places."""
    classes = text.translate(_CLASSES)
    return _FIRST_BITS[classes[0]] + sum(_BITS[a][b] for a, b in pairwise(classes))


@lru_cache(maxsize=65536)
def rarest_window(text: bytes) -> tuple[int, float]:
    """Return where the rarest eight bytes of a text begin (four, of a text of less than eight), and their rarity."""
    width = 8 if len(text) >= 8 else 4
    windows = ((rarity(text[at : at + width]), -at) for at in range(len(text) - width + 1))
    bits, at = max(windows)
    return -at, bits
