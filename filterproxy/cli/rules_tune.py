"""`filterproxy rules tune`: better scores from labelled mail, written where they belong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.labelled import AsJson, Config, Dns, History, Index, Jobs

if TYPE_CHECKING:
    from filterproxy.config.loader import Loaded
    from filterproxy.ruleset.bounds import Limits
    from filterproxy.ruleset.rows import Known
    from filterproxy.ruleset.score_edit import Edited
    from filterproxy.ruleset.tune import Change, Tuned

_PLACES = ("auto", "rules", "config")


def tune(
    index: Index,
    config: Config = None,
    history: History = False,
    dns: Dns = False,
    jobs: Jobs = 0,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Change only these symbols: `LOCAL_*`; repeat it.")
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave these symbols alone; repeat it.")
    ] = None,
    max_false_positives: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="Ham that may be marked. Default: no more than now, and 0.1 % if it can be had.",
        ),
    ] = None,
    max_change: Annotated[float, typer.Option(min=0.1, help="No score moves further than this.")] = 1.0,
    max_score: Annotated[float, typer.Option(min=0.1, help="No score gets larger than this.")] = 5.0,
    min_hits: Annotated[int, typer.Option(min=1, help="Leave alone what fires in fewer messages.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and write nothing.")] = False,
    write: Annotated[
        str,
        typer.Option(
            metavar="|".join(_PLACES),
            help="Where to: rules files for your own rules and `scores:` of the configuration for all else; one alone.",
        ),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Fit scores to labelled mail and write those that judge the newest of it better.

    Exit status 0: better scores were found, and written unless --dry-run; 1: none were, nothing is changed; 2: the
    mail, the options or a file is not usable.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.ruleset.bounds import Limits

    if write not in _PLACES:
        raise typer.BadParameter(f"{write!r} is none of {', '.join(_PLACES)}", param_hint="--write")
    cap = None if max_false_positives is None else max_false_positives / 100
    limits = Limits(tuple(only or ()), tuple(skip or ()), cap, max_change, max_score, min_hits)
    with explain_faults():
        tuned, edits = _find(index, config, limits, write, history=history, dns=dns, jobs=jobs)
        _show(tuned, edits, as_json=as_json, dry_run=dry_run)
        if not dry_run:
            _write(edits, quiet=as_json)
    raise typer.Exit(ExitStatus.OK if tuned.changes else ExitStatus.NO)


def _find(
    index: Path, config: Path | None, limits: Limits, write: str, *, history: bool, dns: bool, jobs: int
) -> tuple[Tuned, list[Edited]]:
    from filterproxy.app.compose import load_config
    from filterproxy.cli.labelled import read_labelled
    from filterproxy.cli.replay import Way
    from filterproxy.ruleset.tune import tune as find_scores

    loaded = load_config(config)
    mail = read_labelled(index, Way(config, not dns, jobs), history=history)
    tuned = find_scores(mail.rows, mail.known, loaded.settings.actions, limits)
    return tuned, prepare(tuned.changes, mail.known, loaded, write)


def prepare(changes: Sequence[Change], known: dict[str, Known], loaded: Loaded, write: str) -> list[Edited]:
    """Return the edits of all files that hold the scores, none of them written; raise ConfigError."""
    from filterproxy.ruleset.score_edit import edit_config, edit_rules

    in_rules: dict[Path, dict[str, float]] = {}
    in_config: dict[Path, dict[str, float]] = {}
    places = _rules_files(loaded, own_only=write == "auto") if write != "config" else {}
    for change in changes:
        rules_file = places.get(change.name) if known[change.name].check == "rules" else None
        if rules_file is None or change.name in loaded.settings.scores:
            in_config.setdefault(_config_file(change.name, loaded, write), {})[change.name] = change.new
        else:
            in_rules.setdefault(rules_file, {})[change.name] = change.new
    edits = [edit_rules(path, scores) for path, scores in in_rules.items()]
    return edits + [edit_config(path, scores) for path, scores in in_config.items()]


def _rules_files(loaded: Loaded, *, own_only: bool) -> dict[str, Path]:
    """Return the file of each rule; `own_only`: not those that ship with the program, which an update replaces."""
    from filterproxy.checks.rules import RulesConfig
    from filterproxy.config.paths import installed_data
    from filterproxy.ruleset.loader import find_files
    from filterproxy.ruleset.score_edit import where_written

    configured = loaded.checks.get("rules")
    if not isinstance(configured, RulesConfig):
        return {}
    files = find_files(configured.files, loaded.base_dir)
    shipped = installed_data() / "rules"
    return where_written(file for file in files if not own_only or file.parent != shipped)


def _config_file(name: str, loaded: Loaded, write: str) -> Path:
    """Return the file of the configuration that sets a score, or the main one."""
    from filterproxy.core.errors import ConfigError

    if write == "rules" and name not in loaded.settings.scores:
        raise ConfigError(f"{name} is in no rules file", hint="--write auto, or leave it out with --skip")
    owner = loaded.merged.owner(("scores", name)) if name in loaded.settings.scores else None
    if owner is not None:
        return Path(owner.file)
    if loaded.path is None:
        raise ConfigError(f"the score of {name} belongs into a configuration file, and there is none", hint="-c FILE")
    return loaded.path


def _show(tuned: Tuned, edits: list[Edited], *, as_json: bool, dry_run: bool) -> None:
    from filterproxy.cli.tune_table import document, table

    if as_json:
        sys.stdout.write(json.dumps(document(tuned, [edit.path for edit in edits])) + "\n")
        return
    sys.stdout.writelines(line + "\n" for line in table(tuned))
    if dry_run:
        sys.stdout.writelines("\n" + edit.diff() for edit in edits)


def _write(edits: list[Edited], *, quiet: bool) -> None:
    from filterproxy.ruleset.score_edit import write_all

    for edit in write_all(edits):
        if not quiet:
            when = "at SIGHUP" if edit.of_config else "by itself"
            sys.stdout.write(f"wrote {edit.path} (a running service takes it up {when})\n")
