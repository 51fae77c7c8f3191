"""The scan pool: results, errors, bounds, cancelling; and the clock."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC

import pytest

from filterproxy.core.errors import CheckError
from filterproxy.services.clock import SystemClock
from filterproxy.services.scan_pool import ThreadScanPool


@pytest.fixture
def pool():
    pool = ThreadScanPool(1)
    yield pool
    pool.close()


async def test_a_result_comes_back_from_another_thread(pool):
    def work(number, *, add):
        return number + add, threading.current_thread()

    result, thread = await pool.run(work, 1, add=2)
    assert result == 3
    assert thread is not threading.current_thread()


async def test_what_is_raised_comes_back(pool):
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 / 0)


async def test_a_full_pool_refuses_at_once(pool):
    gate = threading.Event()
    waiting = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(65)]
    await asyncio.sleep(0)
    with pytest.raises(CheckError, match="full"):
        await pool.run(lambda: None)
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 65
    assert await pool.run(lambda: 1) == 1


async def test_cancelling_gives_up_the_wait_and_the_place_comes_back(pool):
    gate, started = threading.Event(), threading.Event()

    def work():
        started.set()
        gate.wait()

    running = asyncio.ensure_future(pool.run(work))
    await asyncio.to_thread(started.wait)
    queued = asyncio.ensure_future(pool.run(gate.wait))
    await asyncio.sleep(0)
    for task in (running, queued):
        task.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError)
        for result in await asyncio.gather(running, queued, return_exceptions=True)
    )
    gate.set()
    for _ in range(200):
        assert await pool.run(lambda: 1) == 1


async def test_a_closed_pool_is_a_failure_not_a_crash(pool):
    pool.close()
    with pytest.raises(CheckError, match="closed"):
        await pool.run(lambda: 1)


async def test_the_clock():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() - before >= 0.001
    assert clock.now().tzinfo is UTC
