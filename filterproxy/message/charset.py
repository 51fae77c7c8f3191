"""Bytes to text: what the charset label says, as browsers read labels, and a bounded guess when it is no help.

The one rule: any bytes with any label give text. Codecs that are no character sets, and UTF-7 (it hides markup),
are never used. Labels mean what the WHATWG Encoding Standard says: `iso-8859-1` is Windows-1252.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

_WHATWG = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "ansi_x3.4-1968": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cn-gb": "gb18030",
    "gb_2312-80": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "cn-big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "ksc5601": "cp949",
    "ksc_5601": "cp949",
    "euc-kr": "cp949",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-6-i": "iso8859_6",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb4": "utf-8",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "koi8-ru": "koi8_u",
    "utf-16": "utf-16",
    "unicode": "utf-16",
}
_CODECS = re.compile(
    r"(?:utf[-_]?(?:8|8-sig|16|16-?[bl]e|32|32-?[bl]e)|iso-?8859-\d{1,2}|cp\d{3,5}|koi8-[rtu]|kz1048|ptcp154"
    r"|mac-(?:roman|cyrillic|greek|latin2|turkish|iceland|croatian|romanian)|hp-roman8|tis-620"
    r"|gb18030|hz|big5hkscs|euc-(?:jp|jis-2004|jisx0213)|shift-(?:jis|jisx0213|jis-2004)|johab|iso2022-(?:jp[-\w]*|kr))\Z"
)
_UNSAFE_LABEL = re.compile(r"[^\w.:+-]")
_DETECT_BYTES = 4_096


@lru_cache(maxsize=512)
def find_codec(label: str) -> str | None:
    """Return the Python codec for a charset label as senders write it, None for an unknown or refused one."""
    name = label.strip(" \t\r\n\"'<>;,").lower()
    if not name or len(name) > 40 or _UNSAFE_LABEL.search(name):
        return None
    name = _WHATWG.get(name) or _WHATWG.get(name.removeprefix("x-")) or _WHATWG.get(name.replace("_", "-")) or name
    for candidate in (name, name.removeprefix("x-"), name.replace("windows", "cp").replace("cp-", "cp")):
        try:
            codec = codecs.lookup(candidate).name
        except (LookupError, ValueError):
            continue
        canonical = codec.replace("_", "-")
        if _CODECS.match(canonical):
            return _WHATWG.get(canonical, codec)
    return None


def decode_text(data: bytes, label: str, defects: set[str], *, may_detect: bool = True) -> str:
    """Return the text of `data` declared as `label` (empty: undeclared); replace what cannot be decoded.

    Valid UTF-8 wins over a missing, unknown or ASCII label. What fits no label is guessed from its first 4 KB when
    `may_detect` allows that (some milliseconds), and is Windows-1252 otherwise.
    """
    if data.isascii() and not (codec := _stateful(label)):
        return data.decode("ascii")
    codec = find_codec(label) if label else None
    if codec and codec not in ("cp1252", "utf-8"):
        return _decode_declared(data, codec, defects)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    if codec == "utf-8":
        defects.add("bad_charset")
        if _mostly_utf8(data):
            return data.decode("utf-8-sig", "replace")
        codec = None
    elif codec is None:
        defects.add("bad_charset")
    if codec is None and may_detect:
        codec = _detect(data)
    return data.decode(codec or "cp1252", "replace")


def _stateful(label: str) -> str | None:
    """Return the codec when ASCII bytes mean something else in it (ISO-2022, HZ, UTF-16 and -32)."""
    codec = find_codec(label) if label else None
    return codec if codec and codec.startswith(("iso2022", "hz", "utf-16", "utf-32", "utf_16", "utf_32")) else None


def _decode_declared(data: bytes, codec: str, defects: set[str]) -> str:
    try:
        return data.decode(codec)
    except (UnicodeDecodeError, UnicodeError):
        defects.add("bad_charset")
    return data.decode(codec, "replace")


def _mostly_utf8(data: bytes) -> bool:
    """Tell whether only few characters are broken: cut-off or damaged UTF-8, not another character set."""
    sample = data[:_DETECT_BYTES]
    broken = sample.decode("utf-8", "replace").count("\ufffd")
    return broken * 10 < sum(byte > 0x7F for byte in sample)


def _detect(data: bytes) -> str | None:
    from charset_normalizer import from_bytes  # slow to import and rarely needed

    best = from_bytes(data[:_DETECT_BYTES], steps=3, chunk_size=512, preemptive_behaviour=False).best()
    return find_codec(best.encoding) if best else None
