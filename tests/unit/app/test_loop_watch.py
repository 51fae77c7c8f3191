"""Whether a held event loop is counted and told of."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from filterproxy.app.loop_watch import LIMIT, LoopWatch, WatchedSelector, run_watched
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics


class _Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_only_longer_than_the_limit_is_told() -> None:
    now, told = _Now(), list[float]()
    selector = WatchedSelector(now)
    selector.held = told.append
    with selector:
        now.seconds += LIMIT / 2
        selector.select(0)
        assert told == []
        now.seconds += 0.5
        selector.select(0)
    assert told == [0.5]


def test_a_held_loop_is_counted_and_warned_of_once_a_minute(tmp_path: Path) -> None:
    now, metrics, log = _Now(), Metrics(), open_maillog("mail.log", tmp_path)
    watch = LoopWatch(metrics, log, now)

    async def serve() -> None:
        watch.begin()
        await asyncio.sleep(0)
        for seconds, pause in ((0.2, 1), (0.3, 1), (0.1, 60)):
            watch.held(seconds)
            now.seconds += pause
        watch.held(0.05)

    run_watched(serve(), watch)
    log.flush()
    log.close()
    lines = (tmp_path / "mail.log").read_text().splitlines()
    assert [line.partition("event loop: ")[2] for line in lines] == [
        "held longer than 10 ms: times=1 longest=0.200",
        "held longer than 10 ms: times=3 longest=0.300",
    ]
    assert b"filterproxy_event_loop_held_seconds_count 4.0" in metrics.render()


def test_a_step_that_computes_is_seen_and_the_start_is_not() -> None:
    metrics, log = Metrics(), open_maillog("stderr")
    watch = LoopWatch(metrics, log)

    def compute() -> None:
        until = time.monotonic() + 3 * LIMIT
        while time.monotonic() < until:
            pass

    async def serve() -> None:
        compute()
        watch.begin()
        await asyncio.sleep(0)
        compute()
        await asyncio.sleep(0)

    run_watched(serve(), watch)
    log.close()
    assert metrics.registry.get_sample_value("filterproxy_event_loop_held_seconds_count") >= 1
    assert metrics.registry.get_sample_value("filterproxy_event_loop_held_seconds_sum") < 6 * LIMIT + 5
