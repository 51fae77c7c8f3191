"""What a mail message holds: bytes to parts, parsed once, lazily, bounded."""

from filterproxy.message.addresses import Mailbox, parse_addresses
from filterproxy.message.attachments import Attachment
from filterproxy.message.defects import DEFECTS
from filterproxy.message.domains import ascii_domain, is_public_suffix, registrable_domain
from filterproxy.message.headers import Header, Headers
from filterproxy.message.html import HtmlDocument, Image, Link
from filterproxy.message.limits import Limits
from filterproxy.message.message import Message
from filterproxy.message.mime import Part
from filterproxy.message.trace_fields import earlier_forms
from filterproxy.message.urls import Url
from filterproxy.message.verdict_headers import is_verdict_header, message_digest, strip_verdict_headers
from filterproxy.message.zip_directory import Member

__all__ = [
    "DEFECTS",
    "Attachment",
    "Header",
    "Headers",
    "HtmlDocument",
    "Image",
    "Limits",
    "Link",
    "Mailbox",
    "Member",
    "Message",
    "Part",
    "Url",
    "ascii_domain",
    "earlier_forms",
    "is_public_suffix",
    "is_verdict_header",
    "message_digest",
    "parse_addresses",
    "registrable_domain",
    "strip_verdict_headers",
]
