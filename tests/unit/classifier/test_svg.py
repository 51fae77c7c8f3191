"""Axes of the charts: round numbers, inside the axis."""

import pytest

from filterproxy.classifier.svg import even_axis


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-11.6, 14.24, ["-10", "0", "10"]),
        (0, 6046, ["0", "2000", "4000", "6000"]),
        (0, 0.1, ["0", "0.02", "0.04", "0.06", "0.08", "0.1"]),
        (-3, -2, ["-3", "-2.8", "-2.6", "-2.4", "-2.2", "-2"]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    axis = even_axis("x", low, high)
    assert [name for _, name in axis.ticks] == expected
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in axis.ticks)
