"""The documentation knows everything the program has: discovered at run time, so that nothing is forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
import typer

from docs import generate
from filterproxy.app.compose import config_types
from filterproxy.cli.main import app
from filterproxy.cli.postfix_lines import LINES, Mode
from filterproxy.config.listeners import Listener
from filterproxy.config.models import Settings
from filterproxy.config.schema import json_schema
from filterproxy.config.yaml_loader import load_yaml
from filterproxy.observability.metrics import Metrics
from filterproxy.pipeline import discover
from filterproxy.pipeline.registry import outcome_symbols

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
EVERYTHING = "\n".join(TEXT[page.name] for page in PAGES if page.parent == DOCS)

OURS = {name: check for name, check in discover().items() if check.__module__.startswith("filterproxy.")}


def commands(path: str = "", command: click.Command | None = None) -> Iterator[tuple[str, click.Command]]:
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from commands(f"{path} {name}".strip(), child)
    if not children:
        yield path, command


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_the_reference_pages_say_what_the_code_says(name):
    assert (DOCS / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run: python docs/generate.py"


def test_every_setting_is_documented_and_described():
    schema = json_schema(config_types(discover()))
    models = {"settings": schema} | {
        name: body
        for name, body in schema["$defs"].items()
        if not name.startswith("checks.") or name.split(".")[1] in OURS
    }
    missing, undescribed = [], []
    for model, body in models.items():
        for key, field in body.get("properties", {}).items():
            if not re.search(rf"`[^`\n]*\b{key}`", EVERYTHING):
                missing.append(f"{model}: {key}")
            if not field.get("description"):
                undescribed.append(f"{model}: {key}")
    assert missing == []
    assert undescribed == []


def test_every_listener_type_is_documented():
    types = {model.model_fields["type"].annotation.__args__[0] for model in get_args(get_args(Listener)[0])}
    assert [name for name in types if f"## Listener `{name}`" not in EVERYTHING] == []


def test_every_check_and_symbol_is_documented():
    assert [name for name in OURS if f"## `{name}`" not in TEXT["checks.md"]] == []
    symbols = {symbol.name for check in OURS.values() for symbol in check.symbols}
    symbols |= {symbol.name for name in OURS for symbol in outcome_symbols(name)}
    assert symbols
    assert [name for name in sorted(symbols) if f"`{name}`" not in EVERYTHING] == []


def test_every_symbol_of_the_shipped_rules_is_documented():
    names = {
        item["name"]
        for path in (ROOT / "rules").glob("*.yml")
        for key, section in (load_yaml(path.read_bytes(), str(path)).data or {}).items()
        if key != "groups" and isinstance(section, list)
        for item in section
        if isinstance(item, dict) and "name" in item
    }
    assert [name for name in sorted(names) if f"`{name}`" not in TEXT["checks.md"]] == []


def test_every_command_and_option_is_documented():
    missing = []
    for path, command in commands():
        if f"## `filterproxy {path}" not in TEXT["commands.md"]:
            missing.append(path)
        for parameter in command.params:
            missing += [
                f"{path} {option}"
                for option in parameter.opts
                if option.startswith("--") and option != "--help" and option not in EVERYTHING
            ]
    assert missing == []


def test_every_command_has_help():
    assert [path for path, command in commands() if not command.help] == []


def test_every_metric_is_documented():
    names = Metrics().names()
    assert names
    assert [name for name in names if f"`{name}`" not in EVERYTHING] == []


def test_no_metric_is_documented_that_does_not_exist():
    known = set(Metrics().names())
    named = set(re.findall(r"\bfilterproxy_[a-z_]+", EVERYTHING)) - {"filterproxy_"}
    assert {name for name in named if not any(name.startswith(real) for real in known)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", TEXT[page.name]):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("mode", Mode)
def test_the_postfix_lines_are_those_that_init_prints(mode):
    block = re.search(rf"<!-- {mode.value} -->\n```\n(.*?)```", TEXT["postfix.md"], re.DOTALL)
    assert block is not None
    assert block[1] == LINES[mode]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configuration_in_the_docs_has_valid_top_level_keys(page):
    for block in re.findall(r"```ya?ml\n(.*?)```", TEXT[page.name], re.DOTALL):
        data = load_yaml(block, page.name).data
        if isinstance(data, dict) and not {"rules", "composites", "lists"} & set(data):
            assert set(data) <= set(Settings.model_fields), block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_in_the_docs_is_json(page):
    for block in re.findall(r"```json\n(.*?)```", TEXT[page.name], re.DOTALL):
        assert json.loads(block)


def test_settings_named_in_the_prose_exist():
    """`checks.NAME.key` and `listeners` keys in backticks are real; a renamed key cannot live on in the docs."""
    schema = json_schema(config_types(discover()))
    checks = {name: schema["$defs"][f"checks.{name}"]["properties"] for name in OURS}
    for name, key in re.findall(r"`checks\.([a-z]+)\.([a-z_]+)", EVERYTHING):
        assert key in checks[name], f"checks.{name}.{key}"
