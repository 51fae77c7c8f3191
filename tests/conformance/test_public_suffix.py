"""Registrable domains against the Public Suffix List project's own cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.message.domains import ascii_domain, registrable_domain

CASES = [
    tuple(line.split())
    for line in (Path(__file__).parent.parent / "data/psl/tests.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("//")
]


def test_the_suite_is_complete() -> None:
    assert len(CASES) == 78


@pytest.mark.parametrize(("host", "expected"), CASES)
def test_registrable_domain(host: str, expected: str) -> None:
    found = registrable_domain("" if host == "null" else ascii_domain(host))
    assert found == ("" if expected == "null" else ascii_domain(expected))
