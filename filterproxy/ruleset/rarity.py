"""How rare a text is in mail, by its pairs of letters and its words: what the prefilter looks for had better be rare.

The rule: an estimate only decides how fast something is found, never whether.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from functools import cache
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
# Words of mail, by the bits they carry: one of 10 bits begins at one of about 1,000 places. Counted in English messages
# of 2002 and of 2023 to 2026, each word at most five times a message, in those kinds of mail that have it most.
_WORDS = {
    9: ("com for from with "),
    10: ("and esmtp google http localhost net org smtp the you your "),
    11: (
        "are designates domain example feb header list mail mailfrom mailto may message mon none pass permitted "
        "postfix removed rsa sender sha slashnull spf subject taint that this unsubscribe "
    ),
    12: (
        "account admin all boundary but can charset click date dkim edu email free full get gmail has have here ist "
        "linux listinfo lists mailman mime more multipart netnoteinc news not now our pdt plain please receive "
        "request sep test text user version washington will www "
    ),
    13: (
        "about added address also available bank because been bulk business client contact data delivered details "
        "dmarc drop emails fetchmail files helo help hotmail html identity imap information internet into just leave "
        "like mailing make mark microsoft million money name number only over part payment received release reply "
        "security send service should signature single software some source sourceforge spam subscribe subscription "
        "talk their them there these they through time today users want what when which windows wish would yahoo "
    ),
    14: (
        "access action after alert anti application ascii authorized back before being below best better call card "
        "case check code company content could country days dear debian deleted designed does dollars envelope even "
        "every exim fail family features file financial find first five following form forward found good group high "
        "home host hours https immediately includes industry info interested investment invoked know last life local "
        "long longer made many messages most much need next normal notice offer online open order other outlook "
        "package people personal phone pipermail plan private problem product qmail read regards relay remove report "
        "required results review right rights risk root secure sent server services simple site sonic sources special "
        "state states status still stories support system take than thank then those tool transaction type united "
        "unknown update using very watch well were where while within without work world year years yours "
    ),
    15: (
        "able above addresses again agent almost always america american amount another anyone apache apple backup "
        "based bits body both cash change cipher city claim class come comments companies complete contacts cost "
        "currently customer daily delivery development discount doing down download during each easy ever everything "
        "exchange express forged friend further future general getting give going government great health hello hope "
        "however immediate important inform instead instructions interest international keep kind late left legal "
        "less limited line link live look looking mails management market method month must names network never note "
        "office once original paid parts person print printable privacy process produced products program provide "
        "public quoted reach ready real really receiving reserved response safe said same save search self shipping "
        "show since something soon space start stop such sure team testing thanks think thousands times total under "
        "university until urgent used userid video warning website week working "
    ),
}
_RUN = re.compile(rb"[a-z]{3,}")
_SHARE = 0.25  # of the bits that a word adds to those of a rarer one beside it
_FIRST = "FIMKKHMMLITPKMJILVJJIKNNSLULI"
_CLASSES = bytes(
    code - 96 if 97 <= code <= 122 else 0 if code in b" \t\r\n" else 27 if 48 <= code <= 57 else 28
    for code in range(256)
)
_BITS = tuple(tuple((ord(char) - ord("A")) / 2 for char in row) for row in _PAIRS)
_FIRST_BITS = tuple((ord(char) - ord("A")) / 2 for char in _FIRST)


def rarity(text: bytes) -> float:
    """Return the bits that a text (lower case) carries: it stands at about one of 2^bits places."""
    by_pairs = _by_pairs(text)
    parts, words = _common()
    bits: list[float] = []
    known = False
    for run in _RUN.finditer(text):
        whole = run.start() > 0 and run.end() < len(text)
        of_word = (words if whole else parts).get(run[0])
        known = known or of_word is not None
        bits.append(_by_pairs(run[0]) if of_word is None else of_word)
    if not known:
        return by_pairs
    bits.sort(reverse=True)
    return min(by_pairs, bits[0] + _SHARE * sum(bits[1:]))


def _by_pairs(text: bytes) -> float:
    if not text:
        return 0.0
    classes = text.translate(_CLASSES)
    return _FIRST_BITS[classes[0]] + sum(_BITS[a][b] for a, b in pairwise(classes))


@cache
def _common() -> tuple[dict[bytes, float], dict[bytes, float]]:
    """Return the bits of all parts of common words, which stand wherever one of the words does, and of the words."""
    often: dict[bytes, float] = defaultdict(float)
    whole: dict[bytes, float] = {}
    for bits, words in _WORDS.items():
        for word in words.encode().split():
            whole[word] = bits
            for part in {word[start:stop] for start in range(len(word)) for stop in range(start + 3, len(word) + 1)}:
                often[part] += 2.0**-bits
    return {part: -math.log2(frequency) for part, frequency in often.items()}, whole
