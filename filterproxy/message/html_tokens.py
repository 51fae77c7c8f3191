"""HTML source to tags and text, as the WHATWG standard's tokenizer splits it (section 13.2.5), in linear time.

The one rule: no construct makes it go back. Comments, declarations and what is inside `<script>` and the like are
skipped; an attribute value that is never closed ends at once instead of swallowing the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

# Any other `<` is text.
_MARKUP = re.compile(r"<(?=[a-zA-Z/!?])")
_NAME = re.compile(r"[a-zA-Z][^\s/>]*+")
_ATTRIBUTE = re.compile(
    r"[\s/]*+(?:([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>\"'][^\s>]*+))?)?)?"
)
_COMMENT_END = re.compile(r"--!?>")
_RAW_TEXT = frozenset(("script", "style", "iframe", "noembed", "noframes", "title", "textarea", "xmp"))
_SHOWN_RAW_TEXT = frozenset(("textarea", "xmp"))
_RAW_TEXT_END = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW_TEXT}
_VALUE_REFERENCE = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,8};?|[a-zA-Z][a-zA-Z0-9]{1,31};)")
_HUGE_REFERENCE = re.compile(r"&#[0-9]{9,}")
_MAX_ATTRIBUTES = 100
_NO_ATTRIBUTES: dict[str, str] = {}

# kind, name or text, attributes
Token = tuple[str, str, dict[str, str]]
TEXT, START, END = "text", "start", "end"


def tokenize(source: str) -> Iterator[Token]:
    """Yield (kind, tag name or text, attributes); names are lower case, character references are decoded."""
    position, length = 0, len(source)
    while position < length:
        markup = _MARKUP.search(source, position)
        tag_start = markup.start() if markup else length
        if tag_start > position:
            yield TEXT, decode_references(source[position:tag_start]), _NO_ATTRIBUTES
        if markup is None:
            return
        closing = source.startswith("/", tag_start + 1)
        match = _NAME.match(source, tag_start + 1 + closing)
        if match is None:
            position = _skip_markup(source, tag_start)
            continue
        name = match[0].lower()
        attributes, position = _attributes(source, match.end())
        if position < 0:
            return
        yield END if closing else START, name, attributes
        if name in _RAW_TEXT and not closing:
            text_start, position = position, _raw_text_end(source, position, name)
            if name in _SHOWN_RAW_TEXT:
                yield TEXT, source[text_start:position], _NO_ATTRIBUTES


def decode_references(text: str) -> str:
    """Return the text with its character references decoded."""
    if "&" not in text:
        return text
    # int() refuses very long numbers; they name no character anyway.
    return unescape(_HUGE_REFERENCE.sub("\ufffd", text) if "&#" in text else text)


def _decode_value(value: str) -> str:
    """Return an attribute's value: there a named reference counts only with its semicolon (`?a=1&lt=2` stays)."""
    return _VALUE_REFERENCE.sub(lambda match: decode_references(match[0]), value) if "&" in value else value


def _attributes(source: str, position: int) -> tuple[dict[str, str], int]:
    """Return the attributes (the first of equal ones) and the offset after the tag, -1 when the tag never ends."""
    if source.startswith(">", position):
        return _NO_ATTRIBUTES, position + 1
    attributes: dict[str, str] = {}
    while True:
        match = _ATTRIBUTE.match(source, position)
        assert match is not None
        position = match.end()
        name = match[1]
        if name is None:
            break
        if len(attributes) < _MAX_ATTRIBUTES:
            attributes.setdefault(name.lower(), _decode_value(match[2] or match[3] or match[4] or ""))
    return attributes, position + 1 if position < len(source) else -1


def _skip_markup(source: str, start: int) -> int:
    """Return the offset after a comment, a declaration, a processing instruction or an end tag without name."""
    if source.startswith("<!--", start):
        if source.startswith((">", "->"), start + 4):
            return source.index(">", start) + 1
        match = _COMMENT_END.search(source, start + 4)
        return match.end() if match else len(source)
    end = source.find(">", start)
    return len(source) if end < 0 else end + 1


def _raw_text_end(source: str, start: int, name: str) -> int:
    match = _RAW_TEXT_END[name].search(source, start)
    return match.start() if match else len(source)
