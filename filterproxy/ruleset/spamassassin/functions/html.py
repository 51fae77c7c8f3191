"""Eval functions about HTML parts (Mail::SpamAssassin::Plugin::HTMLEval), over one reading of each.

The rule: linear time; what is measured is the source as it is written, right or wrong.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from filterproxy.message.domains import registrable_domain
from filterproxy.message.html_tokens import START, TEXT, tokenize
from filterproxy.ruleset.expressions import compile_expression
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.import_spamassassin.perl_regex import translate_body
from filterproxy.ruleset.limited import LimitedExpression, TimeBudget
from filterproxy.ruleset.spamassassin.bodies import MAX_SOURCE, effective_type, leaves, rendered_parts, source_text
from filterproxy.ruleset.spamassassin.functions.function import Call, Function, once
from filterproxy.ruleset.spamassassin.functions.headers import text_of

_ELEMENTS = frozenset((
    "a", "abbr", "acronym", "address", "area", "b", "base", "bdo", "big", "blockquote", "body", "br", "button",
    "caption", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "div", "dl", "dt", "em", "fieldset", "form",
    "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "html", "i", "img", "input", "ins", "kbd", "label", "legend",
    "li", "link", "map", "meta", "noscript", "object", "ol", "optgroup", "option", "p", "param", "pre", "q", "samp",
    "script", "select", "small", "span", "strong", "style", "sub", "sup", "table", "tbody", "td", "textarea",
    "tfoot", "th", "thead", "title", "tr", "tt", "ul", "var", "applet", "basefont", "center", "dir", "font",
    "frame", "frameset", "iframe", "isindex", "menu", "noframes", "s", "strike", "u", "nobr", "x-sigsep", "x-tab",
))  # fmt: skip
_NAMESPACE = re.compile(r"(?:o|st\d):[\w-]+/?\Z")
_FACE = re.compile(
    r"\s*[\"'.]?[a-z ][a-z -]*[a-z]\d?[\"']?(?:,\s*[\"']?[a-z][a-z -]*[a-z]\d?[\"']?)*;?\Z", re.IGNORECASE
)
_PIXELS = re.compile(r"(\d{1,9})(%)?\Z")
_WORDLIKE = re.compile(r"[^\s\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]")
_HTTPS = re.compile(r"https://([^\s/:?#]+)", re.IGNORECASE)
_HOST = re.compile(r"https?://([^/:?#]+)", re.IGNORECASE)
_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*\Z")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass
class HtmlFacts:
    """What one HTML part is made of. `inside`: how often each tag is still open at the end."""

    length: int
    inside: dict[str, int] = field(default_factory=dict)
    tags: int = 0
    elements: int = 0
    tags_seen: int = 0
    elements_seen: int = 0
    closed_extra: int = 0
    obfuscation: int = 0
    image_area: int = 0
    largest: int = 3
    flags: set[str] = field(default_factory=set)
    titles: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    links: dict[str, list[str]] = field(default_factory=dict)
    shown: int = 0  # characters of the rendered text that are no white space

    def number(self, name: str) -> float | None:
        """Return a measure by SpamAssassin's name, None when there is nothing to measure."""
        ratios = {
            "closed_extra_ratio": (self.closed_extra, self.tags),
            "bad_tag_ratio": (self.tags - self.elements, self.tags),
            "non_element_ratio": (self.tags_seen - self.elements_seen, self.tags_seen),
            "obfuscation_ratio": (self.obfuscation, self.tags),
        }
        if name in ratios:
            part, whole = ratios[name]
            return part / whole if whole else None
        return {"length": float(self.length), "max_size": float(self.largest)}.get(name)


MEASURES = frozenset(
    {"closed_extra_ratio", "bad_tag_ratio", "non_element_ratio", "obfuscation_ratio", "length", "max_size"}
)
FLAGS = frozenset({"html", "embeds", "font_face_bad", "form_action_mailto"})
TEXTS = frozenset({"title", "comment", "anchor"})


@once
def html_facts(facts: Facts) -> list[HtmlFacts]:
    """Return what each HTML part is made of."""
    parts = zip(leaves(facts.message), rendered_parts(facts.message), strict=True)
    sources = ((source_text(part), shown or "") for part, shown in parts if effective_type(part) == "text/html")
    return [_read(source[:MAX_SOURCE], len(source), shown) for source, shown in sources if source]


