"""Trace fields, which every hop and the final delivery put on top of a message (RFC 5321 section 4.4).

The one rule: only what stands on top of everything else is taken for the work of later hops.
"""

from __future__ import annotations

from collections.abc import Iterator

from filterproxy.message.headers import field_spans
from filterproxy.message.verdict_headers import is_verdict_header

_TRACE = frozenset(
    {
        *("received", "return-path", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "delivery-date"),
        *("x-envelope-from", "x-delivered-to", "x-sieve", "x-ms-received", "x-received"),
    }
)
_MOST = 20


def earlier_forms(raw: bytes) -> Iterator[bytes]:
    """Yield the message as it may have been some hops earlier: without its first trace field, then without two, ..."""
    removed = 0
    for name, _, end in field_spans(raw):
        if name.lower() in _TRACE:
            removed += 1
            yield raw[end:]
        elif not is_verdict_header(name):
            return
        if removed == _MOST:
            return
