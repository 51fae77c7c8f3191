"""A worker in the test's own event loop: start, health, reload in two phases, and the end in all its ways."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from filterproxy.app.control import ControlMessage, Word
from filterproxy.app.sockets import bind_all, close_all
from filterproxy.app.worker import Worker, WorkerSetup
from filterproxy.config.loader import Loaded
from filterproxy.config.models import Dns
from filterproxy.core.errors import ConfigError
from filterproxy.core.ports import Clock, DnsAnswer, DnsStatus
from filterproxy.services.resolver import OnQuery
from tests.unit.app.helpers import RecordedLog, configured

DEADLINE = 10.0


class Resolver:
    """A resolver that knows when it was closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        return DnsAnswer(DnsStatus.NXDOMAIN)

    async def close(self) -> None:
        self.closed.set()


@dataclass
class Supervised:
    """The supervisor's side of one worker."""

    folder: Path
    load: Callable[[], Loaded]
    log: RecordedLog = field(default_factory=RecordedLog)
    resolvers: list[Resolver] = field(default_factory=list)
    url: str = ""

    def open_resolver(self, dns: Dns, clock: Clock, on_query: OnQuery) -> Resolver:
        self.resolvers.append(Resolver())
        return self.resolvers[-1]

    async def start(self, loaded: Loaded) -> None:
        ours, theirs = socket.socketpair()
        self._bound = bind_all(loaded.settings.listeners)
        setup = WorkerSetup(
            1, loaded, self._bound, self.log, self.load, self.open_resolver, os.getppid(), self.folder / "metrics"
        )
        self.task = asyncio.create_task(Worker(setup, theirs).run())
        self._reader, self.writer = await asyncio.open_connection(sock=ours)

    async def tell(self, word: Word, generation: int = 0) -> None:
        self.writer.write(ControlMessage(word, generation).encode())
        await self.writer.drain()

    async def hear(self) -> ControlMessage:
        return ControlMessage.decode(await asyncio.wait_for(self._reader.readline(), DEADLINE))

    async def ended(self) -> int:
        return await asyncio.wait_for(self.task, DEADLINE)

    def close(self) -> None:
        self.writer.close()
        close_all(self._bound)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(folder: Path, load: Callable[[], Loaded] | None = None) -> AsyncIterator[Supervised]:
    port = free_port()
    listeners = f'listeners: [{{type: http, address: "127.0.0.1:{port}"}}]\n'
    loaded = configured(folder, listeners)
    supervised = Supervised(folder, load or (lambda: configured(folder, listeners)), url=f"http://127.0.0.1:{port}")
    await supervised.start(loaded)
    try:
        assert (await supervised.hear()).word is Word.READY
        yield supervised
    finally:
        supervised.writer.close()
        await supervised.ended()
        supervised.close()


async def test_a_worker_serves_until_it_is_told_to_drain(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised, httpx.AsyncClient() as client:
        assert (await client.get(f"{supervised.url}/healthz")).status_code == 200
        await supervised.tell(Word.DRAIN)
        assert await supervised.ended() == 0
        assert supervised.resolvers[0].closed.is_set()
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(f"{supervised.url}/healthz")


async def test_sigterm_drains(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        os.kill(os.getpid(), signal.SIGTERM)
        assert await supervised.ended() == 0


async def test_a_worker_whose_supervisor_is_gone_drains_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        supervised.writer.close()
        assert await supervised.ended() == 0
        assert "warning: worker: the supervisor is gone: draining" in supervised.log.lines()


async def test_a_wrong_configuration_of_a_check_fails_the_start_with_every_line(tmp_path: Path) -> None:
    loaded = configured(tmp_path, "scores: {SPF_FIAL: 2}\nchecks: {spf: {}}\n")
    supervised = Supervised(tmp_path, lambda: loaded)
    await supervised.start(loaded)
    message = await supervised.hear()
    assert message.word is Word.FAILED
    assert not message.temporary
    assert "scores.SPF_FIAL: no enabled check declares this symbol (did you mean SPF_FAIL?)" in message.lines[0]
    assert await supervised.ended() == 1
    assert supervised.resolvers[0].closed.is_set()
    supervised.close()


async def test_an_unwritable_store_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    loaded = configured(tmp_path, "", store="sqlite:blocked/state.db")
    supervised = Supervised(tmp_path, lambda: loaded)
    await supervised.start(loaded)
    message = await supervised.hear()
    assert message.word is Word.FAILED
    assert "cannot write the store" in message.lines[0]
    await supervised.ended()
    supervised.close()


async def test_a_committed_reload_closes_what_the_old_configuration_had_opened(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        await supervised.tell(Word.PREPARE, 1)
        assert await supervised.hear() == ControlMessage(Word.PREPARED, 1)
        old, new = supervised.resolvers
        assert not old.closed.is_set()
        await supervised.tell(Word.COMMIT, 1)
        await asyncio.wait_for(old.closed.wait(), DEADLINE)
        assert not new.closed.is_set()
        assert supervised.log.flush()
        assert supervised.log.sink.reopened == 1


async def test_an_aborted_reload_closes_what_the_new_configuration_had_opened(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        await supervised.tell(Word.PREPARE, 1)
        await supervised.hear()
        old, new = supervised.resolvers
        await supervised.tell(Word.ABORT, 1)
        await asyncio.wait_for(new.closed.wait(), DEADLINE)
        assert not old.closed.is_set()


async def test_a_commit_of_another_reload_is_ignored(tmp_path: Path) -> None:
    async with running(tmp_path) as supervised:
        await supervised.tell(Word.PREPARE, 2)
        await supervised.hear()
        await supervised.tell(Word.COMMIT, 1)
        await supervised.tell(Word.PREPARE, 3)
        assert await supervised.hear() == ControlMessage(Word.PREPARED, 3)
        first, second, third = supervised.resolvers
        assert (first.closed.is_set(), second.closed.is_set(), third.closed.is_set()) == (False, True, False)


@pytest.mark.parametrize(
    "error",
    [ConfigError("no such file", file="rules/x.yml"), RuntimeError("a plugin's bug: rules/x.yml: no such file")],
    ids=["ours", "a plugin's"],
)
async def test_a_reload_that_cannot_be_built_is_refused_and_the_worker_serves_on(
    tmp_path: Path, error: Exception
) -> None:
    def load() -> Loaded:
        raise error

    async with running(tmp_path, load) as supervised, httpx.AsyncClient() as client:
        await supervised.tell(Word.PREPARE, 1)
        answer = await supervised.hear()
        assert (answer.word, answer.generation) == (Word.REFUSED, 1)
        assert "rules/x.yml: no such file" in answer.lines[0]
        assert (await client.get(f"{supervised.url}/healthz")).status_code == 200
