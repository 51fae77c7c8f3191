"""The JSON API under /api/v1: who may ask what, and what every request has in common.

The rule: one table (OPERATIONS) is what is served and what the description says; an operation gets checked values and
returns a model, and whatever goes wrong is a problem document (RFC 9457) with the request's id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from filterproxy.core.errors import FilterproxyError
from filterproxy.listeners.api_description import describe
from filterproxy.listeners.api_messages import MessageOperations
from filterproxy.listeners.api_models import Problem
from filterproxy.listeners.api_operation import OPEN, ApiError, Asked, Operation
from filterproxy.listeners.api_status import StatusOperations
from filterproxy.listeners.http_access import client_network, is_trusted
from filterproxy.listeners.http_body import discard_body, read_body
from filterproxy.listeners.http_scan import LISTENER, HttpShared
from filterproxy.listeners.session_id import new_session_id
from filterproxy.protocols import rspamd_http
from filterproxy.protocols.rspamd_http import RefusedRequestError

PREFIX = "/api/v1"
M = TypeVar("M", bound=BaseModel)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_TOKEN = 1024
# Base64 and JSON's escapes: a message takes no more than this in JSON, or it is sent as it is.
_JSON_FACTOR, _JSON_MORE = 2, 256 * 1024


def make_api(shared: HttpShared, serving: Callable[[], bool]) -> Starlette:
    """Return the application to be mounted at PREFIX."""
    operations = [*MessageOperations(shared).table(), *StatusOperations(shared, serving).table()]
    api = Api(shared)
    described = rspamd_http.encode(describe(operations, PREFIX))

    async def description(request: Request) -> Response:
        return Response(described, media_type="application/json", headers={"X-Request-Id": _request_id(request)})

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(request, error.status_code, error.detail, headers=error.headers)

    routes = [Route(item.path, api.endpoint(item), methods=[item.method]) for item in operations]
    app = Starlette(
        routes=[*routes, Route("/openapi.json", description, methods=["GET"])],
        exception_handlers={HTTPException: failed},
    )
    app.router.redirect_slashes = False
    return app


def problem(
    request: Request,
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document."""
    identity = _request_id(request)
    data = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=identity, errors=errors)
    body = rspamd_http.encode(data.model_dump(exclude_none=True))
    return Response(body, status, {**(headers or {}), "X-Request-Id": identity}, media_type="application/problem+json")


def _request_id(request: Request) -> str:
    """Return the client's own id for the request when it is a fit one, else a new one; the same for all of it."""
    if not hasattr(request.state, "request_id"):
        given = request.headers.get("x-request-id", "")
        request.state.request_id = given if _REQUEST_ID.fullmatch(given) else new_session_id()
    identity: str = request.state.request_id
    return identity


