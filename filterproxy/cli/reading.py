"""What commands that read many messages have in common: progress, and a line for each that cannot be read.

The rule: progress and complaints go to standard error, file names escaped; standard output holds results alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperCommand

from filterproxy.observability.escape import escape

_LONGEST_NAME = 500


class ManyPaths(TyperCommand):
    """A command whose options `--ham` and `--spam` take every path that follows, as in `--ham a b --spam c`."""

    greedy = ("--ham", "--spam")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give each path that follows a greedy option an option of its own."""
        spread: list[str] = []
        current, fresh = "", False
        for argument in args:
            if argument.startswith("-") and argument != "-":
                current, fresh = argument if argument in self.greedy else "", True
            elif current and not fresh:
                spread.append(current)
            else:
                fresh = False
            spread.append(argument)
        return super().parse_args(ctx, spread)


class Unreadable:
    """Counts messages that could not be read and prints a line for each."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, name: str, error: str) -> None:
        """Print why one message could not be read."""
        self.count += 1
        sys.stderr.write(f"filterproxy: {escape(name, _LONGEST_NAME)}: {escape(error, 200)}\n")

    def finish(self) -> None:
        """Print how many there were, if any."""
        if self.count:
            sys.stderr.write(f"filterproxy: {self.count} could not be read\n")


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a progress bar while standard error is a terminal; yield what to call after each message."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total)
        yield lambda: shown.advance(task)
