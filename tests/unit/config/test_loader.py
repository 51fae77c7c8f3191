"""Loading: merging, includes, origins, what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import Field

from filterproxy.config.loader import load
from filterproxy.config.models import DEFAULT_CHECKS
from filterproxy.core.action import Action
from filterproxy.core.check import CheckConfig
from filterproxy.core.errors import ConfigError, ConfigErrors


class ArcConfig(CheckConfig):
    trusted_sealers: tuple[str, ...] = ()


TYPES = {**dict.fromkeys(DEFAULT_CHECKS, CheckConfig), "arc": ArcConfig}


def write(folder: Path, text: str, name: str = "filterproxy.yml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_a_file_everything_is_a_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load(None, TYPES)
    assert loaded.path is None
    assert loaded.base_dir == tmp_path
    assert set(loaded.checks) == set(DEFAULT_CHECKS)
    assert loaded.settings.actions == {Action.ADD_HEADER: 6.0, Action.REJECT: 15.0}
    assert loaded.origin("deadline") == "default"
    assert loaded.state_dir == Path("/var/lib/filterproxy")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}\n"])
def test_an_empty_file_is_the_defaults(tmp_path, text):
    assert load(write(tmp_path, text), TYPES).settings == load(None, TYPES).settings


def test_the_documented_example(tmp_path):
    loaded = load(
        write(
            tmp_path,
            """
hostname: mx.example.org
listeners:
  - type: smtp
    address: "127.0.0.1:10025"
    mode: before_queue
    next_hop: "127.0.0.1:10026"
  - {type: milter, address: "unix:/run/filterproxy/milter.sock"}
  - {type: http, address: "[::1]:11334"}
trusted_networks: [127.0.0.0/8, "::1"]
mode: enforce
workers: 0
deadline: 20s
max_scan_size: 10MB
dns: {nameservers: ["127.0.0.1:53"], timeout: 2s}
store: sqlite:state/s.db
history_retention: 30d
log: {to: stderr}
actions: {add_header: 5, reject: 12, rewrite subject: 8}
scores: {SPF_FAIL: 2.0}
force_actions: {GTUBE: reject}
checks:
  spf:
  arc: {trusted_sealers: [x.example]}
