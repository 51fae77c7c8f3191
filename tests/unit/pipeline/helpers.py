"""Pipelines for tests, made of any checks."""

from __future__ import annotations

from typing import Any

from filterproxy.core.action import Action
from filterproxy.core.check import Check, CheckConfig
from filterproxy.observability.maillog import open_maillog
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import Pipeline, PipelineOptions, Recorder, ScoringPolicy, build
from filterproxy.services.clock import SystemClock
from filterproxy.testing import FakeScanPool, make_context


class Rows(list[Any]):
    """A history in a list."""

    def record(self, row: Any) -> None:
        self.append(row)


def make_pipeline(
    *types: type[Check[Any]],
    configs: dict[str, CheckConfig] | None = None,
    thresholds: dict[Action, float] | None = None,
    forced: dict[str, Action] | None = None,
    log_to: str = "stderr",
    **options: Any,
) -> Pipeline:
    by_name = {check.name: check for check in types}
    settings = {name: (configs or {}).get(name, check.config_type()) for name, check in by_name.items()}
    checks = build(by_name, settings, lambda _: make_context())
    policy = ScoringPolicy(
        thresholds=thresholds or {Action.ADD_HEADER: 6.0, Action.REJECT: 15.0},
        symbols=checks.symbols,
        forced_actions={**checks.forced_actions, **(forced or {})},
        composites=checks.composites,
        soft_reject_on_failure=frozenset(
            name for name, config in settings.items() if config.on_failure == "soft reject"
        ),
    )
    recorder = Recorder(open_maillog(log_to), Metrics(), Rows(), SystemClock())
    return Pipeline(
        checks,
        policy,
        PipelineOptions(hostname="mx.example.org", **options),
        clock=SystemClock(),
        scan_pool=FakeScanPool(),
        recorder=recorder,
    )
