"""One mail message: everything checks read, parsed once and only when asked.

The one rule: no bytes make it raise, and nothing is unbounded; what is odd or was cut is found in `defects`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from filterproxy.message.addresses import Mailbox, parse_addresses
from filterproxy.message.attachments import Attachment, find_attachments
from filterproxy.message.headers import Headers, parse_headers
from filterproxy.message.html import HtmlDocument, parse_html
from filterproxy.message.language import identify_language
from filterproxy.message.limits import Limits
from filterproxy.message.mime import Part, parse_parts
from filterproxy.message.urls import Url, parse_href, scan_text, unique

_DEFAULT_LIMITS = Limits()
_MAX_DATE = 100


class Message:
    """A message as received. Everything is lazy and cached; `truncated` says that `raw` is only its first part.

    Of several Content-Type fields the first counts; of several From fields all do.
    """

    def __init__(self, raw: bytes, *, limits: Limits = _DEFAULT_LIMITS, truncated: bool = False) -> None:
        self.raw = raw
        self.limits = limits
        self.truncated = truncated
        self._defects: set[str] = {"truncated"} if truncated else set()

    @property
    def size(self) -> int:
        """Return the size of `raw` in bytes."""
        return len(self.raw)

    @cached_property
    def _buffer(self) -> bytes:
        """Return what is parsed: `raw`, or with bare CR as line ends when there is no LF at all (same offsets)."""
        return self.raw if b"\n" in self.raw else self.raw.replace(b"\r", b"\n")

    @cached_property
    def _top(self) -> tuple[Headers, int, int]:
        return parse_headers(self._buffer, 0, self.limits, self._defects)

    @property
    def headers(self) -> Headers:
        """Return the header fields of the message itself."""
        return self._top[0]

    @property
    def header_block(self) -> bytes:
        """Return the raw header fields, without the empty line."""
        return self.raw[: self._top[1]]

    @property
    def is_separated(self) -> bool:
        """Tell whether an empty line or the end follows the header; if not, readers disagree where the body is."""
        _, header_end, body_start = self._top
        return body_start > header_end or body_start == len(self.raw)

    @property
    def body(self) -> bytes:
        """Return everything after the empty line, as received."""
        return self.raw[self._top[2] :]

    @property
    def subject(self) -> str:
        """Return the decoded subject on one line, empty when there is none."""
        header = self.headers.first("subject")
        return header.value if header is not None else ""

    @property
    def message_id(self) -> str:
        """Return the Message-ID with its angle brackets, empty when there is none."""
        header = self.headers.first("message-id")
        return header.unfolded if header is not None else ""

    @cached_property
    def date(self) -> datetime | None:
        """Return the Date, aware; None without one that can be read. One without a zone is taken as UTC."""
        header = self.headers.first("date")
        if header is None or not header.value or len(header.value) > _MAX_DATE:
            return None
        try:
            date = parsedate_to_datetime(header.value)
            return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None

    @cached_property
    def header_from(self) -> tuple[Mailbox, ...]:
        """Return every mailbox of every From field."""
        return self.addresses("from")

    def addresses(self, name: str) -> tuple[Mailbox, ...]:
        """Return every mailbox of every field of that name (`to`, `cc`, `reply-to`, `sender`)."""
        found: list[Mailbox] = []
        for header in self.headers.all(name):
            if len(found) >= self.limits.addresses:
                self._defects.add("address_limit")
                break
            found += parse_addresses(header.unfolded, self.limits, self._defects)
        return tuple(found[: self.limits.addresses])

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Return all parts depth first, containers included."""
        headers, _, body_start = self._top
        return parse_parts(self._buffer, headers, body_start, self.limits, self._defects)

    @property
    def root(self) -> Part:
        """Return the part that is the message itself."""
        return self.parts[0]

    @cached_property
    def html(self) -> tuple[HtmlDocument, ...]:
        """Return the HTML parts."""
        documents: list[HtmlDocument] = []
        left, tags = self.limits.html, self.limits.html_tags
        for part in self.parts:
            if part.content_type != "text/html" or part.is_container:
                continue
            if left <= 0:
                self._defects.add("html_limit")
                break
            source = part.text
            if len(source) > left:
                source = source[:left]
                self._defects.add("html_limit")
            documents.append(parse_html(source, tags, self._defects))
            left -= len(source) + 1
            tags = max(tags - source.count("<"), 0)
        return tuple(documents)

    @cached_property
    def text(self) -> str:
        """Return the text of all text parts, of HTML what is visible; cut at `limits.text` characters."""
        text = "\n".join(text for _, text in self.text_parts())
        if len(text) > self.limits.text:
            self._defects.add("text_limit")
            text = text[: self.limits.text]
        return text

    def text_parts(self) -> Iterator[tuple[Part, str]]:
        """Yield the text parts, each with what a reader sees of it: of HTML the visible text, blocks on lines."""
        documents = iter(self.html)
        for part in self.parts:
            if part.content_type == "text/html" and not part.is_container:
                document = next(documents, None)
                if document is not None:
                    yield part, document.visible
            elif part.is_text:
                yield part, part.text

    @cached_property
    def language(self) -> str:
        """Return the ISO 639-1 code of the language of the text (of the subject with it), empty when unclear."""
        return identify_language(f"{self.subject}\n{self.text}")

    @cached_property
    def urls(self) -> tuple[Url, ...]:
        """Return the URLs of subject, links and text, without repetitions."""
        return unique(self._urls(), self.limits, self._defects)

    def _urls(self) -> Iterator[Url]:
        limits, defects = self.limits, self._defects
        yield from scan_text(self.subject, "header", limits, defects)
        for document in self.html:
            for link in document.links:
                url = parse_href(link.href, "html", limits, defects, link.text)
                if url is not None:
                    yield url
            for resource in document.resources:
                url = parse_href(resource, "html", limits, defects)
                if url is not None:
                    yield url
        yield from scan_text(self.text, "text", limits, defects)

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        """Return the parts that a reader would save or open."""
        return find_attachments(self.parts, self.limits, self._defects)

    @property
    def defects(self) -> frozenset[str]:
        """Return the names (keys of `DEFECTS`) of what is wrong or was cut; parses whatever was not parsed yet."""
        self._read_all()
        return frozenset(self._defects)

    def _read_all(self) -> None:
        """Read everything that may leave a defect, so that the answer does not depend on what was read before."""
        _ = (self.text, self.urls, self.header_from)
        for header in self.headers:
            _ = header.value
        for attachment in self.attachments:
            _ = attachment.members
        if b"\0" in self.raw:
            self._defects.add("nul")
        if self.raw.count(b"\r") != self.raw.count(b"\r\n"):
            self._defects.add("bare_cr")
