"""The matrix of failures with a real Postfix as next hop: see test_no_loss.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.system.postfix import Postfix
from tests.system.scripted_hop import Cell, message, send_once, send_until_answered
from tests.system.server import FilterproxyServer
from tests.system.test_no_loss import FAST, show
from tests.system.test_proxy import unread
from tests.system.waiting import answers, free_port, wait_until

MESSAGES = 10
SIZE, BIG = 2_000, 1_000_000
_SUBJECT = re.compile(rb"^Subject: (p[\w-]+)$", re.MULTILINE)
# Senders of these domains meet a reply at the stage; the retry comes from another domain, as if Postfix had recovered.
_ACCESS = (
    "check_sender_access inline:{{ {{ {0}4.example = 450 4.7.1 later }}, "
    "{{ {0}5.example = 550 5.7.1 never }}, {{ {0}c.example = 421 4.3.2 bye }} }}"
)
_LATE = ("mail", "rcpt", "data", "dot")


def services(ports: dict[str, int]) -> str:
    """Return master.cf lines: a service that knows the senders, and some that fail before there is one."""
    text = {stage: _ACCESS.format(stage) for stage in _LATE}
    options = (
        f"{{ smtpd_sender_restrictions = {text['mail']} }}",
        f"{{ smtpd_recipient_restrictions = {text['rcpt']}, permit_mynetworks, reject }}",
        f"{{ smtpd_data_restrictions = {text['data']} }}",
        f"{{ smtpd_end_of_data_restrictions = {text['dot']} }}",
        "smtpd_delay_reject=no",
        "smtpd_relay_restrictions=permit_mynetworks,reject",
    )
    early = {
        "connect4": "smtpd_client_restrictions=defer",
        "connect5": "smtpd_client_restrictions=reject",
        "ehlo4": "smtpd_helo_restrictions=defer",
        "ehlo5": "smtpd_helo_restrictions=reject",
        "ehloc": "{ smtpd_helo_restrictions = check_helo_access static:{421 4.3.2 bye} }",
    }
    lines = [f"127.0.0.1:{ports['good']} inet n - n - - smtpd\n  -o " + "\n  -o ".join(options)]
    lines += [
        f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n  -o smtpd_delay_reject=no\n  -o {option}"
        for name, option in early.items()
    ]
    for name, command in (("connectc", "/bin/false"), ("connecth", "/bin/sleep 3")):
        lines.append(f"127.0.0.1:{ports[name]} inet n n n - - spawn user=nobody argv={command}")
    return "\n".join((*lines, ""))


NAMES = ("good", "connect4", "connect5", "connectc", "connecth", "ehlo4", "ehlo5", "ehloc")
REPLIES = {"4": "answers 4xx", "5": "answers 5xx", "c": "says 421 and closes", "h": "hangs"}


class Matrix:
    """The cells, one after the other, in front of one Postfix."""

    def __init__(self, postfix: Postfix, fronts: dict[str, int], behind: int) -> None:
        self.postfix, self.fronts, self.behind = postfix, fronts, behind
        self.cells: list[tuple[Cell, int, bool]] = []

    async def replies(self, front: str, domain: str, name: str) -> None:
        """Let Postfix answer the first attempts of a cell in a way."""
        cell = self._cell(name)
        markers = [f"p{len(self.cells)}-{number}" for number in range(MESSAGES)]
        await asyncio.gather(
            *(send_once(cell, marker, message(marker, SIZE), self.fronts[front], domain) for marker in markers)
        )
        await self._again(cell, markers, SIZE)

    async def blow(
        self, verb: str, name: str, strike: Callable[[], Awaitable[None]], *, heal: Callable[[], None],
        size: int = SIZE, after: Callable[[], Awaitable[None]] | None = None, may_double: bool = False,
    ) -> None:  # fmt: skip
        """Bring a cell's sessions to a command, strike, go on, and heal when all have their answers."""
        cell = self._cell(name, size, may_double)
        arrived, go = asyncio.Semaphore(0), asyncio.Event()

        async def gate(coming: str) -> None:
            if coming == verb:
                arrived.release()
                await go.wait()

        markers = [f"p{len(self.cells)}-{number}" for number in range(MESSAGES)]
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for marker in markers:
                raw = message(marker, size)
                group.create_task(send_once(cell, marker, raw, self.fronts["good"], gate=gate))
            for _ in markers:
                await arrived.acquire()
            await strike()
            go.set()
            if after is not None:
                await after()
        heal()
        await self._again(cell, markers, size)

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to every daemon of a name."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command, _, fields = (folder / "stat").read_text().rpartition(")")
                if command.endswith(f"({daemon}") and int(fields.split()[1]) == self.postfix.pid:
                    os.kill(int(folder.name), number)

    def count(self) -> None:
        """Wait until Postfix has nothing to do, and count what it delivered."""
        wait_until(lambda: not any(self.postfix.queued(q) for q in ("incoming", "active", "maildrop")), "empty queue")
        delivered = [path.read_bytes() for path in self.postfix.maildir("alice")]
        for number, (cell, size, _) in enumerate(self.cells, 1):
            own = [(found[1].decode(), raw) for raw in delivered if (found := _SUBJECT.search(raw))]
            mine = [(marker, raw.replace(b"\n", b"\r\n")) for marker, raw in own if marker.startswith(f"p{number}-")]
            cell.take(mine, size)

    def _cell(self, name: str, size: int = SIZE, may_double: bool = False) -> Cell:
        cell = Cell(f"Postfix {name}", MESSAGES)
        self.cells.append((cell, size, may_double))
        return cell

    async def _again(self, cell: Cell, markers: list[str], size: int) -> None:
        final = cell.accepted | cell.refused
        async with asyncio.TaskGroup() as group:
            for marker in markers:
                if marker not in final:
                    group.create_task(send_until_answered(cell, marker, message(marker, size), self.fronts["good"]))


