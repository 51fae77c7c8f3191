"""The matrix of failures: what was accepted is delivered, in one piece, and twice only where the 250 was lost.

Every cell lets numbered messages meet one failure at one stage: of the next hop, of a worker or of the supervisor. The
senders try again as a mail server does. The table of all cells is printed (pytest -s, or after a failure).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.scripted_hop import (
    AFTER_KEEPING,
    HEADER,
    KINDS,
    STAGES,
    Cell,
    ScriptedHop,
    message,
    send_until_answered,
)
from tests.system.server import FilterproxyServer
from tests.system.test_processes import workers_of
from tests.system.waiting import free_port

Start = Callable[..., FilterproxyServer]
# Half a big message does not fit into the buffers of the kernel.
SIZE, BIG, HUGE = 2_000, 600_000, 8_000_000
MESSAGES = 12
_NUMBERS = itertools.count()
_PAUSE = threading.Event()
FAST = {"connect_timeout": "1s", "command_timeout": "1s", "data_timeout": "1s"}


def config(hops: dict[int, ScriptedHop], timeouts: dict[str, str] = FAST, **more: Any) -> dict[str, Any]:
    """Return a configuration with a listener on each port in front of its next hop."""
    listeners = [
        {
            "type": "smtp",
            "address": f"127.0.0.1:{port}",
            "next_hop": {"address": f"{'lmtp' if hop.lmtp else 'smtp'}://127.0.0.1:{hop.port}", **timeouts},
        }
        for port, hop in hops.items()
    ]
    return {"listeners": listeners, "checks": {"gtube": {}}, "drain_timeout": "5s", **more}


async def run_cell(hop: ScriptedHop, name: str, stage: str, kind: str, port: int) -> Cell:
    """Send a cell's messages side by side into a failure."""
    cell = Cell(name, MESSAGES)
    hop.arm(stage, kind, MESSAGES)
    size = SIZE if stage != "mid-body" else HUGE if kind == "waits" else BIG
    prefix, before = f"m{next(_NUMBERS)}", len(hop.delivered)
    async with asyncio.TaskGroup() as senders:
        for number in range(MESSAGES):
            marker = f"{prefix}-{number}"
            senders.create_task(send_until_answered(cell, marker, message(marker, size), port))
    cell.take([item for item in hop.delivered[before:] if item[0].startswith(f"{prefix}-")], size)
    return cell


def show(cells: list[Cell]) -> None:
    """Print the table."""
    sums = (len(cells), sum(cell.sent for cell in cells), sum(cell.lost for cell in cells))
    total = "{} cells, {} messages, {} lost, {} split".format(*sums, sum(cell.split for cell in cells))
    sys.stdout.write("\n".join(("", HEADER, *(cell.line() for cell in cells), total, "")))


async def test_the_next_hop_fails(filterproxy_server: Start) -> None:
    hops = {free_port(): ScriptedHop(lmtp=lmtp) for lmtp in (False, True)}
    for hop in hops.values():
        await hop.start()
    await asyncio.to_thread(filterproxy_server, config(hops, workers=2))
    tables = await asyncio.gather(*(_every_failure(hop, port) for port, hop in hops.items()))
    for hop in hops.values():
        await hop.close()
    for cells in tables:
        show(cells)
    for cells in tables:
        for cell in cells:
            cell.check(may_double="keeps it" in cell.name)
        # A refusal for good is told for good from MAIL on; one of us is nobody's bounce.
        told = [len(cell.refused) for cell in cells if " 5xx " in cell.name]
        assert told == [MESSAGES * (stage not in STAGES[:2]) for stage in STAGES]


async def _every_failure(hop: ScriptedHop, port: int) -> list[Cell]:
    """Run the cells of one next hop, one after the other."""
    name = "LMTP next hop" if hop.lmtp else "next hop"
    return [
        await run_cell(hop, f"{name} {kind} at {stage}", stage, kind, port)
        for stage in STAGES
        for kind in (*KINDS, *(AFTER_KEEPING if stage == "final dot" else ()))
    ]


