"""The example plugin, installed as its README says, is found, enabled by its line and fires."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "hello_check"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Return a folder with the example installed into it."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(EXAMPLE)], check=True, capture_output=True, text=True)
    return target


def filterproxy(installed: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", "from filterproxy.cli.main import main; main()", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=60, check=False)


def test_it_fires_when_enabled(installed, tmp_path):
    config = tmp_path / "filterproxy.yml"
    config.write_text("checks:\n  hello: {greetings: [servus]}\n")
    scanned = filterproxy(installed, "scan", "--json", "-c", str(config), "-", stdin=b"Subject: Servus!\r\n\r\nx\r\n")
    assert scanned.returncode == 0, scanned.stderr.decode()
    symbols = json.loads(scanned.stdout)["symbols"]
    assert [(item["name"], item["score"], item["options"]) for item in symbols] == [("HELLO", -0.5, ["servus"])]


def test_installed_is_not_enabled(installed, tmp_path):
    config = tmp_path / "filterproxy.yml"
    config.write_text("checks:\n  gtube: {}\n")
    scanned = filterproxy(installed, "scan", "--json", "-c", str(config), "-", stdin=b"Subject: Hello\r\n\r\nx\r\n")
    assert json.loads(scanned.stdout)["symbols"] == []


def test_a_wrong_key_names_the_check_and_the_right_key(installed, tmp_path):
    config = tmp_path / "filterproxy.yml"
    config.write_text("checks:\n  hello: {greeting: [servus]}\n")
    checked = filterproxy(installed, "check-config", "-c", str(config))
    assert checked.returncode == 1
    output = (checked.stdout + checked.stderr).decode()
    assert f"{config}:2" in output
    assert "greetings" in output
