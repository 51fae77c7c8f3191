"""Header fields that hold a filter's verdict, ours or another's: they are no evidence and are never learned.

The one rule: what belongs to the list is decided here alone; learning, scoring and `message_digest` follow it.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from filterproxy.message.headers import field_spans

# X-Spam-*, X-Spamd-*, X-Rspamd-* and whatever else other filters call a spam verdict contain the word.
_VERDICT = re.compile(
    r"x-.*spam.*|x-barracuda-.*|x-bogosity|x-dspam-.*|x-virus-.*|x-mozilla-.*|x-keywords|status|x-status|received-spf"
    r"|authentication-results|arc-.*|x-ms-exchange-.*|x-sid-.*|x-asg-.*|x-bitdefender.*|x-uuid|x-miltered|lines"
    r"|content-length"
)
_MAX_CACHED = 100


def is_verdict_header(name: str) -> bool:
    """Tell whether a header field of that name holds a verdict or mailbox state."""
    return _is_verdict(name) if len(name) <= _MAX_CACHED else _VERDICT.fullmatch(name.lower()) is not None


@lru_cache(maxsize=4096)
def _is_verdict(name: str) -> bool:
    return _VERDICT.fullmatch(name.strip().lower()) is not None


def strip_verdict_headers(raw: bytes) -> bytes:
    """Return the message without its verdict header fields; everything else stays byte-identical."""
    kept: list[bytes] = []
    position = 0
    for name, start, end in field_spans(raw):
        if is_verdict_header(name):
            kept.append(raw[position:start])
            position = end
    if not kept:
        return raw
    kept.append(raw[position:])
    return b"".join(kept)


def message_digest(raw: bytes) -> str:
    """Return the SHA-256 (hex) by which a message is known: verdict fields removed, line ends as LF."""
    return hashlib.sha256(strip_verdict_headers(raw).replace(b"\r\n", b"\n")).hexdigest()
