"""RFC 2047 encoded words, decoded as mail programs do rather than as the grammar has it.

The one rule: bounded work and no exception; a word that cannot be decoded stays as it is.
"""

from __future__ import annotations

import binascii
import re

from filterproxy.message.charset import decode_text, find_codec
from filterproxy.message.limits import Limits
from filterproxy.message.transfer import decode_base64

# At most four stray `?` in the text keep the search linear; the charset may carry a language (RFC 2231 section 5).
_WORD = re.compile(r"=\?([^?\s]{1,80}+)\?([bBqQ])\?([^?]*+(?:\?(?!=)[^?]*+){0,4})\?=")
_CONTROLS = str.maketrans({"\r": " ", "\n": " ", "\0": " "})


def decode_words(text: str, limits: Limits, defects: set[str]) -> str:
    """Return the text with encoded words decoded, white space between adjacent words dropped.

    Adjacent words of one charset are decoded together: senders split them in the middle of a character.
    """
    pieces: list[str] = []
    pending, pending_charset = bytearray(), ""
    position = 0
    for count, match in enumerate(_WORD.finditer(text)):
        if count >= limits.encoded_words:
            defects.add("encoded_word_limit")
            break
        between = text[position : match.start()]
        adjacent = bool(count and (not between or between.isspace()))
        charset = match[1].partition("*")[0].lower()
        if pending and not (adjacent and charset == pending_charset):
            pieces.append(_decode(bytes(pending), pending_charset, defects))
            pending.clear()
        if between and not adjacent:
            pieces.append(between)
        pending += _word_bytes(match[2], match[3])
        pending_charset = charset
        position = match.end()
    if pending:
        pieces.append(_decode(bytes(pending), pending_charset, defects))
    pieces.append(text[position:])
    return "".join(pieces).translate(_CONTROLS)


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "bB":
        return decode_base64(data)[0]
    return binascii.a2b_qp(data.replace(b"\n", b""), header=True)


def _decode(data: bytes, charset: str, defects: set[str]) -> str:
    if find_codec(charset) is None:
        defects.add("bad_charset")
    return decode_text(data, charset, defects, may_detect=False)