async def test_postfix_fails(
    postfix: Callable[..., Postfix], filterproxy_server: Callable[..., FilterproxyServer]
) -> None:
    behind, fronts = ({name: free_port() for name in NAMES} for _ in range(2))
    # A master rests this long after one of its processes was killed in its first session.
    mta = await asyncio.to_thread(postfix, services=services(behind), settings={"service_throttle_time": "1s"})
    listeners = [
        {
            "type": "smtp",
            "address": f"127.0.0.1:{fronts[name]}",
            "next_hop": {"address": f"127.0.0.1:{behind[name]}", **FAST},
        }
        for name in NAMES
    ]
    await asyncio.to_thread(wait_until, lambda: answers(behind["good"]), "Postfix listens")
    await asyncio.to_thread(filterproxy_server, {"listeners": listeners, "checks": {"gtube": {}}, "workers": 2})
    matrix = Matrix(mta, fronts, behind["good"])
    await _replies(matrix)
    await _blows(matrix)
    await asyncio.to_thread(matrix.count)
    show([cell for cell, _, _ in matrix.cells])
    for cell, _, may_double in matrix.cells:
        cell.check(may_double=may_double)
        told = any(f"answers 5xx at {stage}" in cell.name for stage in ("MAIL", "RCPT", "DATA", "final dot"))
        assert len(cell.refused) == (MESSAGES if told else 0), cell.line()


async def _replies(matrix: Matrix) -> None:
    for kind, words in REPLIES.items():
        await matrix.replies(f"connect{kind}", "example.org", f"{words} at connect")
        if kind == "h":
            continue
        await matrix.replies(f"ehlo{kind}", "example.org", f"{words} at EHLO")
        for stage, shown in zip(_LATE, ("MAIL", "RCPT", "DATA", "final dot"), strict=True):
            await matrix.replies("good", f"{stage}{kind}.example", f"{words} at {shown}")


async def _blows(matrix: Matrix) -> None:
    async def kill() -> None:
        matrix.signal("smtpd", signal.SIGKILL)

    async def stop() -> None:
        matrix.signal("smtpd", signal.SIGSTOP)

    async def hold() -> None:
        matrix.signal("cleanup", signal.SIGSTOP)

    async def kill_when_stuck() -> None:
        await asyncio.to_thread(wait_until, lambda: unread(matrix.behind) > BIG, "messages are on their way")
        matrix.signal("smtpd", signal.SIGKILL)

    def go_on() -> None:
        for daemon in ("smtpd", "cleanup"):
            matrix.signal(daemon, signal.SIGCONT)

    for verb, shown in (("MAIL", "MAIL"), ("RCPT", "RCPT"), ("message", "DATA")):
        await matrix.blow(verb, f"smtpd is killed at {shown}", kill, heal=go_on)
        await matrix.blow(verb, f"smtpd hangs at {shown}", stop, heal=go_on)
    await matrix.blow("message", "smtpd is killed at mid-body", hold, heal=go_on, size=BIG, after=kill_when_stuck)
    # What is in the buffers of the kernel by then is Postfix's, although we have no reply.
    await matrix.blow("message", "hangs at mid-body", hold, heal=go_on, size=BIG, may_double=True)
    await matrix.blow("message", "hangs at final dot", hold, heal=go_on, may_double=True)
