"""Content-Transfer-Encoding: base64, quoted-printable and uuencode, as forgiving as mail programs are.

The one rule: any bytes give bytes in linear time; what was broken is told, not raised.
"""

from __future__ import annotations

import binascii
import re

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_NOT_BASE64_BUT_PADDING = bytes(set(_NOT_BASE64) - {ord("=")})
_WHITE = b" \t\r\n"
_PADDING = re.compile(rb"=++")
_IDENTITY = frozenset(("", "7bit", "8bit", "binary", "7-bit", "8-bit"))
_UU = frozenset(("x-uuencode", "uuencode", "x-uue", "uue"))


def decode_transfer(data: bytes, encoding: str, defects: set[str]) -> bytes:
    """Return the decoded bytes; an unknown encoding leaves them as they are with the defect `bad_encoding`."""
    if encoding in _IDENTITY:
        return data
    if encoding == "base64":
        decoded, clean = decode_base64(data)
    elif encoding == "quoted-printable":
        decoded, clean = binascii.a2b_qp(data), True
    elif encoding in _UU:
        decoded, clean = _decode_uu(data)
    else:
        decoded, clean = data, False
    if not clean:
        defects.add("bad_encoding")
    return decoded


def decode_base64(data: bytes) -> tuple[bytes, bool]:
    """Return the decoded bytes, and whether the data was sound; text after padding is decoded too."""
    kept = data.translate(None, _NOT_BASE64_BUT_PADDING)
    clean = not data.translate(None, _BASE64 + _WHITE + b"=")
    body = kept.rstrip(b"=")
    if b"=" not in body:
        return _decode_run(body, clean)
    pieces = [_decode_run(run, clean=True)[0] for run in _PADDING.split(body)]
    return b"".join(pieces), False


def _decode_run(run: bytes, clean: bool) -> tuple[bytes, bool]:
    excess = len(run) % 4
    if excess == 1:
        run, clean = run[:-1], False
    elif excess:
        run += b"=" * (4 - excess)
    return binascii.a2b_base64(run), clean


def _decode_uu(data: bytes) -> tuple[bytes, bool]:
    begin = data.find(b"begin ")
    if begin < 0:
        return data, False
    pieces = []
    for line in data[begin:].split(b"\n")[1:]:
        stripped = line.rstrip(b"\r")
        if stripped in (b"end", b"`", b""):
            break
        try:
            pieces.append(binascii.a2b_uu(stripped))
        except binascii.Error:
            return b"".join(pieces), False
    return b"".join(pieces), True
