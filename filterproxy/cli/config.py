"""`filterproxy config`: the configuration in use, and the schema of what may be written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show the configuration in use, or its JSON Schema.")


@app.command()
def show(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
) -> None:
    """Print the whole configuration in use as YAML, defaults included; durations are seconds, sizes octets."""
    from filterproxy.app.compose import load_config
    from filterproxy.cli.faults import explain_faults
    from filterproxy.config.show import render

    with explain_faults():
        sys.stdout.write(render(load_config(config), origin=origin))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, with the settings of every installed check, for editors."""
    from filterproxy.app.compose import config_types
    from filterproxy.cli.faults import explain_faults
    from filterproxy.config.schema import json_schema
    from filterproxy.pipeline import discover

    with explain_faults():
        sys.stdout.write(json.dumps(json_schema(config_types(discover())), indent=2, ensure_ascii=False) + "\n")
