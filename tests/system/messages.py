"""Messages for system tests, as exact octets with CRLF line ends."""

from __future__ import annotations

from collections.abc import Sequence

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
BODY = b"Hello,\r\n\r\n.a line that begins with a dot\r\nthe last line\r\n"

# Rules by which a subject gets a verdict.
BY_SUBJECT = """
rules:
  - {name: TEN_POINTS, score: 10, description: Marked, match: {header: {name: Subject, contains: ten points}}}
  - {name: RENAMED, action: rewrite subject, description: Renamed, match: {header: {name: Subject, contains: new name}}}
  - {name: DEFERRED, action: soft reject, description: Put off, match: {header: {name: Subject, contains: come again}}}
"""


def message(
    marker: str,
    *,
    body: bytes = BODY,
    headers: Sequence[bytes] = (),
    sender: bytes = b"Ann <sender@example.org>",
    subject: str = "The minutes of Monday",
) -> bytes:
    """Return a message whose Message-ID holds the marker."""
    fields = [
        b"From: " + sender,
        b"To: alice@example.net",
        f"Subject: {subject}".encode(),
        b"Date: Mon, 02 Nov 2026 10:00:00 +0000",
        f"Message-ID: <{marker}@example.org>".encode(),
        b"X-Folded: one\r\n\ttwo",
        *headers,
    ]
    return b"\r\n".join(fields) + b"\r\n\r\n" + body


def gtube(marker: str) -> bytes:
    """Return a message that every filter takes for spam."""
    return message(marker, body=b"Test.\r\n\r\n" + GTUBE + b"\r\n")


def header_lines(raw: bytes) -> bytes:
    """Return the header block of a delivered message (LF line ends)."""
    return raw.partition(b"\n\n")[0] + b"\n"


def body_of(raw: bytes) -> bytes:
    """Return the body of a delivered message (LF line ends)."""
    return raw.partition(b"\n\n")[2]


def as_delivered(raw: bytes) -> bytes:
    """Return a message or a part of one as a Maildir holds it: with LF line ends."""
    return raw.replace(b"\r\n", b"\n")
