"""The JSON Schema that editors use: it takes what the loader takes, and refuses what is plainly wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from filterproxy.config.paths import installed_data
from filterproxy.config.yaml_loader import read_yaml
from filterproxy.ruleset.schema import json_schema

SHIPPED = sorted((installed_data() / "rules").glob("*.yml"))
BAD = Path(__file__).parents[2] / "bad_configs" / "rules"


@pytest.fixture(scope="module")
def validator():
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_takes_the_shipped_rules(validator, path):
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(read_yaml(path).data)] == []


@pytest.mark.parametrize(
    "name",
    ["unknown_key", "wrong_type", "unknown_matcher", "bad_action", "unknown_section", "missing_match", "bad_direction",
     "bad_per", "unknown_composite_key", "bad_list_target", "bad_result_word", "bad_identity", "bad_group_limit"],
)  # fmt: skip
def test_it_refuses_what_is_plainly_wrong(validator, name):
    assert list(validator.iter_errors(read_yaml(BAD / f"{name}.yml").data))
