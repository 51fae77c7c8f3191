"""The `filterproxy` command: one line a sub-command; what they do is in their own files."""

from __future__ import annotations

from typing import Annotated

import typer

from filterproxy import __version__
from filterproxy.cli import config, models, rules
from filterproxy.cli.check_config import check_config
from filterproxy.cli.doctor import doctor
from filterproxy.cli.evaluate import evaluate
from filterproxy.cli.explain import explain
from filterproxy.cli.history import history
from filterproxy.cli.init import init
from filterproxy.cli.learn import forget, learn
from filterproxy.cli.reading import ManyPaths
from filterproxy.cli.run import run
from filterproxy.cli.scan import scan
from filterproxy.cli.test_delivery import test_delivery
from filterproxy.cli.token import token
from filterproxy.cli.train import train

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A spam filter in front of a real mail server.")
app.add_typer(config.app, name="config")
app.add_typer(models.app, name="models")
app.add_typer(rules.app, name="rules")
app.command()(check_config)
app.command()(doctor)
app.command()(history)
app.command()(init)
app.command()(run)
app.command("test-delivery")(test_delivery)
app.command()(scan)
app.command()(explain)
app.command()(evaluate)
app.command(cls=ManyPaths)(train)
app.command()(learn)
app.command()(forget)
app.command()(token)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"filterproxy {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


def main() -> None:
    """Run the command line."""
    app()
