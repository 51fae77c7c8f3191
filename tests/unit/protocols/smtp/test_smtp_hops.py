"""Received fields are counted in the header section only."""

from __future__ import annotations

import pytest

from filterproxy.protocols.smtp.hops import hop_count


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"", 0),
        (b"\r\n", 0),
        (b"Received: a\r\n", 1),
        (b"Received: a\r\n\tReceived: folded\r\nRECEIVED:b\r\nX-Received: c\r\n\r\nReceived: quoted\r\n", 2),
        (b"\r\nReceived: a\r\n", 0),
        (b"\r\n\r\nReceived: a\r\n", 0),
        (b"Received: a\r\n" * 60 + b"\r\n", 60),
    ],
)
def test_hops(raw: bytes, count: int) -> None:
    assert hop_count(raw) == count
