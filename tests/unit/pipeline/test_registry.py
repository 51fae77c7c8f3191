"""A wrong set of checks is refused at start-up, by name."""

from __future__ import annotations

import pytest

from filterproxy.core.check import Check, CheckConfig, Stage
from filterproxy.core.composite import Composite, Has
from filterproxy.core.errors import ConfigError
from filterproxy.core.symbol import Symbol
from filterproxy.pipeline.registry import CheckTypes, build, discover
from filterproxy.testing import make_context


def check_type(name, *, after=(), symbols=(), stage=Stage.MESSAGE, composites=(), calls=None, fails=False):
    class Made(Check[CheckConfig]):
        async def start(self):
            if fails:
                raise OSError("its file is gone")
            if calls is not None:
                calls.append(f"start {name}")

        async def close(self):
            if calls is not None:
                calls.append(f"close {name}")

        def composites(self):
            return composites

        async def inspect(self, transaction):
            return []

    Made.name, Made.after, Made.stage = name, frozenset(after), stage
    Made.symbols = tuple(Symbol(item, 1.0, f"about {item}") for item in symbols)
    return Made


def build_all(*types):
    by_name = {item.name: item for item in types}
    return build(by_name, {name: CheckConfig() for name in by_name}, lambda _: make_context())


def test_checks_come_in_the_order_that_after_asks_for_and_inherit_its_stage():
    checks = build_all(
        check_type("dmarc", after={"spf", "absent"}, stage=Stage.MAIL), check_type("spf", stage=Stage.RCPT)
    )
    assert [check.name for check in checks.checks] == ["spf", "dmarc"]
    assert checks.stages == {"spf": Stage.RCPT, "dmarc": Stage.RCPT}


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([check_type("a", after={"b"}), check_type("b", after={"a"})], "wait for each other in a circle"),
        (
            [check_type("a", symbols=["X"]), check_type("b", symbols=["X"])],
            "symbol X of check 'b' exists already in 'a'",
        ),
        (
            [check_type("a", symbols=["B_FAILED"]), check_type("b")],
            "symbol B_FAILED of check 'b' exists already in 'a'",
        ),
        (
            [check_type("a", symbols=["SPF_FAIL"], composites=[Composite("C", 1, "c", Has("SPF_FIAL"))])],
            "composite C names SPF_FIAL, which no enabled check declares (did you mean SPF_FAIL?)",
        ),
        (
            [check_type("a", composites=[Composite("C", 1, "c", Has("D")), Composite("D", 1, "d", Has("C"))])],
            "composites refer to each other in a circle",
        ),
    ],
)
def test_wrong_sets_are_refused_by_name(types, message):
    with pytest.raises(ConfigError) as caught:
        build_all(*types)
    assert message in str(caught.value)


async def test_a_failed_start_names_the_culprit_and_closes_the_others():
    calls: list[str] = []
    checks = build_all(check_type("first", calls=calls), check_type("second", after={"first"}, fails=True))
    with pytest.raises(ConfigError, match=r"check 'second' did not start: OSError\('its file is gone'\)"):
        await checks.start()
    assert calls == ["start first", "close first"]


def test_a_check_is_imported_only_when_it_is_asked_for():
    class Broken:
        value = "nowhere:Check"

        def load(self):
            raise ImportError("no module named nowhere")

    types = CheckTypes({"broken": Broken()})
    assert list(types) == ["broken"]
    with pytest.raises(ConfigError, match="check 'broken' \\(nowhere:Check\\) cannot be loaded"):
        types["broken"]


def test_built_in_checks_are_discovered_by_entry_point():
    assert {"spf", "dkim", "dmarc", "bayes", "rules", "gtube"} <= set(discover())
