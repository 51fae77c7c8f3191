"""How much of a message is looked at; each number keeps hostile mail from costing memory or time.

The one rule: a limit that cuts something leaves a defect, so that nobody takes the rest for scanned.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one message; sizes in bytes or characters, everything else is a count.

    `headers` fields of one header block, `header_value` bytes of a field that are decoded (the raw field stays
    whole). `nesting` levels of multipart and message/rfc822. `text` characters of decoded text in all, `html` of
    HTML source in all, `html_tags` of all HTML parts. `charset_detections` parts whose broken charset is guessed.
    """

    headers: int = 10_000
    header_value: int = 102_400
    encoded_words: int = 1_000
    parameters: int = 200
    addresses: int = 1_000
    nesting: int = 100
    parts: int = 5_000
    text: int = 2_000_000
    html: int = 2_000_000
    html_tags: int = 30_000
    urls: int = 1_000
    url_length: int = 2_048
    attachments: int = 1_000
    archive_members: int = 1_000
    charset_detections: int = 8
