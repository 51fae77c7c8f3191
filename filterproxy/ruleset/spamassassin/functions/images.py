"""Eval functions about images (Mail::SpamAssassin::Plugin::ImageInfo): their number and the size they say they have.

The rule: only the first bytes of an image are read; pixels are never decoded.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass, field

from filterproxy.message import Part
from filterproxy.ruleset.facts import Facts
from filterproxy.ruleset.spamassassin.bodies import body_lines, leaves
from filterproxy.ruleset.spamassassin.functions.function import Call, Function, once

MAX_SEGMENTS = 200
_TYPE = re.compile(r"image/(gif|png|jpe?g)\Z")
_KINDS = frozenset({"all", "gif", "png", "jpeg"})


@dataclass
class ImageFacts:
    """How many images of each kind there are, how many pixels they have together, and their sizes and names."""

    counts: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)
    sizes: set[tuple[str, int, int]] = field(default_factory=set)  # kind, height, width
    names: set[str] = field(default_factory=set)


@once
def image_facts(facts: Facts) -> ImageFacts:
    """Return what images say of themselves."""
    found = ImageFacts()
    for part in leaves(facts.message):
        match = _TYPE.match(part.content_type)
        if match and part.encoding == "base64":
            _note(found, "jpeg" if match[1] == "jpg" else match[1], part)
    return found


def _note(found: ImageFacts, kind: str, part: Part) -> None:
    size = _size(kind, part.payload)
    for name in (kind, "all"):
        found.counts[name] += 1
        if size is not None:
            found.pixels[name] += size[0] * size[1]
            found.sizes.add((name, *size))
    if size is not None and part.filename:
        found.names.add(part.filename)


def _size(kind: str, data: bytes) -> tuple[int, int] | None:
    """Return height and width, None when the image does not say."""
    try:
        size = {"gif": _gif, "png": _png, "jpeg": _jpeg}[kind](data)
    except struct.error:
        return None
    return size if size and size[0] and size[1] else None


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = struct.unpack_from("<HH", data, 6)
    return height, width


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Read the segments up to the frame header (ITU-T T.81, B.2.2)."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    for _ in range(MAX_SEGMENTS):
        start, mark, length = struct.unpack_from(">BBH", data, at)
        if start != 0xFF or mark in (0xDA, 0xD9) or length < 2:
            return None
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        at += 2 + length
    return None


def _between(value: float, call: Call, first: int) -> bool:
    return call.number(first) <= value <= call.number(first + 1, float("inf"))


def _count(call: Call) -> bool:
    return _between(image_facts(call.facts).counts[call.arguments[0]], call, 1)


def _coverage(call: Call) -> bool:
    return _between(image_facts(call.facts).pixels[call.arguments[0]], call, 1)


def _text_ratio(call: Call) -> bool:
    pixels = image_facts(call.facts).pixels[call.arguments[0]]
    text = sum(map(len, body_lines(call.facts.message))) if pixels else 0
    return bool(pixels and text) and call.number(1) <= text / pixels < call.number(2)


def _exact(call: Call) -> bool:
    return (call.arguments[0], int(call.number(1)), int(call.number(2))) in image_facts(call.facts).sizes


def _size_range(call: Call) -> bool:
    low_height, low_width = call.number(1), call.number(2)
    high_height, high_width = call.number(3, float("inf")), call.number(4, float("inf"))
    return any(
        kind == call.arguments[0] and low_height <= height <= high_height and low_width <= width <= high_width
        for kind, height, width in image_facts(call.facts).sizes
    )


FUNCTIONS = {
    "image_count": Function(_count, 2, 3, (1, 2), first=_KINDS),
    "pixel_coverage": Function(_coverage, 2, 3, (1, 2), first=_KINDS),
    "image_to_text_ratio": Function(_text_ratio, 3, 3, (1, 2), first=_KINDS),
    "image_size_exact": Function(_exact, 3, 3, (1, 2), first=_KINDS),
    "image_size_range": Function(_size_range, 3, 5, (1, 2, 3, 4), first=_KINDS),
    "image_named": Function(lambda call: call.arguments[0] in image_facts(call.facts).names, 1, 1),
}
