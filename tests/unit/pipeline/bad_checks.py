"""Four checks that do what a check must not do, and one that behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction


class Good(Check[CheckConfig]):
    name = "good"
    symbols = (Symbol("GOOD", 1.5, "The well-behaved check saw the message"),)

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return [SymbolResult("GOOD", options=(transaction.helo,))]


class Raises(Check[CheckConfig]):
    name = "raises"

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        raise ZeroDivisionError("its author forgot something")


class SleepsForever(Check[CheckConfig]):
    name = "sleeps"
    stage = Stage.CONNECT

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        await asyncio.Event().wait()
        return []


class BurnsCpu(Check[CheckConfig]):
    name = "burns"

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        await asyncio.sleep(0)
        while True:
            pass


class ReturnsGarbage(Check[CheckConfig]):
    name = "garbage"

    async def inspect(self, transaction: Transaction) -> Any:
        return {"spam": "yes"}


BAD = (Raises, SleepsForever, BurnsCpu, ReturnsGarbage)
