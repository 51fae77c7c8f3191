"""Names for what is wrong with a message or was cut by a limit; each may become a symbol.

The one rule: a name here is public, so it is added to and never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEFECTS: Mapping[str, str] = MappingProxyType(
    {
        "address_limit": "An address field holds more addresses than are looked at",
        "archive_limit": "An archive lists more members than are looked at",
        "attachments_limit": "The message has more attachments than are looked at",
        "bad_charset": "Text does not fit its declared character set, or the set is unknown",
        "bad_encoding": "A part's transfer encoding is unknown or its data is broken",
        "bad_header": "The header block holds something that is no header field",
        "bare_cr": "The message holds carriage returns that end no line",
        "duplicate_content_type": "A part has several Content-Type fields; the first one counts",
        "encoded_word_limit": "A header field holds more encoded words than are decoded",
        "header_8bit": "A header field holds bytes outside ASCII that are not UTF-8",
        "header_limit": "The message has more header fields than are looked at",
        "header_value_limit": "A header field is longer than what is decoded of it",
        "html_limit": "HTML is larger or holds more tags than are looked at",
        "missing_boundary": "A multipart holds none of the boundary lines it declares",
        "missing_separator": "The header block does not end with an empty line",
        "nesting_limit": "Parts are nested deeper than is looked at",
        "nul": "The message holds NUL bytes",
        "parameter_limit": "A header field holds more parameters than are looked at",
        "parts_limit": "The message has more parts than are looked at",
        "text_limit": "The message holds more text than is looked at",
        "truncated": "Only the first part of the message was scanned",
        "url_limit": "The message holds more or longer URLs than are looked at",
    }
)
