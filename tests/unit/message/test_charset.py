"""Labels and bytes of many character sets, right ones and wrong ones."""

from __future__ import annotations

import pytest

from filterproxy.message.charset import decode_text, find_codec


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("us-ascii", "cp1252"),
        ("iso-8859-1", "cp1252"),
        ("ISO_8859-1:1987", "cp1252"),
        ("Windows-1252", "cp1252"),
        ("cp-1252", "cp1252"),
        ("win-1251", "cp1251"),
        ("iso-8859-15", "iso8859-15"),
        ("iso-8859-9", "cp1254"),
        ("KOI8-R", "koi8-r"),
        ("gb2312", "gb18030"),
        ("GBK", "gb18030"),
        ("big5", "big5hkscs"),
        ("Shift_JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("iso-2022-jp", "iso2022-jp-ext"),
        ("euc-jp", "euc-jp"),
        ("ks_c_5601-1987", "cp949"),
        ("tis-620", "cp874"),
        ("utf-16le", "utf-16-le"),
        *((refused, None) for refused in ("utf-7", "unicode-1-1-utf-7", "rot13", "hex", "zlib", "base64", "idna")),
        *((refused, None) for refused in ("unicode_escape", "raw_unicode_escape", "punycode", "undefined", "mbcs")),
        *((unknown, None) for unknown in ("", "x-unknown", "a b", "é", "../utf-8", "u" * 1000)),
    ],
)
def test_find_codec(label: str, codec: str | None) -> None:
    assert find_codec(label) == codec


RUSSIAN = "Привет, как дела? Это письмо о скидках на товары. "
JAPANESE = "こんにちは、これは迷惑メールです。"


@pytest.mark.parametrize(
    ("data", "label", "text", "defects"),
    [
        (b"plain", "", "plain", set()),
        (b"plain", "utf-8", "plain", set()),
        (b"plain", "x-none", "plain", {"bad_charset"}),
        (b"plain", "utf-16", "plain", {"bad_charset"}),
        (b"+ADw-script+AD4-", "utf-7", "+ADw-script+AD4-", {"bad_charset"}),
        ("Grüße".encode(), "utf-8", "Grüße", set()),
        ("Grüße".encode(), "", "Grüße", set()),
        ("Grüße".encode(), "us-ascii", "Grüße", set()),
        ("Grüße".encode(), "iso-8859-1", "Grüße", set()),
        ("\ufeffx".encode(), "utf-8", "x", set()),
        (b"Gr\xfc\xdfe", "iso-8859-1", "Grüße", set()),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”", set()),
        (b"Gr\xfc\xdfe", "utf-8", "Grüße", {"bad_charset"}),
        (b"Gr\xfc\xdfe", "", "Grüße", {"bad_charset"}),
        ("Grüße und vieles mehr, schöne Größe".encode()[:-1] + b"\xc3", "utf-8", None, {"bad_charset"}),
        (RUSSIAN.encode("koi8-r"), "koi8-r", RUSSIAN, set()),
        (RUSSIAN.encode("cp1251"), "windows-1251", RUSSIAN, set()),
        (RUSSIAN.encode("koi8-r") * 3, "", RUSSIAN * 3, {"bad_charset"}),
        (RUSSIAN.encode("cp1251") * 3, "x-none", RUSSIAN * 3, {"bad_charset"}),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE, set()),
        (JAPANESE.encode("euc_jp"), "euc-jp", JAPANESE, set()),
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", JAPANESE, set()),
        ("点击链接".encode("gb18030"), "gb2312", "点击链接", set()),
        ("點擊連結".encode("big5"), "big5", "點擊連結", set()),
        ("안녕".encode("euc_kr"), "ks_c_5601-1987", "안녕", set()),
        ("hé".encode("utf-16"), "utf-16", "hé", set()),
        (b"\xff\xff", "gb2312", "\ufffd\ufffd", {"bad_charset"}),
    ],
)
def test_decode_text(data: bytes, label: str, text: str | None, defects: set[str]) -> None:
    found: set[str] = set()
    decoded = decode_text(data, label, found)
    assert found == defects
    if text is None:
        assert decoded.startswith("Grüße und vieles mehr")
    else:
        assert decoded == text


def test_detection_can_be_refused() -> None:
    assert decode_text(RUSSIAN.encode("koi8-r") * 3, "", set(), may_detect=False).startswith("ðÒÉ×ÅÔ")


def test_all_bytes_give_text_with_every_label() -> None:
    data = bytes(range(256)) * 20
    for label in ("", "utf-8", "utf-16", "utf-32", "iso-2022-jp", "hz", "gb2312", "cp437", "koi8-u", "x"):
        decode_text(data, label, set()).encode()
