"""Bars as SVG, made without any library: one group for each label, one bar for each name in it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import cycle

_COLOURS = ("#2563eb", "#dc2626", "#d97706", "#059669")
_WIDTH, _ROW, _LEFT = 720, 26, 180


def chart(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Return the drawing; each bar is as long as its value is large, on one scale, with the value beside it."""
    rows: list[str] = []
    most = max(value for bars in groups.values() for value in bars.values()) or 1.0
    y = 50
    for label, bars in groups.items():
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{escape(label)}</text>')
        y += 10
        for colour, (name, value) in zip(cycle(_COLOURS), bars.items(), strict=False):
            width = value / most * (_WIDTH - _LEFT - 90)
            rows += [
                f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="18" fill="{colour}"/>',
                f'<text x="{_LEFT + width + 6:.1f}" y="{y + 14}">{value:.2f}</text>',
            ]
            y += _ROW
        y += 30
    size = f'width="{_WIDTH}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<text x="10" y="24" font-size="16">{escape(title)}</text>', *rows, "</svg>", ""])
