"""Whether inline style and presentational attributes make text invisible.

The one rule: simple cases only, and in doubt text is visible, for hidden text is not read. Style sheets are not
applied, so a colour that they may have changed hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

_ZERO = re.compile(r"0*\.?0*(?:px|pt|em|rem|ex|%|cm|mm|in|pc|vw|vh)?\Z")
_TINY = re.compile(r"(?:1|0*\.\d{1,5})(?:px|pt)\Z")
_RELATIVE = re.compile(r"[\d.]{1,10}(?:em|ex|%)\Z|inherit|smaller|larger|unset")
_FONT_SIZE = re.compile(r"(?:^|\s)([\d.]{1,10}(?:px|pt|em|rem|ex|%)?)(?=[\s/]|$)")
_HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})\Z")
_RGB = re.compile(r"rgba?\((\d{1,3})[,\s]+(\d{1,3})[,\s]+(\d{1,3})(?:[,\s/]+([\d.]{1,8})%?)?\s*\)")
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "red": (255, 0, 0)}
_NAMED |= {"whitesmoke": (245, 245, 245), "ivory": (255, 255, 240), "yellow": (255, 255, 0), "blue": (0, 0, 255)}
_INTERESTING = frozenset(("style", "hidden", "color", "bgcolor", "background", "text"))
_NO_COLOUR = ("transparent", "inherit", "none", "initial", "unset")
_MAX_STYLE = 2_000
_MAX_COLOUR = 100
_SAME_COLOUR = 8

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """What of an element's look is inherited and decides whether its text can be seen.

    `gone` (display:none and the like) holds for everything inside; the others can be undone by an inner element.
    A colour that is not known is None. `*_given` tells a colour of the mail from the default one.
    """

    gone: bool = False
    invisible: bool = False
    tiny: bool = False
    colour: Colour | None = (0, 0, 0)
    background: Colour | None = (255, 255, 255)
    colour_given: bool = False
    background_given: bool = False

    @property
    def hides(self) -> bool:
        """Tell whether text of this style cannot be seen, whatever its colour."""
        return self.gone or self.invisible or self.tiny

    @property
    def blends(self) -> bool:
        """Tell whether text and background have the same colour."""
        if self.colour is None or self.background is None:
            return False
        return all(abs(one - other) <= _SAME_COLOUR for one, other in zip(self.colour, self.background, strict=True))

    @property
    def certain(self) -> bool:
        """Tell whether both colours are the mail's own, so that no style sheet is needed to know them."""
        return self.colour_given and self.background_given


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
            colour_given=style.colour_given or self.colour is not None,
            background_given=style.background_given or self.background is not None,
        )


UNKNOWN_COLOUR = StyleChange(colour=())


def read_change(attributes: Mapping[str, str]) -> StyleChange | None:
    """Return what an element's attributes change, None when that is nothing."""
    if _INTERESTING.isdisjoint(attributes):
        return None
    change = _read_style(attributes.get("style", "")[:_MAX_STYLE])
    if "hidden" in attributes and "style" not in attributes:
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
def _read_style(style: str) -> StyleChange:
    values = _declarations(style.lower())
    gone = (
        values.get("display", "").startswith("none")
        or values.get("mso-hide", "").startswith("all")
        or _is_zero(values.get("opacity"))
        or (_is_zero(values.get("max-height") or values.get("height")) and values.get("overflow") == "hidden")
        or values.get("color") == "transparent"
    )
    visibility = values.get("visibility")
    return StyleChange(
        gone=gone,
        invisible=None if visibility in (None, "inherit") else visibility in ("hidden", "collapse"),
        tiny=_is_tiny(values),
        colour=_colour(values["color"]) if "color" in values else None,
        background=_background(values),
    )


def _declarations(style: str) -> dict[str, str]:
    """Return the value of each property: the last one, unless an earlier one is `!important`."""
    values: dict[str, str] = {}
    important: set[str] = set()
    for declaration in _without_comments(style).split(";"):
        name, _, value = (piece.strip() for piece in declaration.partition(":"))
        if "!" in value and value.rpartition("!")[2].strip() == "important":
            important.add(name)
            value = value.rpartition("!")[0].rstrip()
        elif name in important:
            continue
        values[name] = value
    return values


def _without_comments(style: str) -> str:
    first, *rest = style.split("/*")
    return first + "".join(piece.partition("*/")[2] for piece in rest)


def _is_zero(value: str | None) -> bool:
    return bool(value and _ZERO.match(value))


def _is_tiny(values: Mapping[str, str]) -> bool | None:
    """Return whether the font is too small to see, None when the size depends on the one outside."""
    size = values.get("font-size", "")
    if not size and (shorthand := _FONT_SIZE.search(values.get("font", ""))):
        size = shorthand[1]
    if not size:
        return None
    if _ZERO.match(size) or _TINY.match(size):
        return True
    return None if _RELATIVE.match(size) else False


def _background(values: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return the background's colour; a gradient or an image makes it unknown."""
    if "background-image" in values and not values["background-image"].startswith("none"):
        return ()
    value = values.get("background-color") or values.get("background")
    return None if value is None else _colour(value)


def _colour(text: str) -> tuple[int, ...] | None:
    """Return red, green, blue; None for what leaves the colour as it is, () for an unknown one."""
    return _parse_colour(text[:_MAX_COLOUR].strip().lower())


@lru_cache(maxsize=1024)
def _parse_colour(value: str) -> tuple[int, ...] | None:
    if not value or value.startswith(_NO_COLOUR):
        return None
    if match := _HEX.match(value):
        digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
        return tuple(bytes.fromhex(digits))
    if match := _RGB.match(value):
        opaque = match[4] is None or not _ZERO.match(match[4])
        return tuple(min(int(number), 255) for number in match.group(1, 2, 3)) if opaque else None
    return _NAMED.get(value, ())


def _known(colour: tuple[int, ...]) -> Colour | None:
    return (colour[0], colour[1], colour[2]) if len(colour) == 3 else None
