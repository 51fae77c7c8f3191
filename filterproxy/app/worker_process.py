"""One worker as its supervisor sees it: a forked process, the channel to it, and how it ended."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress

from filterproxy.app.control import Channel

# What a worker does with its end of the channel; returns its exit status.
WorkerMain = Callable[[socket.socket], int]

CRASHED = 70  # sysexits.h EX_SOFTWARE: an exception that nobody caught


class WorkerProcess:
    """A running worker; `poll` tells whether it still runs."""

    def __init__(self, pid: int, channel: Channel, started: float) -> None:
        self.pid = pid
        self.channel = channel
        self.started = started
        self.ready = False
        self.status: int | None = None

    @classmethod
    def fork(cls, main: WorkerMain, inherited: Iterable[Channel], started: float) -> WorkerProcess:
        """Fork a process that runs `main`; `inherited` are the other workers' channels, which it must not keep open.

        A copy of another worker's channel would hide the supervisor's death from that worker.
        """
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for channel in inherited:
                channel.close()
            os._exit(_run(main, theirs))
        theirs.close()
        return cls(pid, Channel(ours), started)

    def poll(self) -> int | None:
        """Return the wait status once the process has ended, None before."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _run(main: WorkerMain, control: socket.socket) -> int:
    """Run the worker with the signals as they were before the supervisor took them."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends these to all; only the supervisor acts
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        return main(control)
    except BaseException:  # noqa: BLE001 - the last frame of a process: nobody above could report it
        traceback.print_exc()
        return CRASHED


def describe(status: int) -> str:
    """Return how a process ended in words an operator knows: `signal=SIGKILL` or `status=1`."""
    if os.WIFSIGNALED(status):
        return f"signal={signal.Signals(os.WTERMSIG(status)).name}"
    return f"status={os.WEXITSTATUS(status)}"
