"""Autolearn through the pipeline: what the learning check sees, what is said of it, and that it spoils nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from filterproxy.core.check import Check, CheckConfig, Evidence, LearningCheck
from filterproxy.core.composite import AtLeast, Composite, Has
from filterproxy.core.scan_result import Autolearn, ScanResult
from filterproxy.core.symbol import Symbol, SymbolResult
from filterproxy.core.transaction import Transaction
from filterproxy.pipeline import Delivery, Pipeline
from filterproxy.testing import make_transaction
from tests.unit.pipeline.helpers import make_pipeline

RAW = b"From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"


class Loud(Check[CheckConfig]):
    name = "loud"
    symbols = (Symbol("LOUD", 4.0, "loud"),)

    def composites(self) -> Sequence[Composite]:
        return (
            Composite("WITH_OWN", 1.0, "reads the learner's symbol", AtLeast(2, (Has("LOUD"), Has("LEARNER")))),
            Composite("INDIRECT", 1.0, "reads a composite that does", Has("WITH_OWN")),
            Composite("WITHOUT_OWN", 1.0, "reads others only", Has("LOUD")),
        )

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return [SymbolResult("LOUD")]


class Learner(LearningCheck[CheckConfig]):
    name = "learner"
    symbols = (Symbol("LEARNER", 1.0, "its own opinion"),)
    chosen: ClassVar[Any] = Autolearn.SPAM
    shown: ClassVar[list[Evidence]] = []
    learned: ClassVar[list[tuple[bytes, Autolearn]]] = []

    @property
    def autolearns(self) -> bool:
        return True

    async def inspect(self, transaction: Transaction) -> Sequence[SymbolResult]:
        return [SymbolResult("LEARNER")]

    def choose_class(self, transaction: Transaction, result: ScanResult, evidence: Sequence[Evidence]) -> Autolearn:
        self.shown[:] = evidence
        return Autolearn(self.chosen)

    def learn_later(self, transaction: Transaction, chosen: Autolearn) -> None:
        self.learned.append((transaction.require_message().raw, chosen))


@pytest.fixture(autouse=True)
def clean() -> None:
    Learner.chosen, Learner.shown, Learner.learned = Autolearn.SPAM, [], []


async def scan(pipeline: Pipeline) -> str:
    """Scan and record a message; return the X-Spam-Status field."""
    await pipeline.start()
    running = pipeline.begin(make_transaction(RAW), Delivery("smtp"))
    verdict = await running.finish(RAW)
    assert Learner.learned == []
    running.record(verdict, "250 ok")
    await pipeline.close()
    return dict(verdict.edits.insert).get("X-Spam-Status", "")


def quiet(*types: type[Check[Any]], **options: Any) -> Pipeline:
    return make_pipeline(*types, **options)


async def test_it_sees_only_what_does_not_come_from_itself() -> None:
    await scan(quiet(Loud, Learner))
    assert {item.symbol.name: item.check for item in Learner.shown} == {"LOUD": "loud", "WITHOUT_OWN": "loud"}


async def test_header_log_and_metric_say_it_and_it_is_learned_after_the_answer(tmp_path: Path) -> None:
    pipeline = quiet(Loud, Learner, log_to=str(tmp_path / "log"))
    assert "autolearn=spam " in await scan(pipeline)
    assert Learner.learned == [(RAW, Autolearn.SPAM)]
    pipeline.recorder.log.close()
    assert " autolearn=spam " in (tmp_path / "log").read_text()
    assert b'filterproxy_autolearned_total{result="spam"} 1.0' in pipeline.recorder.metrics.render()


async def test_nothing_is_learned_when_it_says_no() -> None:
    Learner.chosen = Autolearn.NO
    assert "autolearn=no " in await scan(quiet(Loud, Learner))
    assert Learner.learned == []


async def test_a_choice_that_fails_costs_the_message_nothing() -> None:
    Learner.chosen = "nonsense"
    pipeline = quiet(Loud, Learner)
    assert "autolearn=failed " in await scan(pipeline)
    assert Learner.learned == []


async def test_checks_that_do_not_learn_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "autolearns", False)
    assert "autolearn=no " in await scan(quiet(Loud, Learner))
    assert Learner.shown == []
