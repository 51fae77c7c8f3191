"""The `filterproxy` command: one line a sub-command; what they do is in their own files."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A spam filter in front of a real mail server.")


def main() -> None:
    """Run the command line."""
    app()
