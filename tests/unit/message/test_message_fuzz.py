"""No bytes make a message raise: plain noise, noise of mail's own vocabulary, and real messages with wounds."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filterproxy.message import DEFECTS, Limits, Message, message_digest, parse_addresses, strip_verdict_headers
from filterproxy.message.charset import decode_text
from filterproxy.message.encoded_words import decode_words
from filterproxy.message.file_types import detect_type
from filterproxy.message.html import parse_html
from filterproxy.message.parameters import parse_parameters
from filterproxy.message.transfer import decode_transfer
from filterproxy.message.urls import scan_text
from filterproxy.message.zip_directory import list_members
from tests.unit.message.reading import read_everything

DATA = Path(__file__).parents[2] / "data" / "messages"
SAMPLES = [path.read_bytes() for path in sorted((DATA / "rspamd").iterdir()) if path.stat().st_size < 20_000]

VOCABULARY = [
    *(b"\r\n", b"\n", b"\r", b"\n\n", b" ", b"\t", b"\0", b"\xff", b"\xc3", b":", b";", b",", b"=", b"--", b"-", b"<"),
    *(b">", b'"', b"'", b"\\", b"(", b")", b"@", b"[", b"]", b"%", b"&", b"#", b".", b"/", b"?", b"=?", b"?=", b"?Q?"),
    *(b"From", b"From ", b"From:", b"To:", b"Subject:", b"Sender:", b"Content-Type:", b"Content-Disposition:"),
    *(b"Content-Transfer-Encoding:", b"multipart/mixed", b"multipart/digest", b"message/rfc822", b"text/plain"),
    *(
        b"text/html",
        b"application/zip",
        b"; boundary=b",
        b"; boundary=",
        b"\n--b\n",
        b"\n--b--\n",
        b"--b",
        b"boundary*0=",
    ),
    *(b"; charset=utf-7", b"; charset=koi8-r", b"; charset=utf-16", b"; name*0*=utf-8''", b"; filename=", b"a.zip"),
    *(b"base64", b"quoted-printable", b"x-uuencode", b"begin 644 a", b"end", b"attachment", b"QUJD", b"=41", b"=\n"),
    *(
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x03\x04",
        b"=?utf-8?B?QQ==?=",
        b"=?gb2312?Q?=C4?=",
        b"a@b.example",
        b"http://",
    ),
    *(b"https://user@", b"www.", b"example.com", b"//", b"0x7f.1", b"[::1]", b"\xe3\x80\x82", b"<a href=", b"</a>"),
    *(
        b"<p style='display:none'>",
        b"</p>",
        b"<table>",
        b"<td>",
        b"<script>",
        b"</script>",
        b"<!--",
        b"-->",
        b"<b>",
        b"</b>",
    ),
    *(
        b"&#",
        b"&amp",
        b"&lt;",
        b"&#x110000;",
        b"color:#fff",
        b"font-size:0",
        b"<template>",
        b"<title>",
        b"<br>",
        b"hidden",
    ),
]
mail_like = st.lists(st.one_of(st.sampled_from(VOCABULARY), st.binary(max_size=6)), max_size=80).map(b"".join)
text_like = st.one_of(mail_like.map(lambda data: data.decode("latin-1")), st.text(max_size=60))
TINY = Limits(
    headers=2, header_value=20, encoded_words=1, parameters=1, addresses=1, nesting=1, parts=2, text=10, html=10,
    html_tags=2, urls=1, url_length=10, attachments=1, archive_members=1, charset_detections=0,
)  # fmt: skip
slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.binary(max_size=400))
@slow
def test_noise(raw: bytes) -> None:
    read_everything(Message(raw))


@given(mail_like, st.booleans())
@settings(parent=slow, max_examples=500)
def test_mail_like_noise(raw: bytes, tiny: bool) -> None:
    message = Message(raw, limits=TINY if tiny else Limits())
    read_everything(message)
    assert message.defects <= DEFECTS.keys()
    assert message.header_block + message.body in raw or message.header_block in raw


@given(st.sampled_from(SAMPLES), st.data())
@slow
def test_wounded_message(raw: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(raw)))
    length = data.draw(st.integers(0, 200))
    read_everything(Message(raw[:start] + data.draw(mail_like) + raw[start + length :]))


@given(mail_like)
@slow
def test_stripping_verdict_fields_twice_changes_nothing(raw: bytes) -> None:
    stripped = strip_verdict_headers(raw)
    assert len(stripped) <= len(raw)
    assert len(message_digest(raw)) == 64


@given(text_like)
@slow
def test_decoders_of_text(text: str) -> None:
    defects: set[str] = set()
    parse_addresses(text)
    decode_words(text, Limits(), defects)
    parse_parameters(text, Limits(), defects)
    parse_html(text, 1_000, defects)
    list(scan_text(text, "text", Limits(), defects))
    assert defects <= DEFECTS.keys()


@given(
    mail_like, st.sampled_from(["", "base64", "quoted-printable", "x-uuencode", "x-unknown", "utf-16", "hz", "gb2312"])
)
@slow
def test_decoders_of_bytes(data: bytes, label: str) -> None:
    defects: set[str] = set()
    assert isinstance(decode_transfer(data, label, defects), bytes)
    assert isinstance(decode_text(data, label, defects), str)
    decode_text(data, label, defects).encode()
    assert isinstance(detect_type(data), str)
    assert len(list_members(data, 3)[0]) <= 3
    assert defects <= DEFECTS.keys()


@given(st.lists(st.sampled_from(VOCABULARY), max_size=30).map(b"".join))
@slow
def test_same_answers_in_any_order(raw: bytes) -> None:
    forwards, backwards = Message(raw), Message(raw)
    read_everything(forwards)
    answers = (backwards.defects, backwards.attachments, backwards.urls, backwards.text, backwards.header_from)
    assert answers[0] == forwards.defects
    assert answers[2:] == (forwards.urls, forwards.text, forwards.header_from)
