"""The `filterproxy` command: one line a sub-command; what they do is in their own files."""

from __future__ import annotations

import typer

from filterproxy.cli.explain import explain
from filterproxy.cli.run import run
from filterproxy.cli.scan import scan

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A spam filter in front of a real mail server.")
app.callback()(lambda: None)
app.command()(run)
app.command()(scan)
app.command()(explain)


def main() -> None:
    """Run the command line."""
    app()
