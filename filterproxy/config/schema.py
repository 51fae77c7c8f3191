"""The JSON Schema of the configuration, for editors: completion, descriptions, and errors while typing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from filterproxy.config.models import Settings
from filterproxy.core.check import CheckConfig


def json_schema(check_types: Mapping[str, type[CheckConfig]]) -> dict[str, Any]:
    """Return the schema of the whole file with the settings of every installed check."""
    schema = Settings.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    checks = {name: _check(name, check_types[name], definitions) for name in check_types}
    schema["properties"]["checks"] |= {"type": "object", "properties": checks, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "filterproxy.yml",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _check(name: str, config_type: type[CheckConfig], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one check's settings; what it refers to moves to names of its own in `definitions`."""
    prefix = f"checks.{name}."
    schema = config_type.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[prefix + inner] = definition
    definitions[f"checks.{name}"] = schema
    return {"anyOf": [{"$ref": f"#/$defs/checks.{name}"}, {"type": "null"}, {"const": False}]}
