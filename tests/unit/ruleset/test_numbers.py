"""Comparisons of numbers."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from filterproxy.ruleset.numbers import Bytes, Count, Duration


@pytest.mark.parametrize(
    ("kind", "written", "inside", "outside"),
    [
        (Count, 3, 3, 4),
        (Count, "3", 3, 2),
        (Count, ">= 2", 2, 1),
        (Count, ">2", 3, 2),
        (Count, "< 2", 1, 2),
        (Count, "<= 2", 2, 3),
        (Count, "!= 0", 1, 0),
        (Count, "= 0", 0, 1),
        (Count, "> -1.5", -1, -2),
        (Count, [">= 2", "< 5"], 4, 5),
        (Bytes, "> 10KB", 10_001, 10_000),
        (Bytes, "<= 1MiB", 1 << 20, (1 << 20) + 1),
        (Duration, "> 1d", 86_401, 86_400),
    ],
)
def test_comparisons(kind, written, inside, outside):
    numbers = TypeAdapter(kind).validate_python(written)
    assert inside in numbers
    assert outside not in numbers


@pytest.mark.parametrize("written", ["many", "> ", "=> 3", "> 3KB", True, [], None, "> 1..2"])
def test_what_is_no_comparison_is_refused(written):
    with pytest.raises(ValidationError, match=r"is no comparison; write a number, or for example"):
        TypeAdapter(Count).validate_python(written)


@pytest.mark.parametrize(
    ("written", "enough"), [(3, 4), (">= 3", 3), ("> 3", 4), ("< 3", 3), ("<= 3", 4), ([">= 2", "< 9"], 9)]
)
def test_counting_may_stop_where_nothing_changes(written, enough):
    numbers = TypeAdapter(Count).validate_python(written)
    assert numbers.enough == enough
    assert len({number in numbers for number in range(enough, enough + 5)}) == 1