""",
        ),
        TYPES,
    )
    settings = loaded.settings
    assert [str(listener.address) for listener in settings.listeners] == [
        "127.0.0.1:10025",
        "unix:/run/filterproxy/milter.sock",
        "[::1]:11334",
    ]
    assert (settings.deadline, settings.max_scan_size, settings.history_retention) == (20.0, 10_000_000, 30 * 86400)
    assert settings.actions == {Action.ADD_HEADER: 5, Action.REJECT: 12, Action.REWRITE_SUBJECT: 8}
    assert settings.force_actions == {"GTUBE": Action.REJECT}
    assert loaded.store_path == tmp_path / "state/s.db"
    assert loaded.state_dir == tmp_path / "state"
    assert loaded.checks == {"spf": CheckConfig(), "arc": ArcConfig(trusted_sealers=("x.example",))}


def test_maps_are_merged_with_the_defaults(tmp_path):
    loaded = load(write(tmp_path, "actions: {reject: 20}\n"), TYPES)
    assert loaded.settings.actions == {Action.ADD_HEADER: 6.0, Action.REJECT: 20.0}
    assert loaded.origin("actions.add_header") == "default"
    assert loaded.origin("actions.reject") == f"{tmp_path}/filterproxy.yml:1"


def test_a_threshold_can_be_put_out_of_reach(tmp_path):
    assert load(write(tmp_path, "actions: {reject: .inf}\n"), TYPES).settings.actions[Action.REJECT] == float("inf")


def test_included_files_lie_below_in_order(tmp_path):
    write(tmp_path, "scores: {A: 1, B: 1, C: 1}\nlocal_domains: [a.example, b.example]\nworkers: 1\n", "one.yml")
    write(tmp_path, "scores: {B: 2, C: 2}\nworkers: 2\n", "two.yml")
    path = write(tmp_path, "include: [one.yml, two.yml]\nscores: {C: 3}\nlocal_domains: [c.example]\n")
    loaded = load(path, TYPES)
    assert loaded.settings.scores == {"A": 1, "B": 2, "C": 3}
    assert loaded.settings.local_domains == {"c.example"}
    assert loaded.settings.workers == 2
    assert loaded.origin("scores.A") == f"{tmp_path}/one.yml:1"
    assert loaded.origin("scores.B") == f"{tmp_path}/two.yml:1"
    assert loaded.origin("scores.C") == f"{tmp_path}/filterproxy.yml:2"
    assert loaded.origin(("workers",)) == f"{tmp_path}/two.yml:2"


def test_an_include_may_be_a_pattern_and_include_further(tmp_path):
    write(tmp_path, "workers: 1\n", "conf.d/10.yml")
    write(tmp_path, "include: [deep.yml]\nworkers: 2\n", "conf.d/20.yml")
    write(tmp_path, "scores: {A: 5}\n", "conf.d/deep.yml")
    loaded = load(write(tmp_path, "include: ['conf.d/[0-9]*.yml', 'none.d/*.yml']\n"), TYPES)
    assert (loaded.settings.workers, loaded.settings.scores) == (2, {"A": 5})
    assert loaded.settings.include == ("conf.d/[0-9]*.yml", "none.d/*.yml")


def test_relative_paths_start_at_the_named_file(tmp_path):
    write(tmp_path, "store: sqlite:s.db\n", "sub/included.yml")
    assert load(write(tmp_path, "include: [sub/included.yml]\n"), TYPES).store_path == tmp_path / "s.db"


def test_a_cycle_of_includes_is_an_error(tmp_path):
    write(tmp_path, "include: [filterproxy.yml]\n", "other.yml")
    with pytest.raises(ConfigError, match=r"other.yml:1:11: include\[0\]: .* includes itself"):
        load(write(tmp_path, "include: [other.yml]\n"), TYPES)


def test_the_same_file_may_be_included_twice_beside_itself(tmp_path):
    write(tmp_path, "workers: 3\n", "base.yml")
    write(tmp_path, "include: [base.yml]\n", "a.yml")
    write(tmp_path, "include: [base.yml]\n", "b.yml")
    assert load(write(tmp_path, "include: [a.yml, b.yml]\n"), TYPES).settings.workers == 3


def test_an_error_in_an_included_file_names_that_file(tmp_path):
    write(tmp_path, "\n\nworkers: x\n", "inc.yml")
    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, "include: [inc.yml]\n"), TYPES)
    assert str(caught.value).startswith(f"{tmp_path}/inc.yml:3:10: workers: ")


def test_naming_checks_replaces_the_default_set(tmp_path):
    assert set(load(write(tmp_path, "checks: {spf: {}}\n"), TYPES).checks) == {"spf"}
    assert load(write(tmp_path, "checks: {}\n"), TYPES).checks == {}


def test_false_takes_back_a_check_of_an_included_file(tmp_path):
    write(tmp_path, "checks: {spf: {timeout: 3s}, dkim: {}}\n", "base.yml")
    loaded = load(write(tmp_path, "include: [base.yml]\nchecks: {dkim: false, spf: }\n"), TYPES)
    assert loaded.checks == {"spf": CheckConfig(timeout=3)}


def test_a_key_without_a_value_is_as_if_it_were_not_there(tmp_path):
    assert load(write(tmp_path, "dns:\nscores:\nhostname:\nlisteners:\n"), TYPES).settings == load(None, TYPES).settings


def test_a_type_is_looked_up_only_for_a_check_that_is_named(tmp_path):
    class Types(Mapping[str, type[CheckConfig]]):
        def __getitem__(self, name):
            if name == "broken":
                raise ConfigError("check 'broken' cannot be loaded: no module")
            return CheckConfig

        def __iter__(self):
            return iter(("spf", "broken"))

        def __len__(self):
            return 2

        def __contains__(self, name):
            return name in ("spf", "broken")

    assert list(load(write(tmp_path, "checks: {spf: {}}\n"), Types()).checks) == ["spf"]
    with pytest.raises(ConfigErrors, match=r"filterproxy.yml:1:10: checks.broken: check 'broken' cannot be loaded"):
        load(write(tmp_path, "checks: {broken: {}}\n"), Types())


def test_errors_of_a_check_are_placed_in_the_file(tmp_path):
    class Inner(CheckConfig):
        number: int = Field(ge=3)

    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, "checks:\n  x:\n    number: 1\n    numer: 2\n"), {"x": Inner})
    assert [str(error).partition("yml:")[2] for error in caught.value.errors] == [
        "3:13: checks.x.number: must be greater than or equal to 3 (got 1)",
        "4:5: checks.x.numer: unknown key (did you mean 'number'?)",
    ]


def test_later_errors_can_be_placed_too(tmp_path):
    loaded = load(write(tmp_path, "checks:\n  spf: {}\n"), TYPES)
    error = loaded.error(("checks", "spf"), "cannot start", of_key=True)
    assert str(error) == f"{tmp_path}/filterproxy.yml:2:3: checks.spf: cannot start"
    assert str(loaded.error(("deadline",), "is odd")) == "deadline: is odd"