WORKERS, SUPERVISOR = "all workers", "the supervisor"


@pytest.mark.parametrize("victim", [WORKERS, SUPERVISOR])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
async def test_a_process_is_killed(system_dir: Path, victim: str, number: signal.Signals) -> None:
    """At one moment the messages of every stage are there; then the blow falls."""
    hops = {free_port(): ScriptedHop() for _ in STAGES}
    for hop in hops.values():
        await hop.start()
    server = FilterproxyServer(system_dir / "filterproxy", config(hops, dict.fromkeys(FAST, "20s"), workers=2))
    await asyncio.to_thread(server.start)
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(run_cell(hop, f"{number.name} to {victim} at {stage}", stage, "waits", port))
                for stage, (port, hop) in zip(STAGES, hops.items(), strict=True)
            ]
            async with asyncio.timeout(30):
                for hop in hops.values():
                    await hop.all_wait.wait()
            await _strike(server, victim, number, list(hops.values()))
    finally:
        await asyncio.to_thread(server.stop)
        for hop in hops.values():
            await hop.close()
    cells = [task.result() for task in running]
    show(cells)
    for cell in cells:
        # SIGTERM lets transactions end; after SIGKILL nobody is left to hear the next hop's 250.
        cell.check(may_double=number == signal.SIGKILL and "final dot" in cell.name)
        assert not cell.refused


async def test_the_disk_is_full(system_dir: Path) -> None:
    """Large messages wait in files; while those cannot grow they are put off, small ones go on, and none is lost."""
    hop, port = ScriptedHop(), free_port()
    await hop.start()
    server = FilterproxyServer(system_dir / "filterproxy", config({port: hop}, workers=2))
    await asyncio.to_thread(server.start)
    small, large = Cell("disk full, small messages", MESSAGES), Cell("disk full, large messages", MESSAGES)
    kinds = [(small, f"m{next(_NUMBERS)}", SIZE), (large, f"m{next(_NUMBERS)}", HUGE)]
    try:
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_000_000, -1)) for pid in workers_of(server)}
        async with asyncio.TaskGroup() as senders:
            for number in range(MESSAGES):
                for cell, name, size in kinds:
                    senders.create_task(
                        send_until_answered(cell, f"{name}-{number}", message(f"{name}-{number}", size), port)
                    )
            async with asyncio.timeout(60):
                while len(small.accepted) < MESSAGES or large.attempts < 2 * MESSAGES:
                    await asyncio.sleep(0.05)
            assert not large.accepted
            for pid, limit in limits.items():
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    finally:
        await asyncio.to_thread(server.stop)
        await hop.close()
    for cell, name, size in kinds:
        cell.take([item for item in hop.delivered if item[0].startswith(f"{name}-")], size)
    show([small, large])
    for cell in (small, large):
        cell.check(may_double=False)
        assert len(cell.accepted) == MESSAGES
    assert "spool: cannot keep a message: File too large" in server.log()


async def _strike(server: FilterproxyServer, victim: str, number: signal.Signals, hops: list[ScriptedHop]) -> None:
    """Send the signal, then let the next hops go on; a supervisor that ended is started again."""
    for pid in workers_of(server) if victim == WORKERS else [server.pid]:
        os.kill(pid, number)
    if victim == SUPERVISOR and number == signal.SIGKILL:
        # The workers notice and drain; the next hops hold what they wait for until then.
        await asyncio.to_thread(server.wait_for_log, "the supervisor is gone", 2)
    for hop in hops:
        hop.go.set()
    if victim == SUPERVISOR:
        await asyncio.to_thread(_ended, server)
        await asyncio.to_thread(server.start)


def _ended(server: FilterproxyServer) -> None:
    """Wait for the end of the supervisor and its workers."""
    process = server._process
    assert process is not None
    process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        while os.killpg(process.pid, 0) is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-process.pid, os.WNOHANG)
            _PAUSE.wait(0.02)
