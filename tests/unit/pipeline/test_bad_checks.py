"""Whatever a check does becomes an outcome, in time, and the others still count."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig
from filterproxy.core.outcome import Status
from filterproxy.pipeline import Delivery
from filterproxy.testing import make_transaction
from tests.unit.pipeline.bad_checks import BAD, BurnsCpu, Good, Raises, ReturnsGarbage, SleepsForever
from tests.unit.pipeline.helpers import make_pipeline

RAW = b"Subject: x\r\n\r\nbody\r\n"
SHORT = CheckConfig(timeout=0.2)


@pytest.fixture(params=[False, True], ids=["in a task", "at once"], autouse=True)
def immediate(request, monkeypatch):
    """Whether checks begin in a task of their own."""
    monkeypatch.setattr(Check, "immediate", request.param)


async def outcomes_of(*types, **options):
    configs = {check.name: SHORT for check in types}
    pipeline = make_pipeline(*types, configs=configs, step_limit=0.2, **options)
    verdict = await pipeline.begin(make_transaction(helo="client.example"), Delivery("smtp")).finish(RAW)
    return verdict, {outcome.check: outcome for outcome in verdict.result.outcomes}


@pytest.mark.parametrize(
    ("check", "status", "reason"),
    [
        (Raises, Status.FAILED, "ZeroDivisionError: its author forgot something"),
        (SleepsForever, Status.TIMED_OUT, "no answer within 0.2 s"),
        (BurnsCpu, Status.TIMED_OUT, "held the event loop for more than 0.2 s"),
        (ReturnsGarbage, Status.FAILED, "inspect() returned {'spam': 'yes'} instead of SymbolResults"),
    ],
)
async def test_a_bad_check_is_an_outcome_with_its_symbol(check, status, reason):
    verdict, outcomes = await outcomes_of(Good, check)
    assert outcomes[check.name].status is status
    assert outcomes[check.name].reason == reason
    suffix = "TIMED_OUT" if status is Status.TIMED_OUT else "FAILED"
    assert {symbol.name for symbol in verdict.result.symbols} == {"GOOD", f"{check.name.upper()}_{suffix}"}
    assert verdict.result.score == 1.5
    assert verdict.action is Action.NO_ACTION


async def test_all_bad_checks_together_end_within_the_deadline():
    began = asyncio.get_running_loop().time()
    _, outcomes = await outcomes_of(Good, *BAD, deadline=1.0)
    assert asyncio.get_running_loop().time() - began < 5
    assert outcomes["good"].status is Status.OK
    assert all(outcomes[check.name].status in (Status.FAILED, Status.TIMED_OUT) for check in BAD)


async def test_the_deadline_ends_a_check_with_a_longer_time_out():
    pipeline = make_pipeline(SleepsForever, deadline=0.05)
    verdict = await pipeline.begin(make_transaction(), Delivery("smtp")).finish(RAW)
    assert verdict.result.outcomes[0].reason == "the message's deadline came first"


@pytest.mark.parametrize("check", BAD)
async def test_on_failure_soft_reject_gives_a_temporary_reply(check):
    strict = CheckConfig(timeout=0.2, on_failure="soft reject")
    pipeline = make_pipeline(Good, check, configs={check.name: strict}, step_limit=0.2)
    verdict = await pipeline.begin(make_transaction(), Delivery("smtp")).finish(RAW)
    assert verdict.action is Action.SOFT_REJECT
    assert str(verdict.reply) == "451 4.3.0 Temporary failure, please try again later (id 4TEST)"
    assert verdict.result.failed_by == check.name


async def test_a_content_filter_puts_off_what_a_failed_check_could_not_judge():
    strict = CheckConfig(timeout=0.2, on_failure="soft reject")
    pipeline = make_pipeline(Good, Raises, configs={Raises.name: strict})
    delivery = Delivery("smtp", in_session=False, on_reject=Action.DISCARD)
    verdict = await pipeline.begin(make_transaction(), delivery).finish(RAW)
    assert verdict.action is Action.SOFT_REJECT
    assert verdict.reply.code == 451


async def test_a_soft_reject_that_is_only_marked_is_marked_as_spam():
    pipeline = make_pipeline(Good, forced={symbol.name: Action.SOFT_REJECT for symbol in Good.symbols})
    verdict = await pipeline.begin(make_transaction(), Delivery("smtp", in_session=False)).finish(RAW)
    assert verdict.action is Action.ADD_HEADER
    assert ("X-Spam-Flag", "YES") in verdict.edits.insert
    assert verdict.result.action is Action.SOFT_REJECT


class Swallows(BurnsCpu):
    """Burns CPU and swallows the first attempt to stop it."""

    name = "swallows"

    async def inspect(self, transaction):
        for _ in range(2):
            try:
                while True:
                    pass
            except Exception:
                continue
        return []


async def test_a_check_that_swallows_the_interruption_ends_all_the_same():
    _, outcomes = await outcomes_of(Good, Swallows)
    assert outcomes["swallows"].status is Status.OK  # it gave up burning after two interruptions
    assert outcomes["good"].status is Status.OK


async def test_a_bug_in_the_pipeline_follows_the_failure_policy(monkeypatch):
    monkeypatch.setattr("filterproxy.pipeline.pipeline.decide", lambda *_: 1 / 0)
    for policy, action in (("tempfail", Action.SOFT_REJECT), ("accept", Action.NO_ACTION)):
        pipeline = make_pipeline(Good, failure_policy=policy)
        verdict = await pipeline.begin(make_transaction(), Delivery("smtp")).finish(RAW)
        assert verdict.action is action
        assert verdict.reply is None or verdict.reply.code == 451
        assert verdict.result is None


async def test_forged_fields_go_even_when_the_pipeline_fails(monkeypatch):
    monkeypatch.setattr("filterproxy.pipeline.pipeline.decide", lambda *_: 1 / 0)
    raw = b"Authentication-Results: mx.example.org; dkim=pass\r\nX-Spam-Status: No\r\n" + RAW
    pipeline = make_pipeline(Good, failure_policy="accept")
    verdict = await pipeline.begin(make_transaction(raw), Delivery("smtp")).finish(raw)
    assert verdict.action is Action.NO_ACTION
    assert verdict.edits.apply(raw) == RAW


def test_the_timer_never_outlives_the_program():
    """The interpreter resets signal handlers before it ends; a timer still ticking would kill it."""
    program = (
        "import asyncio, time\n"
        "from filterproxy.pipeline.step_guard import StepGuard\n"
        "class Slow:\n"
        "    def __del__(self): time.sleep(0.2)\n"
        "async def nothing(): return None\n"
        "async def main(): await StepGuard(0.04).guarded(nothing())\n"
        "asyncio.run(main())\n"
        "import sys; sys.slow = Slow()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
