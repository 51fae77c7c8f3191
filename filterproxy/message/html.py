"""What an HTML part shows, what it hides, and where its links lead.

The one rule: one pass over the tags with a bounded stack and no tree. A standard tree copies unclosed formatting
elements into every block, so that 18 KB of source become half a million nodes; this reader only remembers which
elements are open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from filterproxy.message.html_style import UNKNOWN_COLOUR, Style, StyleChange, read_change
from filterproxy.message.html_tokens import START, TEXT, tokenize


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOID = _names("area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr")
_FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
_CELLS = _names("td th")
_ROW_GROUPS = _names("tbody thead tfoot")
_TABLE_PARTS = _CELLS | _ROW_GROUPS | _names("tr caption colgroup")
_BLOCKS = _TABLE_PARTS | _names(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer"
    " form h1 h2 h3 h4 h5 h6 head header hr html legend li listing main menu nav ol optgroup option p plaintext pre"
    " section select summary table ul"
)
# What these contain is a world of its own: an end tag inside closes nothing outside.
_SCOPES = _names("table td th caption button object marquee applet template")
_KEEPS_PARAGRAPH = _TABLE_PARTS | _names("body head html legend optgroup option select table")
_ITEMS = {"li": _names("li"), "dd": _names("dd dt"), "dt": _names("dd dt"), "option": _names("option")}
_ITEM_LISTS = _SCOPES | _names("ul ol dir menu dl select")
_MAX_DEPTH = 256
_MAX_LINK_TEXT = 1_000
_BREAK = "\x1e"
_ZERO_WIDTH = dict.fromkeys([0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF])
_GONE = StyleChange(gone=True)


@dataclass(frozen=True, slots=True)
class Link:
    """A hyperlink: `href` as written (character references decoded), `text` what the reader sees of it."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image; all as written, empty when absent."""

    src: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class HtmlDocument:
    """One HTML part.

    `visible` and `hidden` are text, blocks on lines of their own, white space squeezed, zero-width characters gone.
    `tags` counts start tags. `resources` are the URLs named besides links: images, forms, frames, style sheets.
    """

    visible: str
    hidden: str
    links: tuple[Link, ...]
    tags: Mapping[str, int]
    images: tuple[Image, ...]
    resources: tuple[str, ...]


def parse_html(source: str, tags: int, defects: set[str]) -> HtmlDocument:
    """Return what the source shows and hides, reading at most that many tags (start and end tags)."""
    reader = _Reader()
    if not reader.read(source, tags):
        defects.add("html_limit")
    return reader.document()


class _Element:
    """An open element: its name, what it changes, the style inside, and the link it is, if any."""

    __slots__ = ("change", "link", "name", "style")

    def __init__(self, name: str, change: StyleChange | None, style: Style, link: tuple[str, int] | None) -> None:
        self.name = name
        self.change = change
        self.style = style
        self.link = link


