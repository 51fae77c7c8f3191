"""Fields that hold a verdict: which they are, how they are removed, and the digest that ignores them."""

from __future__ import annotations

import hashlib

import pytest

from filterproxy.message import is_verdict_header, message_digest, strip_verdict_headers

VERDICTS = [
    "X-Spam", "X-Spam-Flag", "X-Spam-Status", "X-Spam-Level", "X-Spam-Score", "X-Spam-Report", "X-Spam-Checker-Version",
    "X-Spamd-Result", "X-Rspamd-Action", "X-Rspamd-Queue-Id", "X-Old-Spam-Flag", "X-Barracuda-Score", "X-Bogosity",
    "X-DSPAM-Result", "X-Virus-Scanned", "X-Mozilla-Status", "X-Keywords", "Status", "X-Status", "Received-SPF",
    "Authentication-Results", "ARC-Seal", "ARC-Authentication-Results", "X-MS-Exchange-Organization-SCL", "X-SID-PRA",
    "X-ASG-Debug-ID", "X-BitDefender-Spam", "X-UUID", "X-Miltered", "Lines", "Content-Length", "x-SPAM-flag",
]  # fmt: skip
OTHERS = [
    "Received", "From", "Subject", "DKIM-Signature", "List-Id", "Precedence", "X-Mailer", "X-Status-Page", "My-Spam",
    "Content-Type", "Deadlines", "X-Arc", "",
]  # fmt: skip


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict_headers(name: str) -> None:
    assert is_verdict_header(name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_headers(name: str) -> None:
    assert not is_verdict_header(name)


def test_strip_leaves_everything_else_as_it_is() -> None:
    raw = (
        b"X-Spam-Status: No\r\n"
        b"From: a@b.example\r\n"
        b"x-spam-report: one\r\n\ttwo\r\n three\r\n"
        b"Subject: x\r\n"
        b"Status : RO\r\n"
        b"\r\n"
        b"X-Spam-Flag: in the body\r\n"
    )
    assert strip_verdict_headers(raw) == b"From: a@b.example\r\nSubject: x\r\n\r\nX-Spam-Flag: in the body\r\n"


@pytest.mark.parametrize("raw", [b"", b"\n", b"A: b\n\nx", b"no field", b"A: b", b"From x\nA: b\n\n"])
def test_strip_changes_nothing_without_verdicts(raw: bytes) -> None:
    assert strip_verdict_headers(raw) == raw


def test_strip_finds_verdicts_behind_any_number_of_fields() -> None:
    raw = b"A: b\n" * 30_000 + b"X-Spam-Flag: NO\n\nbody"
    assert strip_verdict_headers(raw) == b"A: b\n" * 30_000 + b"\nbody"


def test_strip_of_a_message_of_verdicts_alone() -> None:
    assert strip_verdict_headers(b"X-Spam: Yes\nStatus: RO") == b""


def test_digest() -> None:
    plain = b"From: a@b.example\nSubject: x\n\nbody\n"
    marked = b"X-Spam-Flag: YES\r\nFrom: a@b.example\r\nStatus: RO\r\nSubject: x\r\n\r\nbody\r\n"
    assert message_digest(plain) == message_digest(marked) == hashlib.sha256(plain).hexdigest()
    assert message_digest(plain) != message_digest(plain + b"x")
