"""Checks that begin at once: no task when they do not wait, one from then on when they do, and always their order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from filterproxy.core.check import Check, Stage
from filterproxy.core.errors import CheckError
from filterproxy.core.outcome import Status
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.pipeline import Delivery
from filterproxy.testing import make_transaction
from tests.unit.pipeline.helpers import make_pipeline

RAW = b"Subject: x\r\n\r\nbody\r\n"


class Immediate(Check):
    """Says in which task it ran."""

    name = "immediate"
    symbols = (Symbol("IMMEDIATE", 0.0, "It ran"),)
    immediate = True
    tasks: list[str]

    async def inspect(self, transaction: Any) -> list[SymbolResult]:
        self.tasks = [name_of_task()]
        await self.wait()
        self.tasks.append(name_of_task())
        return [SymbolResult("IMMEDIATE")]

    async def wait(self) -> None:
        """Wait for nothing."""


class Waiting(Immediate):
    """Waits in the middle."""

    async def wait(self) -> None:
        self.go_on = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, self.go_on.set_result, None)
        await self.go_on


class Yielding(Immediate):
    """Lets the event loop go on, as `sleep(0)` does."""

    async def wait(self) -> None:
        await asyncio.sleep(0)


class Refused(Immediate):
    """Learns later that there is no answer."""

    async def wait(self) -> None:
        await asyncio.sleep(0)
        raise CheckError("nobody knows")


class CancelsItself(Immediate):
    """Raises what only others may ask for."""

    async def wait(self) -> None:
        raise asyncio.CancelledError


class Later(Check):
    """Reads what an earlier check found."""

    name = "later"
    symbols = (Symbol("LATER", 0.0, "It saw the other"),)
    immediate = True
    after = frozenset({"immediate"})

    async def inspect(self, transaction: Any) -> list[SymbolResult]:
        return [SymbolResult("LATER", options=(transaction.outcomes["immediate"].status.value,))]


def name_of_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


def check_of(pipeline: Any, name: str = "immediate") -> Any:
    return next(check for check in pipeline.checks.checks if check.name == name)


async def finish(pipeline: Any) -> dict[str, Any]:
    verdict = await pipeline.begin(make_transaction(), Delivery("smtp")).finish(RAW)
    return {outcome.check: outcome for outcome in verdict.result.outcomes}


async def test_a_check_that_does_not_wait_has_no_task_of_its_own() -> None:
    pipeline = make_pipeline(Immediate)
    outcomes = await finish(pipeline)
    assert outcomes["immediate"].status is Status.OK
    assert check_of(pipeline).tasks == [name_of_task()] * 2


@pytest.mark.parametrize("kind", [Waiting, Yielding])
async def test_a_check_that_waits_goes_on_in_one(kind: type[Check]) -> None:
    pipeline = make_pipeline(kind)
    outcomes = await finish(pipeline)
    assert [result.name for result in outcomes["immediate"].results] == ["IMMEDIATE"]
    assert check_of(pipeline).tasks == [name_of_task(), "check immediate"]


@pytest.mark.parametrize(
    ("kind", "reason"), [(Refused, "nobody knows"), (CancelsItself, "CancelledError: ")], ids=["refused", "cancelled"]
)
async def test_what_it_raises_is_its_outcome(kind: type[Check], reason: str) -> None:
    outcome = (await finish(make_pipeline(kind)))["immediate"]
    assert (outcome.status, outcome.reason) == (Status.FAILED, reason)


@pytest.mark.parametrize("kind", [Immediate, Waiting, Yielding])
async def test_one_that_comes_after_sees_it_ended(kind: type[Check]) -> None:
    outcomes = await finish(make_pipeline(Later, kind))
    assert outcomes["later"].results[0].options == ("ok",)


async def test_a_client_that_leaves_ends_what_waits() -> None:
    class AtConnect(Waiting):
        stage = Stage.CONNECT

    pipeline = make_pipeline(AtConnect)
    scan = pipeline.begin(make_transaction(), Delivery("smtp"))
    scan.reached(Stage.CONNECT)
    scan.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "check immediate" not in {task.get_name() for task in asyncio.all_tasks()}
