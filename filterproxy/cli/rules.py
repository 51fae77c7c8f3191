"""`filterproxy rules`: check rules files and run the tests they carry; its larger commands have files of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.import_spamassassin import import_spamassassin
from filterproxy.cli.loaded_rules import exit_with, load_or_exit
from filterproxy.cli.rules_explain import explain
from filterproxy.cli.rules_stats import stats
from filterproxy.cli.rules_tune import tune

if TYPE_CHECKING:
    from filterproxy.config.loader import Loaded
    from filterproxy.ruleset.ruleset import RuleSet

app = typer.Typer(no_args_is_help=True, help="Check, test, explain, measure and tune the rules.")
app.command()(explain)
app.command()(stats)
app.command()(tune)

app.command("import-spamassassin")(import_spamassassin)

Config = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Rules files, instead of the configured ones.")
]


@app.command()
def check(files: Files = None, config: Config = None) -> None:
    """Check rules files: keys, types, expressions, names, lists, and the symbols that composites name.

    Exit status 0: they are right; 1: they are not, every error is listed with file, line and column.
    """
    from filterproxy.app.compose import load_config
    from filterproxy.cli.faults import explain_faults

    with explain_faults():
        loaded = load_config(config)
        ruleset = load_or_exit(loaded, files)
        for note in ruleset.notes:
            typer.echo(f"note: {note}")
        exit_with(ruleset.unknown_symbols(other_symbols(loaded)))
        typer.echo(f"{_counted(ruleset)}: OK")


@app.command()
def test(
    files: Files = None,
    config: Config = None,
    messages: Annotated[
        list[Path] | None,
        typer.Option("--messages", metavar="FOLDER", help="Messages with an expected.yml; repeat it for more folders."),
    ] = None,
) -> None:
    """Run the tests that rules carry: samples that they must match, and samples that they must not.

    With --messages the messages of a folder are tried too: its expected.yml names the symbols that each must have.
    Exit status 0: all pass; 1: some do not, each is listed with file, line and column.
    """
    from filterproxy.app.compose import load_config
    from filterproxy.cli.faults import explain_faults
    from filterproxy.ruleset.message_tests import run_messages
    from filterproxy.ruleset.samples import run_tests

    with explain_faults():
        ruleset = load_or_exit(load_config(config), files)
        outcomes = [run_messages(ruleset, folder) for folder in messages or ()]
        exit_with([*run_tests(ruleset), *(error for outcome in outcomes for error in outcome.errors)])
        samples = sum(len(item.samples.match) + len(item.samples.no_match) for item in ruleset.tests)
        untested = sum(not item.samples.match for item in ruleset.tests)
        typer.echo(f"{samples} samples of {len(ruleset.tests)} rules: OK ({untested} rules have none that must match)")
        if outcomes:
            typer.echo(f"{sum(outcome.messages for outcome in outcomes)} messages: OK")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a rules file, for editors."""
    from filterproxy.ruleset.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


def other_symbols(loaded: Loaded) -> set[str]:
    """Return the symbols that the other enabled checks declare; nothing is started for that."""
    from filterproxy.app.compose import make_site
    from filterproxy.app.empty_store import EmptyStore
    from filterproxy.core.check import CheckContext
    from filterproxy.observability.maillog import open_maillog
    from filterproxy.pipeline import build, discover
    from filterproxy.services.clock import SystemClock
    from filterproxy.services.resolver import OfflineResolver
    from filterproxy.services.scan_pool import ThreadScanPool

    log = open_maillog("stderr")
    site = make_site(loaded, offline=True)
    pool = ThreadScanPool(1)

    def context(name: str) -> CheckContext:
        return CheckContext(OfflineResolver(), EmptyStore(), pool, SystemClock(), log.for_check(name), site)

    others = {name: config for name, config in loaded.checks.items() if name != "rules"}
    try:
        return set(build(discover(), others, context).symbols)
    finally:
        pool.close()
        log.close()


def _counted(ruleset: RuleSet) -> str:
    return f"{len(ruleset.rules)} rules and lists, {len(ruleset.composites)} composites"
