"""`filterproxy rules`: check rules files, run the tests they carry, and show which texts of a message they see."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.rules_stats import stats
from filterproxy.cli.rules_tune import tune

if TYPE_CHECKING:
    from filterproxy.cli.scanning import Sender
    from filterproxy.config.loader import Loaded
    from filterproxy.core.errors import ConfigError
    from filterproxy.ruleset.ruleset import Hit, RuleSet

app = typer.Typer(no_args_is_help=True, help="Check, test, explain, measure and tune the rules.")
app.command()(stats)
app.command()(tune)

Config = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Rules files, instead of the configured ones.")
]


@app.command()
def check(files: Files = None, config: Config = None) -> None:
    """Check rules files: keys, types, expressions, names, lists, and the symbols that composites name.

    Exit status 0: they are right; 1: they are not, every error is listed with file, line and column.
    """
    from filterproxy.cli.faults import explain_faults

    with explain_faults():
        loaded = _load_config(config)
        ruleset = _load_or_exit(loaded, files)
        for note in ruleset.notes:
            typer.echo(f"note: {note}")
        _exit_with(ruleset.unknown_symbols(_other_symbols(loaded)))
        typer.echo(f"{_counted(ruleset)}: OK")


@app.command()
def test(files: Files = None, config: Config = None) -> None:
    """Run the tests that rules carry: samples that they must match, and samples that they must not.

    Exit status 0: all pass; 1: some do not, each is listed with file, line and column.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.ruleset.samples import run_tests

    with explain_faults():
        ruleset = _load_or_exit(_load_config(config), files)
        _exit_with(run_tests(ruleset))
        samples = sum(len(item.samples.match) + len(item.samples.no_match) for item in ruleset.tests)
        untested = sum(not item.samples.match for item in ruleset.tests)
        typer.echo(f"{samples} samples of {len(ruleset.tests)} rules: OK ({untested} rules have none that must match)")


@app.command()
def explain(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Messages; - is standard input.")],
    config: Config = None,
    ip: Annotated[str, typer.Option(help="IP address of the SMTP client.")] = "",
    helo: Annotated[str, typer.Option(help="HELO name of the client.")] = "",
    mail_from: Annotated[str, typer.Option(help="Envelope sender.")] = "",
    rcpt: Annotated[list[str] | None, typer.Option(help="Envelope recipient; repeat it for more.")] = None,
) -> None:
    """Show which rules match a message and which text each of them sees.

    The rules run alone: composites with symbols of other checks and allow lists that need authentication stay silent;
    `filterproxy explain` shows the whole. Exit status 0; 75: a message could not be read.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.scanning import Sender
    from filterproxy.services.corpus import read_messages

    sender = Sender(ip, helo, mail_from, tuple(rcpt or ()))
    status = ExitStatus.OK
    with explain_faults():
        ruleset = _load_or_exit(_load_config(config), None)
        for item in read_messages(paths):
            if item.raw is None:
                typer.echo(f"{item.name}: {item.error}", err=True)
                status = ExitStatus.TEMPORARY_FAILURE
            else:
                _print_hits(item.name, _matches(ruleset, item.raw, sender), ruleset)
    raise typer.Exit(status)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a rules file, for editors."""
    from filterproxy.ruleset.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


def _load_config(config: Path | None) -> Loaded:
    from filterproxy.app.compose import load_config

    return load_config(config)


def _load_or_exit(loaded: Loaded, files: Iterable[Path] | None) -> RuleSet:
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
        _exit_with(error.errors)
    except ConfigError as error:
        _exit_with([error])
    raise AssertionError("unreachable")


def _other_symbols(loaded: Loaded) -> set[str]:
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


def _exit_with(errors: Iterable[ConfigError]) -> None:
    """Print the errors and exit with 1; return when there are none."""
    lines = [str(error) for error in errors]
    if lines:
        sys.stderr.write("\n".join(lines) + "\n")
        raise typer.Exit(ExitStatus.NO)


def _counted(ruleset: RuleSet) -> str:
    return f"{len(ruleset.rules)} rules and lists, {len(ruleset.composites)} composites"


def _matches(ruleset: RuleSet, raw: bytes, sender: Sender) -> list[Hit]:
    from filterproxy.core.envelope import Envelope, Recipient
    from filterproxy.core.session import Client, Session
    from filterproxy.core.transaction import Transaction
    from filterproxy.message import Message
    from filterproxy.services.clock import SystemClock

    session = Session("rules", "rules", Client(sender.ip), sender.helo)
    transaction = Transaction.begin(session)
    transaction.envelope = Envelope(sender.mail_from, (), [Recipient(address) for address in sender.rcpt_to])
    transaction.message = Message(raw)
    return ruleset.match(transaction, SystemClock().now())


def _print_hits(name: str, hits: list[Hit], ruleset: RuleSet) -> None:
    """Print a message's rules, then the composites over them, each with its score and the texts it saw."""
    from filterproxy.ruleset.ruleset import TIME_LIMIT, Hit

    scores = {symbol.name: symbol.score for symbol in ruleset.symbols}
    scores[TIME_LIMIT.name] = TIME_LIMIT.score
    scores |= {composite.name: composite.score for composite in ruleset.composites}
    fired = {hit.name for hit in hits}
    found = sorted(hits, key=lambda hit: (-abs(scores[hit.name]), hit.name))
    for composite in ruleset.composites:
        if composite.expression.matches(fired):
            fired.add(composite.name)
            found.append(Hit(composite.name, (f"composite: {composite.description}",)))
    total = sum(scores[hit.name] for hit in found)
    typer.echo(f"{_printable(name)}: {len(found)} rules, {total:g} points")
    for hit in found:
        texts = "; ".join(_printable(text) for text in hit.evidence)
        typer.echo(f"  {scores[hit.name]:6.2f}  {hit.name}  {texts}".rstrip())


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
