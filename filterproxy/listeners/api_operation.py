"""What an operation of the JSON API is: its place, its scope, what it takes and what it gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from filterproxy.listeners.api_models import NoQuery

OPEN = ""


class ApiError(Exception):
    """The request is answered with a problem document."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers


@dataclass
class Asked:
    """A request as an operation gets it, every value checked; `message` holds the octets of one."""

    request_id: str
    path: Mapping[str, Any]
    query: Any = None
    body: Any = None
    message: bytes = b""


@dataclass(frozen=True)
class Operation:
    """One operation. `bodies` are the alternatives in JSON; with `raw` the body may be the message itself.

    `scope` is OPEN for everybody. `answers` are the statuses of success with their models, `problems` the statuses of
    its own beside those of every operation. `heavy` ones are limited in number.
    """

    method: str
    path: str
    name: str
    summary: str
    scope: str
    function: Callable[[Asked], Awaitable[tuple[int, BaseModel]]]
    answers: Mapping[int, type[BaseModel]]
    query: type[BaseModel] = NoQuery
    bodies: tuple[type[BaseModel], ...] = ()
    raw: bool = False
    problems: Mapping[int, str] = field(default_factory=dict)
    heavy: bool = False

    @property
    def media_types(self) -> tuple[str, ...]:
        """Return what the body may be."""
        raw = ("message/rfc822", "application/octet-stream") if self.raw else ()
        return ("application/json", *raw)
