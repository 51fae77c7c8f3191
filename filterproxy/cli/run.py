"""`filterproxy run`: the service, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus


def run(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Try it out: listen on loopback without a configuration file, keep what is accepted in var/delivered "
            "when no mail server is there, and send some sample messages.",
        ),
    ] = False,
) -> None:
    """Filter mail until SIGTERM or Ctrl-C; SIGHUP reloads the configuration. Prints `ready` when it serves.

    Exit status 0: stopped as told; 1: the configuration, rules or model are wrong; 75: a port or a folder is not to be
    had just now.
    """
    from filterproxy.app.errors import StartError, fault_lines
    from filterproxy.core.errors import FilterproxyError

    try:
        _serve(config, demo)
    except FilterproxyError as error:
        for line in fault_lines(error):
            sys.stderr.write(f"filterproxy: {line}\n")
        temporary = isinstance(error, StartError) and error.temporary
        raise typer.Exit(ExitStatus.TEMPORARY_FAILURE if temporary else ExitStatus.NO) from error


def _serve(config: Path | None, demo: bool) -> None:
    if demo:
        from filterproxy.app.demo import run_demo

        run_demo(config)
        return
    from filterproxy.app.compose import load_config
    from filterproxy.app.service import serve

    serve(load_config(config), lambda: load_config(config))
