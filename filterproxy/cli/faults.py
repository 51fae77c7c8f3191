"""One way for every command to say that it could not do its work: a line a fault, and the exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.core.errors import ConfigError, FilterproxyError


@contextmanager
def explain_faults() -> Iterator[None]:
    """Print our own errors as lines on standard error and exit: 2 for a wrong configuration, 75 for a failure."""
    try:
        yield
    except ConfigError as error:
        _print(getattr(error, "errors", None) or [error])
        raise typer.Exit(ExitStatus.USAGE) from error
    except FilterproxyError as error:
        _print(getattr(error, "lines", None) or [error.reason])
        raise typer.Exit(ExitStatus.TEMPORARY_FAILURE) from error


def _print(faults: list[object]) -> None:
    for fault in faults:
        sys.stderr.write(f"filterproxy: {fault}\n")
