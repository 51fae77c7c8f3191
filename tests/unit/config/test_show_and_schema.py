"""`config show` and `config schema`: what is shown loads again, and the schema knows every key."""

from __future__ import annotations

import json

import pytest

from filterproxy.config.loader import load
from filterproxy.config.models import DEFAULT_CHECKS
from filterproxy.config.schema import json_schema
from filterproxy.config.show import effective, render
from filterproxy.config.yaml_loader import load_yaml
from filterproxy.core.check import CheckConfig

TYPES = dict.fromkeys(DEFAULT_CHECKS, CheckConfig)

TEXT = """\
hostname: "mx.example.org"
listeners:
  - {type: smtp, address: "[::1]:10025", next_hop: "unix:/run/next", on_reject: discard}
  - {type: milter, address: "unix:/run/m.sock", limits: {connections: 7}}
local_domains: [b.example, a.example]
local_networks: [192.0.2.7]
dns: {nameservers: ["::1", "192.0.2.1:5353"]}
actions: {soft_reject: 9.5, reject: .inf}
force_actions: {GTUBE: reject}
scores: {A: 1, "B": -0.25}
subject: 'yes'
checks: {spf: {timeout: 2s}, dkim: }
"""


@pytest.fixture
def loaded(tmp_path):
    path = tmp_path / "filterproxy.yml"
    path.write_text(TEXT)
    return load(path, TYPES)


@pytest.mark.parametrize("origin", [False, True])
def test_what_is_shown_means_the_same(loaded, tmp_path, origin):
    again = tmp_path / "again.yml"
    again.write_text(render(loaded, origin=origin))
    reloaded = load(again, TYPES)
    assert effective(reloaded) == effective(loaded)
    assert reloaded.settings.model_copy(update={"checks": {}}) == loaded.settings.model_copy(update={"checks": {}})
    assert reloaded.checks == loaded.checks


def test_every_value_says_where_it_came_from(loaded, tmp_path):
    lines = {}
    for line in render(loaded, origin=True).splitlines():
        shown, separator, source = line.rpartition("  # ")
        assert separator or line.endswith(":")
        lines[shown.strip() or line.strip()] = source
    assert lines["hostname: mx.example.org"] == f"{tmp_path}/filterproxy.yml:1"
    assert lines["deadline: 20"] == "default"
    assert lines["on_reject: discard"] == f"{tmp_path}/filterproxy.yml:3"
    assert lines["nul: pass"] == "default"
    assert lines['address: "unix:/run/next"'] == f"{tmp_path}/filterproxy.yml:3"
    assert lines["connect_timeout: 10"] == "default"
    assert lines["add_header: 6"] == "default"
    assert lines["soft_reject: 9.5"] == f"{tmp_path}/filterproxy.yml:8"


def test_text_that_looks_like_something_else_is_quoted(loaded):
    assert load_yaml(render(loaded), "f").data["subject"] == "yes"
    assert load_yaml(render(loaded), "f").data["actions"]["reject"] == float("inf")


def test_schema_is_json_and_knows_listeners_and_checks():
    schema = json.loads(json.dumps(json_schema(TYPES)))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"listeners", "hostname", "checks"} <= set(schema["properties"])
    assert set(schema["properties"]["checks"]["properties"]) == set(TYPES)
    assert "timeout" in schema["$defs"]["checks.spf"]["properties"]
    assert schema["additionalProperties"] is False


def test_every_reference_of_the_schema_leads_somewhere():
    schema = json_schema(TYPES)
    references = [line.split('"')[3] for line in json.dumps(schema, indent=0).splitlines() if '"$ref"' in line]
    assert references
    for reference in references:
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_every_key_is_described():
    schema = json_schema(TYPES)
    models = {"": schema, **schema["$defs"]}
    undescribed = [
        f"{model}.{key}"
        for model, body in models.items()
        for key, field in body.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undescribed == []