class _Reader:
    def __init__(self) -> None:
        self._visible: list[str] = []
        self._hidden: list[str] = []
        self._links: list[Link] = []
        self._tags: dict[str, int] = {}
        self._images: list[Image] = []
        self._resources: list[str] = []
        # Where in `_visible` there is text of the background's colour, as far as no style sheet changes one of them.
        self._blended: list[int] = []
        self._stack: list[_Element] = []
        self._open: dict[str, int] = {}
        self._style = Style()
        self._hides = self._blends = False

    def read(self, source: str, tags: int) -> bool:
        """Read the source; return False when it has more tags than that (the rest is not read)."""
        for kind, name, attributes in tokenize(source):
            if kind is TEXT:
                self._text(name)
                continue
            if tags <= 0:
                return False
            tags -= 1
            if kind is START:
                self._start(name, attributes)
            else:
                self._end(name)
        return True

    def document(self) -> HtmlDocument:
        """Return what was read; links still open end here."""
        self._truncate(0)
        if "style" not in self._tags and "link" not in self._tags:
            for index in self._blended:
                self._hidden.append(self._visible[index])
                self._visible[index] = ""
        return HtmlDocument(
            _squeeze("".join(self._visible)), _squeeze(_BREAK.join(self._hidden)), tuple(self._links), self._tags,
            tuple(self._images), tuple(self._resources),
        )  # fmt: skip

    def _text(self, text: str) -> None:
        if self._blends and not self._hides:
            if self._style.certain:
                self._hidden.append(text)
                return
            self._blended.append(len(self._visible))
        (self._hidden if self._hides else self._visible).append(text)

    def _enter(self, style: Style) -> None:
        if style is not self._style:
            self._style, self._hides, self._blends = style, style.hides, style.blends

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._tags[name] = self._tags.get(name, 0) + 1
        if name in _BLOCKS:
            self._visible.append(" " if name in _CELLS else _BREAK)
            self._close_implied(name)
        elif name == "br":
            self._visible.append(_BREAK)
        elif name == "a" and "a" in self._open:
            self._end("a")
        if attributes or name == "img":
            self._note_resources(name, attributes)
        if name not in _VOID and len(self._stack) < _MAX_DEPTH:
            self._push(name, attributes)

    def _push(self, name: str, attributes: dict[str, str]) -> None:
        change = read_change(attributes) if attributes else None
        if name == "template":
            change = _GONE
        link = None
        if name == "a" and (href := attributes.get("href")):
            link = (href, len(self._visible))
            # A link has a colour of its own unless it says which.
            if change is None:
                change = UNKNOWN_COLOUR
            elif change.colour is None:
                change = replace(change, colour=())
        style = self._style if change is None else change.apply(self._style)
        self._stack.append(_Element(name, change, style, link))
        self._open[name] = self._open.get(name, 0) + 1
        self._enter(style)

    def _close_implied(self, name: str) -> None:
        """Close what cannot contain a block of that name (HTML, section 13.2.6.4)."""
        if name in _ITEMS:
            self._close(_ITEMS[name], _ITEM_LISTS)
        if name not in _KEEPS_PARAGRAPH:
            self._close(_P, _SCOPES)
        elif name in _CELLS:
            self._close(_CELLS, _TABLE)
        elif name == "tr":
            self._close(_TR, _TABLE)
        elif name in _ROW_GROUPS:
            self._close(_ROW_GROUPS, _TABLE)

    def _end(self, name: str) -> None:
        if name in _BLOCKS and name not in _CELLS:
            self._visible.append(_BREAK)
        if name not in self._open:
            return
        if name in _TABLE_PARTS:
            self._close(frozenset((name,)), _TABLE)
        elif name in _SCOPES:
            self._close(frozenset((name,)), frozenset())
        elif name in _FORMATTING:
            self._end_formatting(name)
        elif name in _BLOCKS:
            self._close(frozenset((name,)), _SCOPES)
        else:
            self._close(frozenset((name,)), _BLOCKS | _SCOPES)

    def _close(self, names: frozenset[str], barriers: frozenset[str]) -> None:
        """Close the innermost open element of these names unless a barrier lies inside it.

        Formatting elements left open in a block go on after it, except in a table cell.
        """
        if names.isdisjoint(self._open):
            return
        index = self._find(names, barriers)
        if index < 0:
            return
        removed = self._stack[index]
        kept = [] if removed.name in _SCOPES or removed.name in _TABLE_PARTS else self._formatting_above(index)
        self._truncate(index, kept)
        for element in kept:
            self._reopen(element)

    def _end_formatting(self, name: str) -> None:
        """Take one formatting element out; what was opened inside it stays open (the adoption agency's effect)."""
        index = self._find(frozenset((name,)), _SCOPES)
        if index < 0:
            return
        above = self._stack[index + 1 :]
        self._truncate(index, above)
        for element in above:
            self._reopen(element)

    def _find(self, names: frozenset[str], barriers: frozenset[str]) -> int:
        for index in range(len(self._stack) - 1, -1, -1):
            name = self._stack[index].name
            if name in names:
                return index
            if name in barriers:
                break
        return -1

    def _formatting_above(self, index: int) -> list[_Element]:
        return [element for element in self._stack[index + 1 :] if element.name in _FORMATTING]

    def _truncate(self, index: int, kept: list[_Element] | None = None) -> None:
        """Remove the elements from that index on; the links among them end, but for those in `kept`."""
        for element in self._stack[index:]:
            count = self._open[element.name] - 1
            if count:
                self._open[element.name] = count
            else:
                del self._open[element.name]
            if element.link and not (kept and element in kept):
                self._end_link(*element.link)
        del self._stack[index:]
        self._enter(self._stack[-1].style if self._stack else _DEFAULT_STYLE)

    def _reopen(self, element: _Element) -> None:
        element.style = self._style if element.change is None else element.change.apply(self._style)
        self._stack.append(element)
        self._open[element.name] = self._open.get(element.name, 0) + 1
        self._enter(element.style)

    def _end_link(self, href: str, start: int) -> None:
        text = "".join(self._visible[start : start + _MAX_LINK_TEXT])[: 2 * _MAX_LINK_TEXT]
        self._links.append(Link(href, _squeeze(text)[:_MAX_LINK_TEXT]))

    def _note_resources(self, name: str, attributes: dict[str, str]) -> None:
        if name == "img":
            self._images.append(
                Image(attributes.get("src", ""), attributes.get("width", ""), attributes.get("height", ""))
            )
        elif name == "area" and attributes.get("href"):
            self._links.append(Link(attributes["href"], ""))
            return
        for key in _RESOURCE_KEYS.get(name, _ANY_RESOURCE):
            if value := attributes.get(key):
                self._resources.append(value)


_P, _TR, _TABLE = _names("p"), _names("tr"), _names("table")
_DEFAULT_STYLE = Style()
_ANY_RESOURCE = ("src", "background", "action", "formaction", "data", "poster")
_RESOURCE_KEYS = {"link": ("href",), "base": ("href",), "a": (), "img": ("src",)}


def visible_characters(text: str) -> str:
    """Return the text without characters of no width, which split words for filters and not for readers."""
    return text if text.isascii() else text.translate(_ZERO_WIDTH)


def _squeeze(text: str) -> str:
    lines = (" ".join(line.split()) for line in visible_characters(text).split(_BREAK))
    return "\n".join(line for line in lines if line)