class Api:
    """What goes before and after each operation."""

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared
        self._busy = 0

    def endpoint(self, operation: Operation) -> Callable[[Request], Any]:
        """Return the endpoint of an operation."""

        async def serve(request: Request) -> Response:
            try:
                return await self._serve(operation, request)
            except ApiError as error:
                return problem(request, error.status, error.detail, error.errors, error.headers)
            except RefusedRequestError as error:
                self._note(request, error)
                # The body may not have been read: what follows on the connection is not the next request.
                return problem(request, error.status, error.reason, headers={"Connection": "close"})
            except FilterproxyError as error:
                self._shared.context.log.warning("http", f"{operation.name} failed: {error.reason}")
                return problem(request, 503, "this cannot be done now; the log says why", headers={"Retry-After": "5"})
            except Exception as error:  # noqa: BLE001 - a bug of ours, in the log
                self._shared.context.log.internal_error(f"http {_request_id(request)}", error)
                self._shared.context.metrics.internal_error()
                return problem(request, 500, "an error of the filter itself; the log says more")

        return serve

    def _note(self, request: Request, error: RefusedRequestError) -> None:
        self._shared.context.metrics.protocol_error(LISTENER)
        self._shared.context.log.session_error(_request_id(request), f"{error.status} {error.reason}")

    async def _serve(self, operation: Operation, request: Request) -> Response:
        if operation.scope is not OPEN:
            try:
                self._admit(request, operation.scope)
            except ApiError:
                await discard_body(request)
                raise
        if not operation.heavy:
            return await self._answer(operation, request)
        if self._busy >= self._shared.config.api.requests:
            await discard_body(request)
            raise ApiError(503, "too many messages at once", headers={"Retry-After": "1"})
        self._busy += 1
        try:
            return await self._answer(operation, request)
        finally:
            self._busy -= 1

    async def _answer(self, operation: Operation, request: Request) -> Response:
        asked = Asked(_request_id(request), dict(request.path_params))
        await self._read(operation, request, asked)
        asked.query = _checked_query(operation.query, request)
        status, answer = await operation.function(asked)
        headers = {"X-Request-Id": asked.request_id, "Cache-Control": "no-store"}
        body = rspamd_http.encode(answer.model_dump(by_alias=True))
        return Response(body, status, headers, media_type="application/json")

    async def _read(self, operation: Operation, request: Request, asked: Asked) -> None:
        """Read the body: JSON, or a message as it is."""
        if not operation.bodies:
            return
        limits = self._shared.config.limits
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            await discard_body(request)
            raise ApiError(415, "send the body without Content-Encoding")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = kind in operation.media_types[1:]
        if kind not in operation.media_types:
            await discard_body(request)
            raise ApiError(415, f"Content-Type must be one of: {', '.join(operation.media_types)}")
        limit = limits.message_size if raw else limits.message_size * _JSON_FACTOR + _JSON_MORE
        body = await read_body(request, limit, limits.request_timeout)
        if raw:
            asked.message = body
            return
        asked.body = await self._parsed(operation.bodies, body)
        asked.message = getattr(asked.body, "octets", b"")
        if len(asked.message) > limits.message_size:
            raise ApiError(413, f"the message is larger than {limits.message_size} octets")

    async def _parsed(self, models: tuple[type[BaseModel], ...], body: bytes) -> BaseModel:
        # With two forms of a message the key says which one it is.
        base64 = len(models) > 1 and b'"message_base64"' in body and b'"message"' not in body
        model = models[1] if base64 else models[0]
        pool = self._shared.pipelines().scan_pool
        try:
            if len(body) > _JSON_MORE:
                return await pool.run(model.model_validate_json, body, strict=True)
            return model.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise _invalid(error, "body") from error

    def _admit(self, request: Request, scope: str) -> None:
        """Return when the client may use this scope; raise ApiError otherwise."""
        access, settings, context = self._shared.access, self._shared.config.api, self._shared.context
        token = _bearer(request)
        if token is None:
            if settings.trusted and is_trusted(request, context.site):
                return
            raise _unauthorized("a bearer token is needed")
        client = client_network(request)
        try:
            access.refuse_guessing(client)
        except RefusedRequestError as error:
            window = int(self._shared.config.limits.password_failure_window) + 1
            raise ApiError(429, error.reason, headers={"Retry-After": str(window)}) from error
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = [known for known in settings.tokens if hmac.compare_digest(known.sha256, digest)]
        context.metrics.authenticated(ok=bool(found))
        if not found:
            access.count_failure(client)
            raise _unauthorized("the token is not known")
        if not any(scope in known.scopes for known in found):
            raise ApiError(403, f"the token has not the scope {scope}")


def _bearer(request: Request) -> str | None:
    """Return the bearer token (RFC 6750), None without an Authorization field; any other scheme is a wrong token."""
    value = request.headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and len(token) <= _LONGEST_TOKEN else ""


def _unauthorized(detail: str) -> ApiError:
    return ApiError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="filterproxy"'})


def _checked_query(model: type[M], request: Request) -> M:
    """Return the query as the model has it; raise ApiError naming what is wrong with it."""
    data: dict[str, Any] = {}
    lists = {name for name, field in model.model_fields.items() if "tuple" in str(field.annotation)}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name in lists:
            data[name] = values
        elif len(values) > 1:
            raise ApiError(422, "the query is not valid", [{"where": ["query", name], "reason": "is given twice"}])
        else:
            data[name] = values[0]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _invalid(error, "query") from error


def _invalid(error: ValidationError, place: str) -> ApiError:
    """Return the error for data that is not as the description says; it tells places and reasons, never values."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return ApiError(400, "the body is no JSON")
    errors = [{"where": [place, *map(str, item["loc"])], "reason": item["msg"]} for item in details[:20]]
    return ApiError(422, f"the {place} is not valid", errors)
