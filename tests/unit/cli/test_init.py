"""`init`: the written file is right, says the defaults it claims, and is never written over another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filterproxy.cli.init import configuration
from filterproxy.cli.main import app
from filterproxy.cli.postfix_lines import LINES, Mode
from filterproxy.config.loader import load
from filterproxy.config.models import DEFAULT_CHECKS, Settings
from filterproxy.core.check import CheckConfig

TYPES = dict.fromkeys((*DEFAULT_CHECKS, "dnslists"), CheckConfig)

# What is shown as an example rather than as the default.
EXAMPLES = {"mode", "scores", "force_actions", "dns"}


def run(*arguments: str):
    return CliRunner().invoke(app, ["init", *arguments])


@pytest.mark.parametrize("mode", Mode)
def test_the_file_is_right_and_the_postfix_lines_fit_it(tmp_path, mode):
    path = tmp_path / "filterproxy.yml"
    result = run("--mode", mode.value, "--output", str(path))
    assert result.exit_code == 0
    loaded = load(path, TYPES)
    listener = loaded.settings.listeners[0]
    assert str(listener.address).partition(":")[2] in LINES[mode]
    assert LINES[mode] in result.stdout
    assert "kill -HUP" in result.stdout
    assert f"check-config -c {path}" in result.stdout
    if mode is not Mode.MILTER:
        assert f"\n{listener.next_hop.address} inet" in LINES[mode]
    assert set(loaded.checks) == set(DEFAULT_CHECKS)
    assert loaded.store_path == tmp_path / "var/state.db"


def test_the_system_wide_file_keeps_its_state_in_var_lib():
    assert "store: sqlite:///var/lib/filterproxy/state.db " in configuration(
        Mode.MILTER, Path("/etc/filterproxy/filterproxy.yml")
    )


@pytest.mark.parametrize("mode", Mode)
def test_what_is_commented_out_is_the_default(tmp_path, mode):
    text = configuration(mode, tmp_path / "f.yml")
    uncommented = re.sub(r"^# (?=[a-z_]+: )", "", text, flags=re.MULTILINE)
    assert uncommented != text
    path = tmp_path / "f.yml"
    path.write_text(uncommented)
    loaded = load(path, TYPES)
    changed = {
        key
        for key in re.findall(r"^# ([a-z_]+): ", text, flags=re.MULTILINE)
        if getattr(loaded.settings, key) != getattr(Settings(), key)
    }
    assert changed <= EXAMPLES


def test_the_commented_examples_are_right_too(tmp_path):
    text = configuration(Mode.MILTER, tmp_path / "f.yml")
    uncommented = re.sub(r"^(\s*)# (?=(dns:|  nameservers|  timeout))", r"\1", text, flags=re.MULTILINE)
    path = tmp_path / "f.yml"
    path.write_text(uncommented)
    assert str(load(path, TYPES).settings.dns.nameservers[0]) == "127.0.0.1:53"


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "filterproxy.yml"
    path.write_text("mine")
    result = run("--output", str(path))
    assert result.exit_code == 1
    assert result.stderr == f"filterproxy: {path} is there already; name another file with --output\n"
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    result = run("--output", str(tmp_path / "file" / "filterproxy.yml"))
    assert result.exit_code == 75
    assert result.stderr.startswith(f"filterproxy: cannot write {tmp_path}/file/filterproxy.yml: ")


def test_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("--mode", "proxy", "--output", "-")
    assert (result.exit_code, result.stdout) == (0, configuration(Mode.PROXY, Path("-")))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mode_is_a_usage_error():
    assert run("--mode", "teapot").exit_code == 2
