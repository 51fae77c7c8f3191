"""A pipeline that gives the verdicts it was told and keeps what the listener handed it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from filterproxy.core.action import Action
from filterproxy.core.check import Stage
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline import Delivery, Verdict


class ScriptedFailureError(Exception):
    """A bug on purpose."""


@dataclass
class Script:
    """What happens to one message; `fails` is where the pipeline raises: begin, finish or record.

    With `release` the scan lasts until that is set.
    """

    verdict: Verdict = field(default_factory=lambda: Verdict(Action.NO_ACTION))
    fails: str = ""
    release: asyncio.Event | None = None
    wants: int | None = None


class ScriptedScan:
    """A Scan (see filterproxy.pipeline) that follows a script and remembers."""

    wants = 10_000_001

    def __init__(self, script: Script, transaction: Transaction, delivery: Delivery) -> None:
        self.script = script
        self.transaction = transaction
        self.delivery = delivery
        self.stages: list[str] = []
        self.raw: bytes | None = None
        self.size = 0
        if script.wants is not None:
            self.wants = script.wants
        self.cancelled = False
        self.recorded = ""
        self.scanning = asyncio.Event()
        self.ended = asyncio.Event()

    def reached(self, stage: Stage) -> None:
        self.stages.append(stage.name)

    def cancel(self) -> None:
        self.cancelled = True
        self.ended.set()

    async def finish(self, raw: bytes, size: int | None = None) -> Verdict:
        self.raw = raw
        self.size = len(raw) if size is None else size
        self.scanning.set()
        if self.script.release is not None:
            await self.script.release.wait()
        if self.script.fails == "finish":
            raise ScriptedFailureError("finish")
        return self.script.verdict

    def record(self, verdict: Verdict, reply: str) -> None:
        if self.script.fails == "record":
            raise ScriptedFailureError("record")
        assert verdict is self.script.verdict
        self.recorded = reply
        self.ended.set()


class ScriptedPipeline:
    """A Pipeline for listeners: scripts are used up in order, then the harmless default is."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.scans: list[ScriptedScan] = []

    def begin(self, transaction: Transaction, delivery: Delivery) -> ScriptedScan:
        script = self.scripts.pop(0) if self.scripts else Script()
        if script.fails == "begin":
            raise ScriptedFailureError("begin")
        self.scans.append(ScriptedScan(script, transaction, delivery))
        return self.scans[-1]
