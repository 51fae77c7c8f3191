"""`filterproxy rules import-spamassassin`: rules of SpamAssassin as a rules file of ours, with a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.config.loader import Loaded
    from filterproxy.ruleset.import_spamassassin.report import Report
    from filterproxy.ruleset.import_spamassassin.translate import Translation


def import_spamassassin(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of .cf files, or one such file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The rules file that is written.")] = Path(
        "spamassassin.yml"
    ),
    report: Annotated[Path | None, typer.Option(help="Write what became of each rule to this file, as JSON.")] = None,
    score_set: Annotated[
        int,
        typer.Option(
            min=0, max=3, help="Which of four scores: 0 no network, no Bayes; 1 network; 2 Bayes; 3 network and Bayes."
        ),
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only; write no rules.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that this command did not write.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every rule that is not translated.")] = False,
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
) -> None:
    """Turn SpamAssassin's rules (.cf files) into a rules file, and report what could not be translated and why.

    Rules whose names the configured checks or rules files have already get SA_ in front. Exit status 0: all lines
    were understood; 1: some were not (each is listed with its file and line), or there is no rule.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.core.errors import ConfigError
    from filterproxy.ruleset.import_spamassassin.importing import import_folder

    with explain_faults():
        try:
            translation = import_folder(source, score_set=score_set, taken=_taken(config, output))
            if not dry_run:
                _write_all(translation, source, output, force=force)
            if report is not None:
                _write(report, json.dumps(translation.report.as_json(), indent=1) + "\n")
        except ConfigError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(ExitStatus.NO) from None
    _print(translation.report, verbose=verbose)
    if not dry_run:
        typer.echo(f"written: {', '.join([str(output), *sorted(translation.lists)])}")
    raise typer.Exit(ExitStatus.NO if translation.report.problems else ExitStatus.OK)


def _taken(config: Path | None, output: Path) -> Collection[str]:
    """Return the names that symbols of checks and rules of other files have."""
    from filterproxy.app.compose import load_config
    from filterproxy.cli.rules import other_symbols
    from filterproxy.config.yaml_loader import read_yaml
    from filterproxy.ruleset import loader

    loaded = load_config(config)
    names = set(other_symbols(loaded))
    for path in loader.find_files(_patterns(loaded), loaded.base_dir):
        if path.resolve() != output.resolve():
            data = read_yaml(path).data
            sections = data.values() if isinstance(data, dict) else ()
            names.update(_names(item for section in sections if isinstance(section, list) for item in section))
    return names


def _patterns(loaded: Loaded) -> tuple[str, ...]:
    from filterproxy.checks.rules import RulesConfig

    configured = loaded.checks.get("rules")
    return configured.files if isinstance(configured, RulesConfig) else RulesConfig().files


def _names(items: Iterable[object]) -> list[str]:
    return [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]


def _write_all(translation: Translation, source: Path, output: Path, *, force: bool) -> None:
    """Write the rules file, and its list files beside it."""
    from filterproxy.ruleset.import_spamassassin.writer import MARK, list_text, rules_file

    files = {output: rules_file(translation.rules, str(source))}
    files |= {output.parent / name: list_text(entries) for name, entries in translation.lists.items()}
    for path in files:
        _refuse_foreign(path, MARK, force=force)
    for path, text in files.items():
        _write(path, text)


def _refuse_foreign(path: Path, mark: str, *, force: bool) -> None:
    from filterproxy.core.errors import ConfigError

    if force or not path.exists():
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            first = stream.readline(1000)
    except OSError as error:
        raise ConfigError(f"cannot read: {error.strerror or error}", file=str(path)) from error
    if mark not in first:
        reason = "exists already, and this command did not write it"
        raise ConfigError(reason, file=str(path), hint="choose another --output, or say --force")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; raise ConfigError when that fails."""
    from filterproxy.core.errors import ConfigError

    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"cannot write: {error.strerror or error}", file=str(path)) from error


def _print(report: Report, *, verbose: bool) -> None:
    from filterproxy.ruleset.import_spamassassin.report import Fate

    for problem in report.problems:
        sys.stderr.write(f"{problem}\n")
    if verbose:
        for outcome in report.outcomes:
            if outcome.fate is not Fate.TRANSLATED:
                detail = f" ({outcome.detail})" if outcome.detail else ""
                typer.echo(f"{outcome.place}: {outcome.name}: {outcome.fate.value}: {outcome.reason}{detail}")
    for line in report.lines():
        typer.echo(line)
