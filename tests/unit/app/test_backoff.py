"""Restarts: at once after a single crash, ever later while it keeps crashing."""

from __future__ import annotations

from filterproxy.app.backoff import LONGEST_WAIT, STABLE_SECONDS, Backoff


def test_the_first_restart_is_immediate_and_a_loop_is_slowed_down() -> None:
    backoff = Backoff()
    assert [backoff.crashed(0.1) for _ in range(8)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_WAIT, LONGEST_WAIT]


def test_a_stable_run_starts_over() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.crashed(0.1)
    assert backoff.crashed(STABLE_SECONDS) == 0.0
    assert backoff.crashed(0.1) == 1.0
