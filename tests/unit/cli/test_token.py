"""The command that makes a token for the JSON API: what it prints is what the configuration takes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from typer.testing import CliRunner

from filterproxy.cli.main import app
from filterproxy.config.listeners import ApiToken
from filterproxy.config.yaml_loader import load_yaml

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


def made(*arguments: str) -> tuple[str, ApiToken]:
    done = CliRunner().invoke(app, ["token", *arguments])
    assert done.exit_code == 0, done.output
    token, line = done.output.splitlines()
    return token, ApiToken.model_validate(load_yaml(line.removeprefix("# "), "x.yml").data[0])


def test_the_line_is_the_tokens() -> None:
    token, entry = made('my "script"', "--scope", "read", "--scope", "write")
    assert (entry.name, entry.scopes) == ('my "script"', {"read", "write"})
    assert entry.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert re.fullmatch(r"fp_[A-Za-z0-9_-]{43}", token)
    assert made("x")[1].scopes == {"scan"}
    assert made("x")[0] != made("x")[0]


def test_wrong_usage() -> None:
    for arguments in (["x", "--scope", "everything"], ["x" * 65], [""], []):
        assert CliRunner().invoke(app, ["token", *arguments]).exit_code == 2


def test_the_documented_token_has_the_documented_hash() -> None:
    text = DOCS.read_text(encoding="utf-8")
    (token,) = re.findall(r"^fp_\S+$", text, re.MULTILINE)
    assert set(re.findall(r"sha256: ([0-9a-f]+)", text)) == {hashlib.sha256(token.encode()).hexdigest()}
