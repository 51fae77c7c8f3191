"""`filterproxy scan` of many messages: a process for each core, the output in the order of the messages.

The rule: this process reads the messages and writes the output; the others, forked before any event loop or thread
exists, get messages and give text back over a socket each. Message i goes to process i modulo their number, and results
are taken in the same order, so neither side can wait for the other for ever.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.faults import explain_faults
from filterproxy.cli.scanning import Sender, scan_one
from filterproxy.core.errors import ConfigError

if TYPE_CHECKING:
    from filterproxy.app.compose import OpenPipeline
    from filterproxy.core.scan_result import ScanResult
    from filterproxy.services.corpus import CorpusItem

_MESSAGE = struct.Struct("!IIq")  # octets of name, error and message (-1: there is none)
_RESULT = struct.Struct("!BI")  # exit status, octets of text
_TOGETHER = 8

Show = Callable[[str, "ScanResult | str"], None]
StatusOf = Callable[["ScanResult | str"], ExitStatus]


@dataclass(frozen=True, slots=True)
class ScanJob:
    """How messages are scanned and shown."""

    config: Path | None
    sender: Sender
    offline: bool
    show: Show
    status_of: StatusOf


@dataclass(frozen=True, slots=True)
class _Process:
    """A scanning process and this side of its socket."""

    pid: int
    link: socket.socket
    answers: IO[bytes]


def processes() -> int:
    """Return how many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scan_in_processes(job: ScanJob, items: Iterable[CorpusItem], count: int) -> int:
    """Print the results of all messages in their order; return the exit status."""
    from filterproxy.app.compose import load_ahead, load_config

    with suppress(ConfigError):  # the first process says it
        load_ahead(load_config(job.config))
    started: list[_Process] = []
    try:
        for number in range(count):
            started.append(_start(job, number, started))
        feeder = threading.Thread(target=_feed, args=(items, started), daemon=True)
        feeder.start()
        status = _print_answers(started)
    except BaseException:
        for process in started:
            os.kill(process.pid, signal.SIGTERM)
        raise
    finally:
        ended = [os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) for process in started]
        for process in started:
            process.answers.close()
            process.link.close()
    failed = next((code for code in ended if code), 0)
    if failed < 0:
        sys.stderr.write(f"filterproxy: a scanning process was ended by {signal.Signals(-failed).name}\n")
    return max(status, ExitStatus.TEMPORARY_FAILURE if failed < 0 else failed)


def _start(job: ScanJob, number: int, others: Iterable[_Process]) -> _Process:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return _Process(pid, ours, ours.makefile("rb"))
    ours.close()
    for other in others:  # an open copy would hide the end of the messages from it
        other.answers.close()
        other.link.close()
    status: int = ExitStatus.TEMPORARY_FAILURE
    try:
        status = _serve(job, theirs, quiet=number > 0)
    except KeyboardInterrupt:
        pass
    finally:
        os._exit(status)


def _feed(items: Iterable[CorpusItem], to: list[_Process]) -> None:
    """Deal the messages out; a process that has ended gets no more, which its missing answer tells."""
    with suppress(OSError):
        for number, item in enumerate(items):
            name, error = os.fsencode(item.name), item.error.encode("utf-8", "surrogateescape")
            raw = item.raw
            head = _MESSAGE.pack(len(name), len(error), -1 if raw is None else len(raw))
            to[number % len(to)].link.sendall(b"".join((head, name, error, raw or b"")))
    for process in to:
        with suppress(OSError):
            process.link.shutdown(socket.SHUT_WR)


def _print_answers(started: list[_Process]) -> int:
    status, number = int(ExitStatus.OK), 0
    while head := started[number % len(started)].answers.read(_RESULT.size):
        found, length = _RESULT.unpack(head)
        sys.stdout.write(started[number % len(started)].answers.read(length).decode("utf-8", "surrogateescape"))
        status, number = max(status, found), number + 1
    sys.stdout.flush()
    return status


def _serve(job: ScanJob, link: socket.socket, *, quiet: bool) -> int:
    """Scan what comes over the socket; only one process says what keeps all from starting."""
    spoken = sys.stderr
    if quiet:
        sys.stderr = io.StringIO()
    try:
        with explain_faults():
            return asyncio.run(_scan(job, link, spoken))
    except typer.Exit as end:
        return end.exit_code


async def _scan(job: ScanJob, link: socket.socket, spoken: IO[str]) -> int:
    from filterproxy.app.compose import open_pipeline

    reader, writer = await asyncio.open_connection(sock=link)
    async with open_pipeline(job.config, offline=job.offline) as opened:
        sys.stderr = spoken
        waiting: asyncio.Queue[tuple[str, asyncio.Task[ScanResult | str]] | None] = asyncio.Queue(_TOGETHER)
        taking = asyncio.create_task(_take(job, opened, reader, waiting))
        while entry := await waiting.get():
            name, task = entry
            result = await task
            text = io.StringIO()
            with redirect_stdout(text):
                job.show(name, result)
            data = text.getvalue().encode("utf-8", "surrogateescape")
            writer.write(_RESULT.pack(job.status_of(result), len(data)) + data)
            await writer.drain()
        await taking
    writer.close()
    return ExitStatus.OK


async def _take(
    job: ScanJob,
    opened: OpenPipeline,
    reader: asyncio.StreamReader,
    waiting: asyncio.Queue[tuple[str, asyncio.Task[ScanResult | str]] | None],
) -> None:
    """Begin with each message as it comes; None ends them."""
    from filterproxy.services.corpus import CorpusItem

    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            sizes = _MESSAGE.unpack(await reader.readexactly(_MESSAGE.size))
            name = os.fsdecode(await reader.readexactly(sizes[0]))
            error = (await reader.readexactly(sizes[1])).decode("utf-8", "surrogateescape")
            raw = None if sizes[2] < 0 else await reader.readexactly(sizes[2])
            task = asyncio.create_task(scan_one(opened, CorpusItem(name, raw, error), job.sender))
            await waiting.put((name, task))
    await waiting.put(None)
