"""Fixtures that start real servers on loopback: Postfix, `filterproxy run`, DNS.

Each is a factory: a test starts what it needs, and all of it is stopped at the test's end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from filterproxy.testing.dns_server import DnsServer
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.server import FilterproxyServer

HERE = Path(__file__).parent
_SERVERS = pytest.StashKey[list[Postfix | FilterproxyServer]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the servers that a failed test had started to what is told of it."""
    report = yield
    if report.when == "call" and report.failed:
        for server in item.stash.get(_SERVERS, []):
            report.sections.append((f"log of {type(server).__name__} in {server.root.name}", server.log()))
    return report


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> list[Postfix | FilterproxyServer]:
    """The servers with a log that the test has started."""
    return request.node.stash.setdefault(_SERVERS, [])


@pytest.fixture
def system_dir() -> Iterator[Path]:
    """A folder that other users can reach, unlike tmp_path."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture
def postfix(system_dir: Path, servers: list[Postfix | FilterproxyServer]) -> Iterator[Callable[..., Postfix]]:
    """Start a Postfix: `postfix(milters=…, proxy_filter=…, content_filter=…, settings=…)`, see postfix.py."""
    reason = missing()
    if reason:
        pytest.fail(reason)
    started: list[Postfix] = []

    def start(**options: Any) -> Postfix:
        started.append(Postfix(system_dir / f"postfix{len(started)}", **options))
        servers.append(started[-1])
        return started[-1].start()

    yield start
    for instance in started:
        instance.stop()


@pytest.fixture
def filterproxy_server(
    system_dir: Path, servers: list[Postfix | FilterproxyServer]
) -> Iterator[Callable[..., FilterproxyServer]]:
    """Start `filterproxy run` on a configuration given as a dictionary, see tests/system/server.py."""
    started: list[FilterproxyServer] = []

    def start(config: Mapping[str, Any]) -> FilterproxyServer:
        started.append(FilterproxyServer(system_dir / f"filterproxy{len(started)}", config))
        servers.append(started[-1])
        return started[-1].start()

    yield start
    statuses = [server.stop() for server in started]
    assert not any(statuses), f"exit statuses {statuses}"


@pytest.fixture
def dns_server() -> Iterator[Callable[..., DnsServer]]:
    """Start a DNS server: `dns_server({"example.org": {"TXT": ["v=spf1 -all"]}})`, see filterproxy.testing."""
    started: list[DnsServer] = []

    def start(zones: Mapping[str, Mapping[str, Any]], **options: Any) -> DnsServer:
        started.append(DnsServer(zones, **options))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()