def _read(source: str, length: int, shown: str) -> HtmlFacts:
    found = HtmlFacts(length)
    found.flags.add("html")
    reader = _Reader(found)
    for kind, name, attributes in tokenize(source.replace("&nbsp;", " ")):
        if kind is TEXT:
            reader.text(name)
        else:
            reader.tag(name, attributes, 1 if kind is START else -1)
    found.comments += _comments(source)
    found.titles += (match[1] for match in re.finditer(r"<title\b[^>]*>([^<]*)", source, re.IGNORECASE))
    found.shown = sum(map(len, shown.split()))
    return found


def _comments(source: str) -> Iterator[str]:
    start = source.find("<!--")
    while start >= 0:
        end = source.find("-->", start + 4)
        if end < 0:
            return
        yield source[start : end + 3]
        start = source.find("<!--", end)


class _Reader:
    """Counts the tags of one part."""

    def __init__(self, found: HtmlFacts) -> None:
        self._found = found
        self._last = ""
        self._href = ""
        self._base_size = 3
        self._sizes: list[tuple[str, int]] = []

    def text(self, text: str) -> None:
        """Note a piece of text."""
        found = self._found
        if text and self._last and _WORDLIKE.match(text) and _WORDLIKE.match(self._last):
            found.obfuscation += 1
        self._last = text[-1:]
        if found.inside.get("a", 0) > 0 and found.anchors:
            found.anchors[-1] += text
            found.links[self._href][-1] += text

    def tag(self, name: str, attributes: dict[str, str], step: int) -> None:
        """Note a start tag (step 1) or an end tag (-1)."""
        found = self._found
        known = name in _ELEMENTS or bool(_NAMESPACE.match(name))
        found.tags += 1
        found.elements += known
        if name not in found.inside:
            found.tags_seen += 1
            found.elements_seen += known
        depth = found.inside.get(name, 0) + step
        found.closed_extra += depth < 0
        found.inside[name] = max(depth, 0)
        if name in ("p", "br", "div", "td", "th", "tr", "li", "hr", "table", "title", "pre", "blockquote"):
            self._last = ""
        if step > 0:
            self._start(name, attributes)
        self._size(name, attributes, step)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        found = self._found
        if name == "font" and "face" in attributes and not _FACE.match(attributes["face"]):
            found.flags.add("font_face_bad")
        elif name in ("object", "embed"):
            found.flags.add("embeds")
        elif name == "form" and "mailto:" in attributes.get("action", "").lower():
            found.flags.add("form_action_mailto")
        elif name == "a":
            self._href = attributes.get("href", "").strip()
            found.anchors.append("")
            found.links.setdefault(self._href, []).append("")
        elif name == "img":
            self._image(attributes)

    def _image(self, attributes: dict[str, str]) -> None:
        found = self._found
        if found.inside.get("a", 0) > 0 and found.anchors:
            found.anchors[-1] += "<img>\n"
            found.links[self._href][-1] += "<img>\n"
        if "width" in attributes and "height" in attributes:
            found.image_area += _pixels(attributes["width"], 8) * _pixels(attributes["height"], 6)

    def _size(self, name: str, attributes: dict[str, str], step: int) -> None:
        """Follow the size of fonts (1 to 7 and beyond)."""
        if name not in ("font", "big", "small", "basefont"):
            return
        if step < 0:
            while self._sizes and self._sizes.pop()[0] != name:
                pass
            return
        size = self._sizes[-1][1] if self._sizes else self._base_size
        match = re.match(r"\s*([+-]?)(\d{1,6})", attributes.get("size", ""))
        if match and name == "basefont":
            self._base_size = int(match[2]) if not match[1] else self._base_size
            return
        if match and name == "font":
            size = int(match[2]) if not match[1] else self._base_size + int(match[1] + match[2])
            self._found.largest = max(self._found.largest, size)
        self._sizes.append((name, size + {"big": 1, "small": -1}.get(name, 0)))


def _pixels(text: str, percent: int) -> int:
    match = _PIXELS.match(text)
    number = int(match[1]) * (percent if match[2] else 1) if match else 0
    return number or 200


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    expression = translate_body(pattern, "")
    return compile_expression(("(?i)" if expression.ignore_case else "") + expression.pattern, raw=True)


