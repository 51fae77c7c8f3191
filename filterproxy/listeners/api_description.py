"""The description of the JSON API (OpenAPI 3.1), made of the table of operations and their models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from filterproxy import __version__
from filterproxy.listeners.api_models import Problem
from filterproxy.listeners.api_operation import OPEN, Operation

_REFERENCE = "#/components/schemas/{model}"
_ABOUT = """\
Scan and teach messages, read the history, symbols, rules and models. A request needs a bearer token with the scope that
its operation names, or comes from a client in trusted_networks. Errors are problem documents (RFC 9457).
"""
_EVERYWHERE = {500: "An error of the filter itself."}
_WITH_SCOPE = {
    401: "There is no token, or it is not known.",
    403: "The token has not the scope.",
    429: "Too many wrong tokens from this client.",
    503: "The filter cannot do this now.",
}
_WITH_BODY = {
    400: "The body is no JSON, or did not come whole; as plain text: what came is no HTTP, or its URL is too long.",
    408: "The request did not come in time.",
    413: "The message is too large.",
    415: "The body is of another type, or compressed.",
}


def describe(operations: Sequence[Operation], prefix: str) -> dict[str, Any]:
    """Return the document; `prefix` is where the operations are."""
    paths: dict[str, Any] = {}
    for operation in operations:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "filterproxy", "version": __version__, "description": _ABOUT},
        "servers": [{"url": prefix}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    taken = {model for operation in operations for model in operation.bodies}
    given: set[type[BaseModel]] = {
        Problem,
        *(model for operation in operations for model in operation.answers.values()),
    }
    wanted: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in taken]
    wanted += [(model, "serialization") for model in given]
    wanted.sort(key=lambda pair: pair[0].__name__)
    _, schema = models_json_schema(wanted, ref_template=_REFERENCE)
    definitions: dict[str, Any] = schema.get("$defs", {})
    return definitions


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Scope: {operation.scope or 'none needed'}.",
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation),
    }
    if operation.scope is not OPEN:
        described["security"] = [{"token": []}, {}]
    if operation.bodies:
        described["requestBody"] = {"required": True, "content": _content(operation)}
    return described


def _content(operation: Operation) -> dict[str, Any]:
    forms = [{"$ref": _REFERENCE.format(model=model.__name__)} for model in operation.bodies]
    content: dict[str, Any] = {"application/json": {"schema": forms[0] if len(forms) == 1 else {"oneOf": forms}}}
    for media_type in operation.media_types[1:]:
        content[media_type] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
    return content


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
        for name in re.findall(r"\{(\w+):int\}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = operation.query.model_json_schema(ref_template=_REFERENCE)
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": found.get("description", ""),
            "schema": _inlined(found, schema.get("$defs", {})),
        }
        for name, found in schema.get("properties", {}).items()
    ]


def _inlined(found: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without `null`, which a query cannot say, and without references."""
    plain = {key: value for key, value in found.items() if key not in ("title", "description", "default")}
    choices = [choice for choice in plain.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        plain |= choices[0]
    elif choices:
        plain["anyOf"] = choices
    if "$ref" in plain:
        plain |= definitions[str(plain.pop("$ref")).rpartition("/")[2]]
    return plain


def _responses(operation: Operation) -> dict[str, Any]:
    problems = {**_EVERYWHERE, 422: "A value is not as described."}
    if operation.scope is not OPEN:
        problems |= _WITH_SCOPE
    if operation.bodies:
        problems |= _WITH_BODY
    problems |= operation.problems
    found = {str(status): _response(reason, Problem, problem=True) for status, reason in problems.items()}
    found.get("400", {}).get("content", {})["text/plain"] = {"schema": {"type": "string"}}
    for status, model in operation.answers.items():
        found[str(status)] = _response(model.__doc__ or "", model, problem=False)
    return dict(sorted(found.items()))


def _response(description: str, model: type[BaseModel], *, problem: bool) -> dict[str, Any]:
    media_type = "application/problem+json" if problem else "application/json"
    return {
        "description": description.strip(),
        "headers": {"X-Request-Id": {"schema": {"type": "string"}, "description": "The request's id, as in the log."}},
        "content": {media_type: {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}},
    }
