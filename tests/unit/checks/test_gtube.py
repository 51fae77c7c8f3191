"""GTUBE is found wherever a reader could see it."""

from __future__ import annotations

import base64
import quopri

import pytest

from filterproxy.checks.gtube import GTUBE, GtubeCheck
from filterproxy.core.action import Action
from filterproxy.core.check import CheckConfig
from filterproxy.testing import assert_check_contract, make_context, make_transaction

TEXT = f"a test\r\n{GTUBE}\r\n".encode()


def _message(content_type: str, encoding: str, body: bytes) -> bytes:
    head = f"Subject: x\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def check():
    return GtubeCheck(CheckConfig(), make_context())


def test_contract(check):
    assert_check_contract(check)
    assert len(GTUBE) == 68
    assert check.symbols[0].score == 1000
    assert check.forced_actions() == {"GTUBE": Action.REJECT}


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: x\r\n\r\n" + TEXT,
        b"Subject: x\n\n" + TEXT.replace(b"\r\n", b"\n"),
        _message("text/plain; charset=utf-8", "base64", base64.encodebytes(TEXT)),
        _message("text/html", "quoted-printable", quopri.encodestring(b"<p>" + TEXT)),
        _message("text/plain; charset=utf-16", "base64", base64.encodebytes(TEXT.decode().encode("utf-16"))),
        _message("text/html", "7bit", b"<p>" + TEXT.replace(b"*", b"&#42;")),
        _message("application/octet-stream", "base64", base64.encodebytes(TEXT)),
        _message("message/rfc822", "7bit", b"Subject: inner\r\n\r\n" + TEXT),
        _message("multipart/mixed; boundary=b", "7bit", b"--b\r\n\r\n" + TEXT + b"--b--\r\n"),
    ],
)
async def test_found(check, raw):
    assert [result.name for result in await check.inspect(make_transaction(raw))] == ["GTUBE"]


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: GTUBE\r\n\r\nwhat is GTUBE?\r\n",
        b"Subject: x\r\n\r\n" + TEXT.lower(),
        b"Subject: x\r\n\r\n" + TEXT.replace(b"GTUBE", b"GTU BE"),
    ],
)
async def test_not_found(check, raw):
    assert await check.inspect(make_transaction(raw)) == []