def matches(pattern: str, text: str) -> bool:
    """Tell whether a Perl expression is found in a text."""
    data, compiled = text.encode("utf-8", "replace"), _compiled(pattern)
    if isinstance(compiled, LimitedExpression):
        return next(compiled.find(data.decode("latin-1"), data, TimeBudget(0.01)), None) is not None
    return compiled.search(data) is not None


def _range(call: Call) -> bool:
    low, high = call.number(1), call.number(2, float("inf"))
    values = (item.number(call.arguments[0]) for item in html_facts(call.facts))
    return any(value is not None and low < value <= high for value in values)


def _compare(value: float, comparison: str) -> bool:
    match = _COMPARISON.match(comparison)
    return match is not None and _COMPARED[match[1]](value, float(match[2]))


def _eval(call: Call) -> bool:
    values = (item.number(call.arguments[0]) for item in html_facts(call.facts))
    return any(value is not None and _compare(value, call.arguments[1]) for value in values)


def _balance(call: Call) -> bool:
    depths = (item.inside.get(call.arguments[0]) for item in html_facts(call.facts))
    return any(depth is not None and _compare(depth, call.arguments[1]) for depth in depths)


def _test(call: Call) -> bool:
    return any(call.arguments[0] in item.flags for item in html_facts(call.facts))


def _tag(call: Call) -> bool:
    return any(call.arguments[0] in item.inside for item in html_facts(call.facts))


def _text(call: Call) -> bool:
    lists = {"title": "titles", "comment": "comments", "anchor": "anchors"}
    texts = (text for item in html_facts(call.facts) for text in getattr(item, lists[call.arguments[0]]))
    return any(matches(call.arguments[1], text) for text in texts)


def _image_only(call: Call) -> bool:
    low, high = call.number(0), call.number(1, float("inf"))
    return any("img" in item.inside and low < item.length <= high for item in html_facts(call.facts))


def _image_ratio(call: Call) -> bool:
    low, high = call.number(0), call.number(1, float("inf"))
    return any(low < item.shown / item.image_area <= high for item in html_facts(call.facts) if item.image_area)


def _title_ratio(call: Call) -> bool:
    subject = text_of(call.facts, "Subject")
    longest = max((len(title) for item in html_facts(call.facts) for title in item.titles), default=0)
    return bool(subject) and longest / len(subject) > call.number(0)


def _iframe(call: Call) -> bool:
    return any("iframe" in item.inside for item in html_facts(call.facts))


def _https_mismatch(call: Call) -> bool:
    return any(_mismatch(item, call.number(0, 1) or 1, call.number(1, float("inf"))) for item in html_facts(call.facts))


def _mismatch(item: HtmlFacts, least: float, below: float) -> bool:
    hit, anchors = False, 0
    for href, texts in item.links.items():
        host = _HOST.match(href)
        site = registrable_domain(host[1].lower()) if host else ""
        if not site:
            continue
        anchors += 1
        named = (_HTTPS.search(text) for text in texts)
        hit = hit or any(m and (other := registrable_domain(m[1].lower())) and other != site for m in named)
    return hit and least <= anchors < below


def _known(names: frozenset[str], ask: Callable[[Call], bool], least: int, most: int, *numbers: int) -> Function:
    return Function(ask, least, most, numbers, first=names)


FUNCTIONS = {
    "html_range": _known(MEASURES, _range, 3, 3, 1, 2),
    "html_eval": _known(MEASURES, _eval, 2, 2),
    "html_test": _known(FLAGS, _test, 1, 1),
    "html_text_match": _known(TEXTS, _text, 2, 2),
    "html_tag_balance": Function(_balance, 2, 2),
    "html_tag_exists": Function(_tag, 1, 1),
    "html_image_only": Function(_image_only, 2, 2, (0, 1)),
    "html_image_ratio": Function(_image_ratio, 2, 2, (0, 1)),
    "html_title_subject_ratio": Function(_title_ratio, 1, 1, (0,)),
    "check_iframe_src": Function(_iframe),
    "check_https_http_mismatch": Function(_https_mismatch, 0, 2, (0, 1)),
}
