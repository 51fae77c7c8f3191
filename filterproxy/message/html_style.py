"""Whether inline style and presentational attributes make text invisible.

The one rule: simple cases only, told from the markup alone; style sheets are not applied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

_DECLARATION = re.compile(r"([a-z-]++)\s*+:\s*+([^;]++)")
_ZERO = re.compile(r"0*\.?0*(?:px|pt|em|rem|ex|%|cm|mm|in|pc|vw|vh)?(?:!important)?\Z")
_TINY = re.compile(r"(?:[01]|0?\.\d+)(?:px|pt)(?:!important)?\Z")
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})\b")
_RGB = re.compile(r"rgba?\((\d{1,3})[,\s]+(\d{1,3})[,\s]+(\d{1,3})(?:[,\s/]+([\d.]{1,8})(%?))?")
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "red": (255, 0, 0)}
_NAMED |= {"whitesmoke": (245, 245, 245), "ivory": (255, 255, 240), "yellow": (255, 255, 0), "blue": (0, 0, 255)}
_INTERESTING = frozenset(("style", "hidden", "color", "bgcolor", "background", "text"))
_MAX_STYLE = 2_000
_SAME_COLOUR = 8

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """What of an element's look is inherited and decides whether its text can be seen.

    `gone` (display:none and the like) holds for everything inside; the others can be undone by an inner element.
    A colour that is not known is None and equal to none.
    """

    gone: bool = False
    invisible: bool = False
    tiny: bool = False
    colour: Colour | None = (0, 0, 0)
    background: Colour | None = (255, 255, 255)

    @property
    def hides(self) -> bool:
        """Tell whether text of this style cannot be seen."""
        if self.gone or self.invisible or self.tiny:
            return True
        if self.colour is None or self.background is None:
            return False
        return all(abs(one - other) <= _SAME_COLOUR for one, other in zip(self.colour, self.background, strict=True))


@dataclass(frozen=True, slots=True)
class StyleChange:
    """What one element changes: None leaves a property as inherited, an unknown colour is `()`."""

    gone: bool = False
    invisible: bool | None = None
    tiny: bool | None = None
    colour: tuple[int, ...] | None = None
    background: tuple[int, ...] | None = None

    def apply(self, style: Style) -> Style:
        """Return the style inside the element."""
        return Style(
            gone=style.gone or self.gone,
            invisible=style.invisible if self.invisible is None else self.invisible,
            tiny=style.tiny if self.tiny is None else self.tiny,
            colour=style.colour if self.colour is None else _known(self.colour),
            background=style.background if self.background is None else _known(self.background),
        )


def read_change(attributes: Mapping[str, str]) -> StyleChange | None:
    """Return what an element's attributes change, None when that is nothing."""
    if _INTERESTING.isdisjoint(attributes):
        return None
    change = _read_declarations(attributes.get("style", "")[:_MAX_STYLE])
    if "hidden" in attributes:
        change = replace(change, gone=True)
    if change.colour is None and (colour := attributes.get("color") or attributes.get("text")):
        change = replace(change, colour=_colour(colour))
    if change.background is None:
        if attributes.get("background"):
            change = replace(change, background=())
        elif bgcolor := attributes.get("bgcolor"):
            change = replace(change, background=_colour(bgcolor))
    return change


@lru_cache(maxsize=2048)
def _read_declarations(style: str) -> StyleChange:
    gone, invisible, tiny = False, None, None
    colour: tuple[int, ...] | None = None
    background: tuple[int, ...] | None = None
    for match in _DECLARATION.finditer(style.lower()):
        name, value = match[1], match[2].strip()
        if name == "display":
            gone = gone or value.startswith("none")
        elif name == "visibility":
            invisible = value.startswith(("hidden", "collapse"))
        elif name == "font-size":
            tiny = bool(_ZERO.match(value) or _TINY.match(value))
        elif name in ("opacity", "max-height"):
            gone = gone or _ZERO.match(value.replace(" ", "")) is not None
        elif name == "mso-hide":
            gone = gone or value.startswith("all")
        elif name == "color":
            colour = _colour(value)
            gone = gone or value.startswith("transparent")
        elif name in ("background", "background-color"):
            background = _colour(value)
    return StyleChange(gone, invisible, tiny, colour, background)


@lru_cache(maxsize=1024)
def _colour(text: str) -> tuple[int, ...] | None:
    """Return red, green, blue; None for what leaves the colour as it is, () for an unknown one."""
    value = text.strip().lower()[:100]
    if value.startswith(("transparent", "inherit", "none")):
        return None
    if match := _HEX.match(value if value.startswith("#") else f"#{value}"):
        digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
        return tuple(bytes.fromhex(digits))
    if match := _RGB.match(value):
        opaque = match[4] is None or not _ZERO.match(match[4])
        return tuple(min(int(number), 255) for number in match.group(1, 2, 3)) if opaque else None
    return _NAMED.get(value.partition(" ")[0], ())


def _known(colour: tuple[int, ...]) -> Colour | None:
    return (colour[0], colour[1], colour[2]) if len(colour) == 3 else None
