"""`filterproxy check-config`: would the service start with this configuration? Everything that speaks against it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus


def check_config(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
) -> None:
    """Check the configuration with everything it names: included files, checks, rules and model.

    Nothing is asked over the network and nothing is changed. Exit status 0: it is right; 1: it is not, every error is
    listed with file, line and key.
    """
    from filterproxy.core.errors import ConfigError, ConfigErrors

    try:
        name = asyncio.run(_check(config))
    except ConfigError as error:
        for line in error.errors if isinstance(error, ConfigErrors) else (error,):
            sys.stderr.write(f"{line}\n")
        raise typer.Exit(ExitStatus.NO) from error
    sys.stdout.write(f"{name}: OK\n")


async def _check(config: Path | None) -> str:
    from filterproxy.app.compose import open_pipeline
    from filterproxy.app.next_hops import check_next_hops

    async with open_pipeline(config, offline=True) as opened:
        loaded = opened.loaded
        if not loaded.settings.listeners:
            hint = 'listeners: [{type: milter, address: "127.0.0.1:11332"}]'
            raise loaded.error(("listeners",), "there is nothing to listen on", hint=hint)
        check_next_hops(loaded)
        return str(loaded.path or "defaults")
