"""RFC 2047 encoded words, good and bad."""

from __future__ import annotations

import pytest

from filterproxy.message import Limits
from filterproxy.message.encoded_words import decode_words


def decode(text: str) -> str:
    return decode_words(text, Limits(), set())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 2047 section 8.
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?US-ASCII?Q?Keith_Moore?=", "Keith Moore"),
        ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        # A character split between two words.
        ("=?utf-8?B?4oI=?= =?utf-8?B?rA==?=", "€"),
        ("=?utf-8?Q?=E2=82?=\t=?UTF-8?Q?=AC?=", "€"),
        ("=?gb2312?B?xOM=?= =?gb2312?B?usM=?=", "你好"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?shift_jis?B?k/qWew==?=", "日本"),
        ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
        ("=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        ("=?euc-kr?B?x9GxuQ==?=", "한국"),
        # RFC 2231 section 5: a language.
        ("=?us-ascii*en-us?Q?hello?=", "hello"),
        # What senders write.
        ("=?utf-8?Q?a b?=", "a b"),
        ("=?utf-8?Q?really??=", "really?"),
        ("=?utf-8?Q?a?b?=", "a?b"),
        ("=?utf-8?b?YQ?=", "a"),
        ("x=?utf-8?Q?y?=z", "xyz"),
        ("(=?utf-8?Q?y?=)", "(y)"),
        ("=?utf-8?Q??=", ""),
        # What is no encoded word stays.
        ("=?utf-8?X?y?=", "=?utf-8?X?y?="),
        ("=?utf-8?Q?y", "=?utf-8?Q?y"),
        ("=??Q?y?=", "=??Q?y?="),
        ("a =? b ?= c", "a =? b ?= c"),
    ],
)
def test_decode_words(text: str, expected: str) -> None:
    assert decode(text) == expected


def test_unknown_charsets_are_told() -> None:
    defects: set[str] = set()
    assert decode_words("=?x-none?Q?a=FC?=", Limits(), defects) == "aü"
    assert defects == {"bad_charset"}


def test_utf7_is_refused() -> None:
    defects: set[str] = set()
    assert decode_words("=?utf-7?Q?+ADw-?=", Limits(), defects) == "+ADw-"
    assert defects == {"bad_charset"}


def test_words_are_limited() -> None:
    defects: set[str] = set()
    found = decode_words("=?utf-8?Q?a?= =?utf-8?Q?b?= =?utf-8?Q?c?=", Limits(encoded_words=2), defects)
    assert found == "ab =?utf-8?Q?c?="
    assert defects == {"encoded_word_limit"}
