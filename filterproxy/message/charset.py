"""Bytes to text: what the charset label says, as browsers read labels, and a bounded guess when it is no help.

The one rule: any bytes with any label give text. Codecs that are no character sets, and UTF-7 (it hides markup),
are never used. Labels mean what the WHATWG Encoding Standard says: `iso-8859-1` is Windows-1252.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

_WHATWG = {
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "latin-9": "iso8859-15",
    "ansi": "cp1252",
    "iso-8859-9": "cp1254",
    "iso8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cn-gb": "gb18030",
    "gb-2312-80": "gb18030",
    "cp936": "gb18030",
    "big5": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "cn-big5": "big5hkscs",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "ks-c-5601-1987": "cp949",
    "ks-c-5601": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "windows-949": "cp949",
    "iso-2022-jp": "iso2022-jp-ext",
    "iso-8859-8-i": "iso8859-8",
    "iso-8859-6-i": "iso8859-6",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb4": "utf-8",
    "mac": "mac-roman",
    "macintosh": "mac-roman",
    "koi8-ru": "koi8-u",
    "unicode": "utf-16",
}
_ASCII = frozenset(("", "ascii", "us-ascii", "ansi_x3.4-1968", "646", "iso646-us", "7bit", "8bit", "default"))
_CODECS = re.compile(
    r"(?:utf-(?:8|8-sig|16|16-[bl]e|32|32-[bl]e)|iso8859-\d{1,2}|cp\d{3,5}|koi8-[rtu]|kz1048|ptcp154"
    r"|mac-(?:roman|cyrillic|greek|latin2|turkish|iceland|croatian|romanian)|hp-roman8"
    r"|gb18030|hz|big5hkscs|euc-(?:jp|jis-2004|jisx0213)|shift-(?:jisx0213|jis-2004)|johab|iso2022-(?:jp[-\w]*|kr))\Z"
)
# In these, bytes below 128 are not always ASCII.
_STATEFUL = ("iso2022", "hz", "utf-16", "utf-32")
_WIDE = ("utf-16", "utf-32")
_LABEL = re.compile(r"[\w.:+-]{1,40}\Z", re.ASCII)
_DETECTED = ["cp1252", "cp1251", "koi8_r", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256"]
_DETECTED += ["gb18030", "cp932", "euc_jp", "cp949", "big5", "cp874"]
_MAX_LABEL = 60
_DETECT_BYTES = 4_096
_DETECT_AT_LEAST = 16


def find_codec(label: str) -> str | None:
    """Return the Python codec for a charset label as senders write it, None for an unknown or refused one."""
    return _find_codec(label[:_MAX_LABEL])


@lru_cache(maxsize=512)
def _find_codec(label: str) -> str | None:
    name = label.strip(" \t\r\n\"'<>;,").lower()
    if not _LABEL.match(name):
        return None
    if name in _ASCII:
        return "cp1252"
    dashed = name.replace("_", "-")
    plain = dashed.removeprefix("x-")
    for candidate in (dashed, plain, re.sub(r"^(?:windows|win|ms|cp)-?(?=\d)", "cp", plain)):
        try:
            codec = codecs.lookup(_WHATWG.get(candidate, candidate)).name.replace("_", "-")
        except (LookupError, ValueError):
            continue
        codec = _WHATWG.get(codec, codec)
        if _CODECS.match(codec):
            return codec
    return None


def decode_text(data: bytes, label: str, defects: set[str], *, may_detect: bool = True) -> str:
    """Return the text of `data` declared as `label` (empty: undeclared); replace what cannot be decoded.

    Valid UTF-8 wins over a missing, unknown, ASCII or Latin-1 label. What fits no label is guessed from its first
    4 KB when `may_detect` allows that (some milliseconds), and is Windows-1252 otherwise.
    """
    codec = find_codec(label) if label else None
    if codec is None and label:
        defects.add("bad_charset")
    if data.isascii() and not (codec and codec.startswith(_STATEFUL)):
        return data.decode("ascii")
    if codec is None or codec in ("cp1252", "utf-8", "utf-8-sig"):
        return _decode_utf8_or(data, label, codec, defects, may_detect)
    if codec.startswith(_WIDE) and b"\0" not in data and data.isascii():
        defects.add("bad_charset")
        return data.decode("ascii")
    return _decode_as(data, codec, defects)


def _decode_utf8_or(data: bytes, label: str, codec: str | None, defects: set[str], may_detect: bool) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    if codec == "cp1252" and label.strip().lower() not in _ASCII:
        return data.decode("cp1252", "replace")
    defects.add("bad_charset")
    if _mostly_utf8(data):
        return data.decode("utf-8-sig", "replace")
    return data.decode((may_detect and _detect(data)) or "cp1252", "replace")


def _decode_as(data: bytes, codec: str, defects: set[str]) -> str:
    try:
        return data.decode(codec)
    except UnicodeError:
        defects.add("bad_charset")
        return data.decode(codec, "replace")


def _mostly_utf8(data: bytes) -> bool:
    """Tell whether only few characters are broken: cut-off or damaged UTF-8, not another character set."""
    sample = data[:_DETECT_BYTES]
    broken = sample.decode("utf-8", "replace").count("\ufffd")
    return broken * 10 < _count_8bit(sample)


def _count_8bit(data: bytes) -> int:
    return len(data) - len(data.decode("ascii", "ignore"))


def _detect(data: bytes) -> str | None:
    if _count_8bit(data[:_DETECT_BYTES]) < _DETECT_AT_LEAST:
        return None
    from charset_normalizer import from_bytes  # slow to import and rarely needed

    best = from_bytes(
        data[:_DETECT_BYTES], steps=5, chunk_size=256, cp_isolation=_DETECTED, preemptive_behaviour=False
    ).best()
    return find_codec(best.encoding) if best else None
