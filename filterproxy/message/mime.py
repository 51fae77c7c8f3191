"""The tree of MIME parts, found in one pass over the lines that look like boundaries.

The one rule: time grows with the size of the message and not with its depth. Every line that begins with `--` is
looked up once in a table of the open boundaries; the outermost of equal ones counts, as its line ends all inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from filterproxy.message.charset import decode_text
from filterproxy.message.headers import Headers, parse_headers
from filterproxy.message.limits import Limits
from filterproxy.message.parameters import parse_parameters, parse_value
from filterproxy.message.transfer import decode_transfer

_DASH_LINE = re.compile(rb"\n--([^\n]*)")
_MESSAGE_TYPES = frozenset(("message/rfc822", "message/global", "message/news"))
_ENCODED = frozenset(("base64", "quoted-printable"))
_TYPE = re.compile(r"[^\s/]+/[^\s/]+\Z")


class Part:
    """One node of the tree: a leaf with a payload, or a container (multipart, message/rfc822) with children.

    `path` numbers the parts from "1" for the whole message ("1.2" is its second part), where `depth` is 0. The body is
    `start` to `end` of the message's bytes.
    """

    def __init__(
        self, buffer: bytes, headers: Headers, start: int, *, depth: int, path: str, default_type: str, limits: Limits,
        defects: set[str], may_detect: bool,
    ) -> None:  # fmt: skip
        self.headers = headers
        self.depth = depth
        self.path = path
        self.children: list[Part] = []
        self._buffer = buffer
        self.start = start
        self.end = len(buffer)
        self._limits = limits
        self._defects = defects
        self._may_detect = may_detect
        self._type_text = self._field("content-type")
        self.content_type = self._content_type(default_type)

    @property
    def is_container(self) -> bool:
        """Tell whether the part has children."""
        return bool(self.children)

    @property
    def raw(self) -> bytes:
        """Return the body as received, still encoded (of a container: everything in it)."""
        return self._buffer[self.start : self.end]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Return the parameters of Content-Type, names in lower case."""
        return parse_parameters(self._type_text, self._limits, self._defects) if ";" in self._type_text else {}

    @property
    def charset(self) -> str:
        """Return the declared charset in lower case, empty when there is none."""
        label = self.parameters.get("charset", "").split(None, 1)
        return label[0].lower() if label else ""

    @cached_property
    def disposition(self) -> str:
        """Return `attachment`, `inline`, another word, or empty."""
        return parse_value(self._field("content-disposition"))

    @cached_property
    def filename(self) -> str:
        """Return the file name of Content-Disposition, else `name` of Content-Type, else empty."""
        text = self._field("content-disposition")
        found = parse_parameters(text, self._limits, self._defects).get("filename", "") if ";" in text else ""
        return (found or self.parameters.get("name", "")).strip()

    @cached_property
    def encoding(self) -> str:
        """Return the Content-Transfer-Encoding in lower case, empty when there is none."""
        return parse_value(self._field("content-transfer-encoding"))

    @cached_property
    def payload(self) -> bytes:
        """Return the decoded body of a leaf; of a container the body as received."""
        return self.raw if self.children else decode_transfer(self.raw, self.encoding, self._defects)

    @property
    def is_text(self) -> bool:
        """Tell whether a reader may see the body as text: text/*, and a multipart without any part."""
        return not self.children and self.content_type.startswith(("text/", "multipart/"))

    @cached_property
    def text(self) -> str:
        """Return the decoded text of a text part (HTML as source), cut at `Limits.text`; otherwise empty."""
        if not self.is_text:
            return ""
        data = self.payload
        if len(data) > self._limits.text:
            data = data[: self._limits.text]
            self._defects.add("text_limit")
        return decode_text(data, self.charset, self._defects, may_detect=self._may_detect)

    def walk(self) -> Iterator[Part]:
        """Yield this part and everything below it, depth first."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))

    def close(self, end: int) -> None:
        """End the body there."""
        self.end = max(end, self.start)

    def _field(self, name: str) -> str:
        header = self.headers.first(name)
        return header.unfolded if header is not None else ""

    def _content_type(self, default_type: str) -> str:
        if not self._type_text:
            return default_type
        if self.headers.count("content-type") > 1:
            self._defects.add("duplicate_content_type")
        value = parse_value(self._type_text)
        return value if _TYPE.match(value) else "text/plain"

    def __repr__(self) -> str:
        return f"Part({self.path!r}, {self.content_type!r})"


class _Open:
    """A container whose body is being read: for a multipart its boundary, and whether it was closed."""

    __slots__ = ("boundary", "closed", "part")

    def __init__(self, part: Part, boundary: bytes | None) -> None:
        self.part = part
        self.boundary = boundary
        self.closed = False


class _TreeBuilder:
    """Builds the tree: a stack of open containers, and the boundaries that may end them."""

    def __init__(self, buffer: bytes, limits: Limits, defects: set[str]) -> None:
        self.buffer = buffer
        self.limits = limits
        self.defects = defects
        self.parts: list[Part] = []
        self._stack: list[_Open] = []
        self._by_boundary: dict[bytes, int] = {}
        self._text_parts = 0

    def build(self, headers: Headers, body_start: int) -> Part:
        root = self._open(None, headers, body_start)
        # The line feed before the body may be the one that a first boundary line needs in front of it.
        position = max(body_start - 1, 0)
        while self._by_boundary and (match := _DASH_LINE.search(self.buffer, position)):
            position = self._dash_line(match[1], match.start(), match.end())
        self._close_above(-1, len(self.buffer))
        return root

    def _dash_line(self, token: bytes, line_start: int, line_end: int) -> int:
        """Act on one line that begins with `--`; return where to look for the next."""
        index, closes = self._find(token.rstrip(b" \t\r"))
        if index < 0 or self._stack[index].closed:
            return line_end
        start = line_start - 1 if self.buffer.startswith(b"\r", line_start - 1) else line_start
        self._close_above(index, start)
        container = self._stack[index]
        if closes:
            container.closed = True
            return line_end
        if len(self.parts) >= self.limits.parts:
            self.defects.add("parts_limit")
            container.closed = True
            return line_end
        return self._open_child(container.part, min(line_end + 1, len(self.buffer)))

    def _find(self, token: bytes) -> tuple[int, bool]:
        """Return the index of the container this line separates (or closes), -1 for none."""
        opened = self._by_boundary.get(token, -1)
        closed = self._by_boundary.get(token[:-2], -1) if token.endswith(b"--") else -1
        if opened < 0 or 0 <= closed < opened:
            return closed, True
        return opened, False

    def _open_child(self, parent: Part, start: int) -> int:
        headers, _, body_start = parse_headers(self.buffer, start, self.limits, self.defects, inner=True)
        self._open(parent, headers, body_start)
        return self.parts[-1].start - 1

    def _open(self, parent: Part | None, headers: Headers, start: int) -> Part:
        part = self._add(parent, headers, start)
        top = part
        while top.content_type in _MESSAGE_TYPES and top.encoding not in _ENCODED and self._may_nest(top):
            self._stack.append(_Open(top, None))
            inner, _, start = parse_headers(self.buffer, start, self.limits, self.defects, inner=True)
            top = self._add(top, inner, start)
        boundary = top.parameters.get("boundary", "").rstrip() if top.content_type.startswith("multipart/") else ""
        if boundary and self._may_nest(top):
            token = boundary.encode("utf-8", "replace")
            self._stack.append(_Open(top, token))
            self._by_boundary.setdefault(token, len(self._stack) - 1)
        else:
            self._stack.append(_Open(top, None))
        return part

    def _add(self, parent: Part | None, headers: Headers, start: int) -> Part:
        depth = 0 if parent is None else parent.depth + 1
        path = "1" if parent is None else f"{parent.path}.{len(parent.children) + 1}"
        digest = parent is not None and parent.content_type == "multipart/digest"
        part = Part(
            self.buffer, headers, start, depth=depth, path=path, limits=self.limits, defects=self.defects,
            default_type="message/rfc822" if digest else "text/plain",
            may_detect=self._text_parts < self.limits.charset_detections,
        )  # fmt: skip
        self._text_parts += part.content_type.startswith("text/")
        self.parts.append(part)
        if parent is not None:
            parent.children.append(part)
        return part

    def _may_nest(self, part: Part) -> bool:
        if part.depth < self.limits.nesting and len(self.parts) < self.limits.parts:
            return True
        self.defects.add("nesting_limit" if part.depth >= self.limits.nesting else "parts_limit")
        return False

    def _close_above(self, index: int, end: int) -> None:
        """End everything opened inside the container at that index of the stack."""
        while len(self._stack) - 1 > index:
            opened = self._stack.pop()
            opened.part.close(end)
            if opened.boundary is not None and self._by_boundary.get(opened.boundary) == len(self._stack):
                del self._by_boundary[opened.boundary]
            if opened.part.content_type.startswith("multipart/") and not opened.part.children:
                self.defects.add("missing_boundary")


def parse_parts(
    buffer: bytes, headers: Headers, body_start: int, limits: Limits, defects: set[str]
) -> tuple[Part, ...]:
    """Return the parts of a message depth first, the root first, given its header fields and where its body begins."""
    builder = _TreeBuilder(buffer, limits, defects)
    builder.build(headers, body_start)
    return tuple(builder.parts)
