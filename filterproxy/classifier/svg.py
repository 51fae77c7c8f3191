"""Small charts as SVG text, for reports that need no other file.

The rule: numbers come in, markup goes out; no text from a message ever gets here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 260
_LEFT, _BOTTOM, _MARGIN = 56, 34, 14

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its title, the values at its ends, and the ticks with what they are called."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in a colour, with a name for the legend (empty: none)."""

    points: Sequence[Point]
    colour: str
    name: str = ""
    dashed: bool = False
    filled: bool = False


def even_axis(title: str, low: float, high: float, count: int = 5) -> Axis:
    """Return an axis with about `count` ticks at round numbers."""
    step = _round_step((high - low) / count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [number * step for number in range(first, last + 1)]
    return Axis(title, low, high, [(value, f"{round(value, 10):g}") for value in values])


def _round_step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least so much."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def line_chart(x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return a chart of lines; points outside the axes are moved to their ends."""
    parts = [_frame(x, y)]
    for number, line in enumerate(lines):
        path = " ".join(f"{_x(px, x):.1f},{_y(py, y):.1f}" for px, py in line.points)
        fill = f'{line.colour}" fill-opacity="0.15' if line.filled else "none"
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="{fill}" stroke="{line.colour}" stroke-width="1.6"{dash}/>')
        if line.name:
            place = _MARGIN + 12 + 14 * number
            x_place = WIDTH - 110
            parts.append(f'<path d="M{x_place - 22} {place - 4}h16" stroke="{line.colour}" stroke-width="2"{dash}/>')
            parts.append(f'<text x="{x_place}" y="{place}">{line.name}</text>')
    return _svg(parts)


def steps(edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    """Return the outline of a histogram as points."""
    points: list[Point] = [(edges[0], 0.0)]
    for number, height in enumerate(heights):
        points += [(edges[number], height), (edges[number + 1], height)]
    return [*points, (edges[-1], 0.0)]


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(parts)}</svg>'


def _frame(x: Axis, y: Axis) -> str:
    base, right = HEIGHT - _BOTTOM, WIDTH - _MARGIN
    parts = [f'<path d="M{_LEFT} {_MARGIN}V{base}H{right}" fill="none" stroke="#888"/>']
    for value, name in x.ticks:
        parts.append(f'<text x="{_x(value, x):.1f}" y="{base + 14}" text-anchor="middle">{name}</text>')
    for value, name in y.ticks:
        place = _y(value, y)
        parts.append(f'<text x="{_LEFT - 5}" y="{place + 4:.1f}" text-anchor="end">{name}</text>')
        parts.append(f'<path d="M{_LEFT} {place:.1f}H{right}" stroke="#eee"/>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{x.title}</text>')
    middle = (_MARGIN + base) / 2
    parts.append(f'<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{y.title}</text>')
    return "".join(parts)


def _x(value: float, axis: Axis) -> float:
    return _LEFT + _share(value, axis) * (WIDTH - _MARGIN - _LEFT)


def _y(value: float, axis: Axis) -> float:
    return HEIGHT - _BOTTOM - _share(value, axis) * (HEIGHT - _BOTTOM - _MARGIN)


def _share(value: float, axis: Axis) -> float:
    return min(max((value - axis.low) / (axis.high - axis.low), 0.0), 1.0)
