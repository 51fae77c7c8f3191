"""The composition root: a configuration becomes a pipeline, and a wrong name in it is found before mail is."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.app.compose import OpenPipeline, load_config, open_pipeline
from filterproxy.core.action import Action
from filterproxy.core.errors import ConfigError
from filterproxy.pipeline import Delivery
from filterproxy.testing import make_transaction
from tests.unit.app.helpers import write_config

GTUBE = b"Subject: x\r\n\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"


async def scan(opened: OpenPipeline, raw: bytes) -> Action:
    transaction = make_transaction(mail_from="a@example.org", rcpt_to=["b@example.net"])
    return (await opened.pipeline.begin(transaction, Delivery("test")).finish(raw)).action


async def test_settings_reach_the_policy(tmp_path: Path) -> None:
    text = "actions: {add_header: 2, reject: 2000}\nscores: {GTUBE: 3}\n"
    text += "force_actions: {GTUBE: discard}\nchecks: {gtube: {}}\n"
    async with open_pipeline(write_config(tmp_path, text), offline=True) as opened:
        policy = opened.pipeline.policy
        assert policy.thresholds == {Action.ADD_HEADER: 2.0, Action.REJECT: 2000.0}
        assert policy.score_of("GTUBE") == 3.0
        assert await scan(opened, GTUBE) is Action.DISCARD
        assert await scan(opened, b"Subject: x\r\n\r\nhello\r\n") is Action.NO_ACTION
        assert opened.site.offline


async def test_our_own_mail_has_its_profiles(tmp_path: Path) -> None:
    text = (
        "actions: {add_header: 2, reject: 2000}\nchecks: {gtube: {}}\nforce_actions: {GTUBE: no action}\n"
        "profiles:\n  authenticated: {actions: {reject: 900}, headers: never, smtp_auth: true}\n"
        "  local: {scores: {GTUBE: 1}, headers: always}\n"
    )
    async with open_pipeline(write_config(tmp_path, text), offline=True) as opened:
        profiles = opened.pipeline.profiles
        assert profiles.outside.policy is opened.pipeline.policy
        assert profiles.authenticated.policy.thresholds == {Action.REJECT: 900.0}
        assert (profiles.authenticated.marks, profiles.authenticated.names_user) == ("never", True)
        assert profiles.local.policy.thresholds == {Action.ADD_HEADER: 2.0, Action.REJECT: 2000.0}
        assert profiles.local.policy.score_of("GTUBE") == 1.0
        assert (profiles.local.marks, profiles.local.authentication_results) == ("always", False)


async def test_the_same_message_is_judged_by_its_profile(tmp_path: Path) -> None:
    text = (
        "checks: {gtube: {}}\nforce_actions: {}\nscores: {GTUBE: 5}\nactions: {add_header: 4}\n"
        "profiles: {authenticated: {actions: {reject: 5}}, local: {scores: {GTUBE: 0}}}\n"
    )
    async with open_pipeline(write_config(tmp_path, text), offline=True) as opened:
        actions = []
        for sender in ({}, {"user": "anna"}, {"local": True}):
            scan = opened.pipeline.begin(make_transaction(**sender), Delivery("test"))
            actions.append((await scan.scan(GTUBE)).score)
        assert actions == [5.0, 5.0, 0.0]


async def test_a_check_whose_failure_asks_for_a_soft_reject_is_known_to_the_policy(tmp_path: Path) -> None:
    text = "checks: {gtube: {on_failure: soft reject}, helo: {}}\n"
    async with open_pipeline(write_config(tmp_path, text), offline=True) as opened:
        assert opened.pipeline.policy.soft_reject_on_failure == {"gtube"}


_POLICY = 'listeners: [{type: policy, address: "127.0.0.1:1", force_actions: {GTUEB: reject}}]'


@pytest.mark.parametrize(
    "key", ["scores: {GTUEB: 3}", "force_actions: {GTUEB: reject}", "profiles: {local: {scores: {GTUEB: 3}}}", _POLICY]
)
async def test_a_symbol_that_nobody_declares_is_an_error_with_its_place(tmp_path: Path, key: str) -> None:
    path = write_config(tmp_path, f"{key}\nchecks: {{gtube: {{}}}}\n")
    with pytest.raises(ConfigError) as raised:
        async with open_pipeline(path, offline=True):
            pytest.fail("it opened")
    assert str(raised.value).startswith(f"{path}:3:")
    assert "no enabled check declares this symbol (did you mean GTUBE?)" in str(raised.value)


async def test_a_score_of_a_check_that_is_switched_off_is_no_error(tmp_path: Path) -> None:
    path = write_config(tmp_path, "scores: {SPF_FAIL: 3}\nchecks: {gtube: {}}\n")
    async with open_pipeline(path, offline=True) as opened:
        assert "SPF_FAIL" not in opened.pipeline.checks.symbols


async def test_a_command_writes_nothing_into_the_state_folder(tmp_path: Path) -> None:
    path = write_config(tmp_path, "checks: {gtube: {}}\n")
    async with open_pipeline(path, offline=True) as opened:
        await scan(opened, GTUBE)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_check_that_is_only_named_is_found_without_importing_the_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'gtube'"):
        load_config(write_config(tmp_path, "checks: {gtueb: {}}\n"))
