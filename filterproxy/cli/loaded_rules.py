"""The rules that a command works on: the configured ones or those of some files, or why they cannot be loaded.

The rule: everything that is wrong is printed at once, a line each, and the command ends with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.config.loader import Loaded
    from filterproxy.core.errors import ConfigError
    from filterproxy.ruleset.ruleset import RuleSet


def load_or_exit(loaded: Loaded, files: Iterable[Path] | None) -> RuleSet:
    """Return the ruleset, or print what is wrong with it and exit with 1."""
    from filterproxy.checks.rules import RulesConfig
    from filterproxy.core.errors import ConfigError, ConfigErrors
    from filterproxy.ruleset import loader

    configured = loaded.checks.get("rules")
    patterns = configured.files if isinstance(configured, RulesConfig) else RulesConfig().files
    try:
        found = [path.absolute() for path in files or ()] or loader.find_files(patterns, loaded.base_dir)
        return loader.load(found, loaded.base_dir)
    except ConfigErrors as error:
        exit_with(error.errors)
    except ConfigError as error:
        exit_with([error])
    raise AssertionError("unreachable")


def exit_with(errors: Iterable[ConfigError]) -> None:
    """Print the errors and exit with 1; return when there are none."""
    lines = [str(error) for error in errors]
    if lines:
        sys.stderr.write("\n".join(lines) + "\n")
        raise typer.Exit(ExitStatus.NO)
