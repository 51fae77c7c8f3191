"""Mail loops: how many servers a message has passed (RFC 5321 section 6.3).

The rule: only the header section counts, whatever the body quotes.
"""

from __future__ import annotations

_RECEIVED = b"\r\nreceived:"


def hop_count(raw: bytes) -> int:
    """Return the number of Received fields of a message with CRLF line ends."""
    if raw.startswith(b"\r\n"):
        return 0
    end = raw.find(b"\r\n\r\n")
    header = raw if end < 0 else raw[:end]
    return (b"\r\n" + header).lower().count(_RECEIVED)
