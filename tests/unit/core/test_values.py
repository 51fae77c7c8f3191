"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from filterproxy.core.values import parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20), ("500ms", 0.5), ("5m", 300), ("12h", 43200), ("30d", 2592000), ("1.5h", 5400), (7, 7)],
)
def test_durations(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("10MB", 10_000_000), ("64KiB", 65536), ("1.5 kB", 1500), ("42", 42), (42, 42)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "20 parsecs", "s", "-5s", "10MB extra", "1e3s"])
def test_nonsense_says_what_would_be_right(text):
    with pytest.raises(ValueError, match="is not a duration such as 20s"):
        parse_seconds(text)
    with pytest.raises(ValueError, match="is not a size such as 500KB"):
        parse_size(text + "x")
