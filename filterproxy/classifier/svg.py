"""Small charts as SVG text, for reports that need no other file.

The rule: numbers come in, markup goes out; no text from a message ever gets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 260
_LEFT, _BOTTOM, _MARGIN = 56, 34, 12

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


def even_axis(title: str, low: float, high: float, count: int = 5) -> Axis:
    """Return an axis with ticks at equal distances."""
    values = [low + (high - low) * number / (count - 1) for number in range(count)]
    return Axis(title, low, high, [(value, f"{value:.4g}") for value in values])


def line_chart(x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return a chart of lines; points outside the axes are moved to their ends."""
    parts = [_frame(x, y)]
    for number, line in enumerate(lines):
        path = " ".join(f"{_x(px, x):.1f},{_y(py, y):.1f}" for px, py in line.points)
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.6"{dash}/>')
        if line.name:
            place = _MARGIN + 12 + 14 * number
            parts.append(f'<text x="{WIDTH - 130}" y="{place}" fill="{line.colour}">{line.name}</text>')
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
