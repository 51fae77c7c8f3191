"""`check-config`, `config show`, `config schema` and `--version` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy import __version__
from filterproxy.cli.main import app
from filterproxy.config.yaml_loader import load_yaml

GOOD = 'hostname: mx.example.org\nlisteners: [{type: http, address: "127.0.0.1:11334"}]\nchecks: {gtube: {}}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "filterproxy.yml"
    path.write_text(GOOD)
    return path


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"filterproxy {__version__}\n")


def test_a_right_configuration(config):
    result = run("check-config", "-c", str(config))
    assert (result.exit_code, result.stdout) == (0, f"{config}: OK\n")


def test_it_is_found_in_the_working_directory(config, monkeypatch):
    monkeypatch.chdir(config.parent)
    monkeypatch.delenv("FILTERPROXY_CONFIG", raising=False)
    assert run("check-config").stdout == "filterproxy.yml: OK\n"


def test_every_error_is_listed(config):
    config.write_text(GOOD + "workers: -1\nscoers: {}\n")
    result = run("check-config", "-c", str(config))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{config}:4:10: workers: must be greater than or equal to 0 (got -1)",
        f"{config}:5:1: scoers: unknown key (did you mean 'scores'?)",
    ]


def test_what_only_the_checks_know_is_found_too(config):
    config.write_text(GOOD + "scores: {NO_SUCH_SYMBOL: 3}\n")
    result = run("check-config", "-c", str(config))
    assert result.exit_code == 1
    assert "NO_SUCH_SYMBOL" in result.stderr


def test_without_a_listener_there_is_nothing_to_run(config):
    config.write_text("checks: {gtube: {}}\n")
    result = run("check-config", "-c", str(config))
    assert result.exit_code == 1
    assert "listeners: there is nothing to listen on" in result.stderr


def test_a_missing_file(tmp_path):
    result = run("check-config", "-c", str(tmp_path / "none.yml"))
    assert (result.exit_code, result.stderr) == (1, f"{tmp_path}/none.yml: no such file\n")


def test_show_prints_a_configuration_that_means_the_same(config, tmp_path):
    shown = run("config", "show", "-c", str(config))
    assert shown.exit_code == 0
    again = tmp_path / "again.yml"
    again.write_text(shown.stdout)
    assert run("config", "show", "-c", str(again)).stdout == shown.stdout


def test_show_says_where_values_come_from(config):
    lines = run("config", "show", "--origin", "-c", str(config)).stdout.splitlines()
    assert next(line for line in lines if line.startswith("hostname:")).endswith(f"# {config}:1")
    assert next(line for line in lines if line.startswith("deadline:")).endswith("# default")


def test_show_explains_a_wrong_file(config):
    config.write_text("mode: off\n")
    result = run("config", "show", "-c", str(config))
    assert result.exit_code == 2
    assert f"{config}:1:7: mode: unknown value 'off' (valid: enforce, observe)" in result.stderr


def test_schema_is_json_with_every_installed_check():
    from filterproxy.pipeline import discover

    result = run("config", "schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert set(schema["properties"]["checks"]["properties"]) == set(discover())


def test_what_show_prints_is_yaml(config):
    assert load_yaml(run("config", "show", "-c", str(config)).stdout, "f").data["checks"].keys() == {"gtube"}
