"""Everything a check may ask of its context, without files, network or threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filterproxy.core.check import CheckContext
from filterproxy.core.ports import Site
from filterproxy.testing.clock import FakeClock
from filterproxy.testing.resolver import FakeResolver

P = ParamSpec("P")
T = TypeVar("T")


class MemoryStore:
    """A Store in a dictionary; `ttl` is kept but never expires anything."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}

    async def get(self, namespace: str, key: str) -> bytes | None:
        """Return the value or None."""
        return self.values.get((namespace, key))

    async def put(self, namespace: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep the value."""
        self.values[namespace, key] = value


class FakeScanPool:
    """A ScanPool that runs the function where it stands."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result."""
        return function(*args, **kwargs)


class RecordingLog:
    """A Log that keeps its lines in `lines`, for tests to read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *args: object) -> None:
        """Keep a warning."""
        self.lines.append("warning: " + message % args)

    def info(self, message: str, *args: object) -> None:
        """Keep a remark."""
        self.lines.append("info: " + message % args)


def make_site(**overrides: Any) -> Site:
    """Return a Site for mx.example.org whose folders do not exist unless they are given."""
    defaults: dict[str, Any] = {
        "hostname": "mx.example.org",
        "base_dir": Path("/nonexistent"),
        "state_dir": Path("/nonexistent"),
    }
    return Site(**(defaults | overrides))


def make_context(*, site: Site | None = None, **overrides: Any) -> CheckContext:
    """Return a CheckContext of fakes; name a port (`resolver=…`, `clock=…`) to replace it."""
    defaults: dict[str, Any] = {
        "resolver": FakeResolver(),
        "store": MemoryStore(),
        "scan_pool": FakeScanPool(),
        "clock": FakeClock(),
        "log": RecordingLog(),
        "site": site or make_site(),
    }
    return CheckContext(**(defaults | overrides))
