"""What an HTML part shows, what it hides, and where its links lead.

The one rule: the source is cut before it is parsed, so that no markup costs more than `Limits` allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from filterproxy.message.limits import Limits

_INVISIBLE = frozenset(("script", "style", "head", "title", "template", "noembed", "noframes", "-comment"))
_INLINE = frozenset(
    ("a", "abbr", "acronym", "b", "bdo", "big", "cite", "code", "dfn", "em", "font", "i", "img", "ins", "kbd", "label")
    + ("mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr")
)
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|(?:^|;)font-size:0(?![.\d])|mso-hide:all|(?:^|;)opacity:0(?:\.0+)?(?![.\d])"
)
_FOREGROUND = re.compile(r"(?:^|;)color:([^;!]+)")
_BACKGROUND = re.compile(r"(?:^|;)background(?:-color)?:([^;!]+)")
_SPACES = re.compile(r"[ \t\r\f\v\u00a0]*\n\s*|[ \t\r\f\v\u00a0]+")
_WHITE = frozenset(("white", "#fff", "#ffffff"))


@dataclass(frozen=True, slots=True)
class Link:
    """A hyperlink: `href` as written (entities decoded), `text` what the reader sees of it."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image: `src` as written, `width` and `height` as written (empty when absent)."""

    src: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class HtmlDocument:
    """One HTML part. `resources` are the URLs it names besides links: images, forms, frames, style sheets."""

    visible: str
    hidden: str
    links: tuple[Link, ...]
    tags: Mapping[str, int]
    images: tuple[Image, ...]
    resources: tuple[str, ...]


def parse_html(source: str, limits: Limits, defects: set[str]) -> HtmlDocument:
    """Return what the source shows and hides; what lies beyond `limits.html` or `limits.html_tags` is cut off."""
    if len(source) > limits.html:
        source = source[: limits.html]
        defects.add("html_limit")
    if source.count("<") > limits.html_tags:
        source = "<".join(source.split("<", limits.html_tags + 1)[:-1])
        defects.add("html_limit")
    reader = _Reader()
    root = LexborHTMLParser(source).root
    if root is not None:
        reader.read(root)
    return reader.document()


class _Reader:
    def __init__(self) -> None:
        self.visible: list[str] = []
        self.hidden: list[str] = []
        self.links: list[Link] = []
        self.tags: dict[str, int] = {}
        self.images: list[Image] = []
        self.resources: list[str] = []

    def read(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode | None, bool, str, str]] = [(root, False, "black", "white")]
        anchors: list[tuple[str, int]] = []
        while stack:
            node, hidden, colour, background = stack.pop()
            if node is None:
                if colour:
                    href, start = anchors.pop()
                    self.links.append(Link(href, _squeeze("".join(self.visible[start:]))))
                else:
                    self.visible.append("\n")
                continue
            tag = node.tag or ""
            if tag == "-text":
                (self.hidden if hidden else self.visible).append(node.text_content or "")
                continue
            if tag in _INVISIBLE:
                self.tags[tag] = self.tags.get(tag, 0) + 1
                continue
            self.tags[tag] = self.tags.get(tag, 0) + 1
            attributes = node.attributes
            if attributes:
                hidden, colour, background = _style(attributes, hidden, colour, background)
                self._resources(tag, attributes)
            if tag == "a" and attributes.get("href"):
                anchors.append((attributes["href"] or "", len(self.visible)))
                stack.append((None, False, "a", ""))
            elif tag not in _INLINE:
                self.visible.append("\n")
                stack.append((None, False, "", ""))
            children = []
            child = node.first_child
            while child is not None:
                children.append((child, hidden, colour, background))
                child = child.next
            stack.extend(reversed(children))

    def _resources(self, tag: str, attributes: dict[str, str | None]) -> None:
        source = attributes.get("src") or attributes.get("background") or attributes.get("action") or ""
        if tag == "img":
            self.images.append(Image(source, attributes.get("width") or "", attributes.get("height") or ""))
        if tag in ("area", "link", "base"):
            source = attributes.get("href") or ""
        if source:
            self.resources.append(source)

    def document(self) -> HtmlDocument:
        self.tags.pop("-undef", None)
        return HtmlDocument(
            _squeeze("".join(self.visible)), _squeeze(" ".join(self.hidden)), tuple(self.links), self.tags,
            tuple(self.images), tuple(self.resources),
        )  # fmt: skip


def _style(attributes: dict[str, str | None], hidden: bool, colour: str, background: str) -> tuple[bool, str, str]:
    style = (attributes.get("style") or "").lower().replace(" ", "")
    if "hidden" in attributes or (style and _HIDING.search(style)):
        hidden = True
    foreground = attributes.get("color") or ""
    behind = attributes.get("bgcolor") or ""
    if style:
        if match := _FOREGROUND.search(style):
            foreground = match[1]
        if match := _BACKGROUND.search(style):
            behind = match[1]
    colour = _colour(foreground) or colour
    background = _colour(behind) or background
    return hidden or colour == background, colour, background


def _colour(text: str) -> str:
    text = text.strip().lower()
    return "white" if text in _WHITE else text


def _squeeze(text: str) -> str:
    return _SPACES.sub(lambda match: "\n" if "\n" in match[0] else " ", text).strip()
