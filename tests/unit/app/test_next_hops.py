"""What a next hop needs on this machine is looked at before the service starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from filterproxy.app.compose import load_config
from filterproxy.app.next_hops import check_next_hops
from filterproxy.cli.main import app
from filterproxy.core.errors import ConfigError


def site(folder: Path, next_hop: Any) -> Path:
    path = folder / "filterproxy.yml"
    listener = {"type": "smtp", "address": "127.0.0.1:1", "next_hop": next_hop}
    http = {"type": "http", "address": "127.0.0.1:2"}
    path.write_text(yaml.safe_dump({"listeners": [listener, http], "checks": {"gtube": {}}}))
    return path


HOP = {"provider": "tim", "username": "ann@tim.it", "password_file": "secret"}


def test_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "secret").chmod(0o640)
    check_next_hops(load_config(site(tmp_path, {"address": "127.0.0.1:25", "routes": {"a.example": HOP}})))
    result = CliRunner().invoke(app, ["check-config", "-c", str(tmp_path / "filterproxy.yml")])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("hunter2\n", 0o644, "may be read or changed by others (mode 644)"),
        ("\n", 0o600, "is empty: its first line must be the password or token"),
        (None, 0, "No such file or directory"),
    ],
    ids=["open to others", "empty", "absent"],
)
@pytest.mark.parametrize("command", ["check-config", "run"])
def test_a_secret_file(tmp_path: Path, text: str | None, mode: int, reason: str, command: str) -> None:
    if text is not None:
        (tmp_path / "secret").write_text(text)
        (tmp_path / "secret").chmod(mode)
    path = site(tmp_path, HOP)
    with pytest.raises(ConfigError):
        check_next_hops(load_config(path))
    result = CliRunner().invoke(app, [command, "-c", str(path)])
    assert result.exit_code == 1
    assert "listeners[0].next_hop.password_file: " in result.stderr
    assert reason in result.stderr
    assert "hunter2" not in result.output


def test_a_ca_file(tmp_path: Path) -> None:
    path = site(tmp_path, {"address": "smtps://mail.example.org", "ca_file": "nowhere.pem"})
    result = CliRunner().invoke(app, ["check-config", "-c", str(path)])
    assert result.exit_code == 1
    assert "listeners[0].next_hop: cannot use the ca_file" in result.stderr
    assert "No such file" in result.stderr
