"""Waiting for other processes: a condition with a deadline, and ports that nobody has."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE = threading.Event()


class NotInTimeError(AssertionError):
    """What was waited for did not come; says what, and how things stood."""


def wait_until(condition: Callable[[], T], what: str, deadline: float = 20.0, state: Callable[[], str] = str) -> T:
    """Return the condition's first true value; raise NotInTimeError with `state()` when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise NotInTimeError(f"not within {deadline:g} s: {what}\n{state()}")
        # Files and other processes send no event of their own.
        _PAUSE.wait(0.02)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now; below the range that outgoing connections get."""
    for _ in range(100):
        port = random.randint(12_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def answers(port: int) -> bool:
    """Tell whether somebody listens on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False
