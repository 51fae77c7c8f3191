"""DKIM signatures and keys that are weak, restricted, broken or made to cost time."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterproxy.message import Message
from filterproxy.services.signatures import verify_dkim
from filterproxy.services.signatures.content import squeezed
from filterproxy.testing import FakeResolver, FakeScanPool
from tests.conformance.dkim_key_vectors import odd_rsa_record
from tests.signing import MESSAGE, ed25519_key, key_record, rsa_key, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = int(NOW.timestamp())
NAME = ("sel._domainkey.example.org", "TXT")


async def verify(raw: bytes, *records: bytes | None):
    table = {NAME: None if records == (None,) else list(records or (key_record(rsa_key()),))}
    return (await verify_dkim(Message(raw), FakeResolver(table), FakeScanPool(), NOW))[0]


async def test_sha1_is_a_permerror():
    found = await verify(sign(MESSAGE, rsa_key(), hash_name="sha1"))
    assert found.result == "permerror" and "rsa-sha1" in found.reason


@pytest.mark.parametrize("bits", [512, 768, 10_240])
async def test_rsa_keys_that_are_too_short_or_too_long_are_a_permerror(bits):
    found = await verify(sign(MESSAGE, rsa_key()), odd_rsa_record(bits))
    assert (found.result, found.reason) == ("permerror", f"RSA key of {bits} bits")


@pytest.mark.parametrize("form", ["simple/simple", "relaxed/relaxed"])
@pytest.mark.parametrize("length", ["0", "10"])
async def test_appended_text_is_never_a_pass(form, length):
    raw = sign(MESSAGE, rsa_key(), c=form, l=length)
    assert (await verify(raw)).result == "policy"
    assert (await verify(raw + b"<h1>appended</h1>\r\n")).result == "policy"


async def test_a_length_that_covers_all_is_a_pass():
    body = MESSAGE.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") + b"\r\n"
    assert (await verify(sign(MESSAGE, rsa_key(), c="simple/simple", l=str(len(body))))).result == "pass"
    assert (await verify(sign(MESSAGE, rsa_key(), c="simple/simple", l=str(len(body) + 1)))).result == "permerror"


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"t": str(SECOND - 60), "x": str(SECOND + 60)}, "pass"),
        ({"x": str(SECOND - 3600)}, "fail"),
        ({"t": str(SECOND + 86_400)}, "fail"),
        ({"t": str(SECOND - 60), "x": str(SECOND - 120)}, "permerror"),
        ({"x": "9" * 400}, "permerror"),
        ({"x": "soon"}, "permerror"),
        ({"v": "2"}, "permerror"),
        ({"v": None}, "permerror"),
        ({"a": "rsa-md5"}, "permerror"),
        ({"c": "strict/simple"}, "permerror"),
        ({"q": "http"}, "permerror"),
        ({"i": "a@example.com"}, "permerror"),
        ({"i": "a@notexample.org"}, "permerror"),
        ({"i": "a@sub.example.org"}, "pass"),
        ({"l": "-1"}, "permerror"),
        ({"signed": "to:subject"}, "permerror"),
        ({"d": None}, "permerror"),
        ({"s": None}, "permerror"),
        ({"bh": "%%%"}, "permerror"),
        ({"bh": "AAAA"}, "fail"),
    ],
)
async def test_tags(tags, word):
    canonical = {"c": "simple/simple"} if tags.get("c") == "strict/simple" else tags
    raw = sign(MESSAGE, rsa_key(), **{**tags, **canonical} if canonical is not tags else without_length(tags))
    if canonical is not tags:
        raw = raw.replace(b"c=simple/simple", b"c=strict/simple")
    if "l" in tags:
        raw = raw.replace(b"; bh=", b"; l=" + tags["l"].encode() + b"; bh=")
    assert (await verify(raw)).result == word


def without_length(tags):
    return {tag: value for tag, value in tags.items() if tag != "l"}


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"t": "s"}, "pass"),
        ({"t": "y:s"}, "pass"),
        ({"h": "sha256"}, "pass"),
        ({"h": "sha1:sha256"}, "pass"),
        ({"h": "sha1"}, "permerror"),
        ({"s": "email"}, "pass"),
        ({"s": "*"}, "pass"),
        ({"s": "tlsrpt"}, "permerror"),
        ({"n": "a note", "zz": "unknown"}, "pass"),
        ({"p": ""}, "permerror"),
        ({"p": "%%%"}, "permerror"),
        ({"p": "AAAA"}, "permerror"),
        ({"v": "DKIM2"}, "permerror"),
        ({"k": "dsa"}, "permerror"),
        ({"k": "ed25519"}, "permerror"),
    ],
)
async def test_key_records(record, word):
    assert (await verify(sign(MESSAGE, rsa_key()), key_record(rsa_key(), **record))).result == word


@pytest.mark.parametrize(
    ("records", "word"),
    [
        ([b"v=spf1 -all", key_record(rsa_key())], "pass"),
        ([b"v=spf1 -all"], "permerror"),
        ([b"junk"], "permerror"),
        ([b"\xff\x00;;=;"], "permerror"),
        ([b"p=" + b"A" * 20_000], "permerror"),
        ([b" " * 8000 + b"p"], "permerror"),
        ([key_record(ed25519_key())], "permerror"),
        ([None], "temperror"),
    ],
)
async def test_answers_for_the_key(records, word):
    assert (await verify(sign(MESSAGE, rsa_key()), *records)).result == word


async def test_a_strict_key_allows_no_subdomain():
    raw = sign(MESSAGE, rsa_key(), i="@sub.example.org")
    assert (await verify(raw, key_record(rsa_key(), t="s"))).result == "permerror"


async def test_no_key_is_a_permerror():
    found = await verify_dkim(Message(sign(MESSAGE, rsa_key())), FakeResolver(), FakeScanPool(), NOW)
    assert (found[0].result, found[0].reason) == ("permerror", "no key for signature")


async def test_a_leading_continuation_line_is_a_permerror():
    assert (await verify(b" folded\r\n" + sign(MESSAGE, rsa_key()))).result == "permerror"
    assert (await verify(b"\tX: 1\r\n" + sign(MESSAGE, rsa_key()))).result == "permerror"
    assert await verify_dkim(Message(b" folded\r\n" + MESSAGE), FakeResolver(), FakeScanPool(), NOW) == ()


async def test_a_cut_message_is_not_judged():
    raw = sign(MESSAGE, rsa_key())
    message = Message(raw[:-10], truncated=True)
    found = await verify_dkim(message, FakeResolver({NAME: [key_record(rsa_key())]}), FakeScanPool(), NOW)
    assert found[0].result == "neutral"


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b";",
        b"=",
        b"v=1",
        b"v=1; v=1",
        b"b=" + b" " * 30_000 + b"!",
        b"v=1; h=" + b" " * 30_000 + b"from",
        b"v=1; a=rsa-sha256; d=x; s=y; h=from; bh=AA==; b=" + b"\r\n " * 9_000 + b"!",
        b"v=1; a=rsa-sha256; d=x; s=y; h=from; bh=AA==; b=" + b"=" * 30_000 + b"!",
        b"v=1; a=rsa-sha256; d=x; s=y; h=" + b"from:" * 6_000 + b"; bh=AAAA; b=AAAA",
        b"v=1; a=rsa-sha256; d=\xff; s=\xff; h=from; bh=AAAA; b=AAAA",
        b"x=" + b"1" * 100_000,
    ],
)
async def test_broken_signatures_cost_no_time(signature):
    started = time.process_time()
    found = await verify(b"DKIM-Signature: " + signature + b"\r\n" + MESSAGE)
    assert found.result in ("permerror", "fail")
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("body", [b" " * 2_000_000, b" \t" * 1_000_000 + b"x", b"\r\n" * 1_000_000, b"\r" * 2_000_000])
@pytest.mark.parametrize("form", ["relaxed/relaxed", "simple/simple"])
async def test_canonicalisation_is_linear(body, form):
    raw = sign(MESSAGE, rsa_key(), c=form).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    started = time.process_time()
    assert (await verify(raw)).result == "fail"
    assert time.process_time() - started < 2.0


async def test_many_headers_and_names_cost_no_time():
    raw = sign(MESSAGE, rsa_key(), signed=":".join(["from"] + ["x"] * 5_000))
    started = time.process_time()
    assert (await verify(raw)).result == "pass"
    assert (await verify(raw.replace(b"To:", b"X: 1\r\n" * 20_000 + b"To:"))).result in ("fail", "neutral")
    assert time.process_time() - started < 2.0


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b" " * 63, b"\t" * 130])).map(b"".join))
def test_squeezing(text):
    assert squeezed(text) == re.sub(rb"[ \t]+", b" ", text)
