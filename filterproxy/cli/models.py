"""`filterproxy models`: which models there are, what they are, and which one is in use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.classifier.learner import Examples
    from filterproxy.classifier.linear_model import LinearModel
    from filterproxy.classifier.model_file import StoredModel
    from filterproxy.classifier.site_model import SiteModel
    from filterproxy.config.loader import Loaded

app = typer.Typer(no_args_is_help=True, help="List models, show one, choose one, go back.")

ConfigOption = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
_CONFIDENT = 0.9
_SHOWN = 20


@app.command("list")
def list_models(config: ConfigOption = None) -> None:
    """List the models beside the configuration and the shipped one; a star marks the one in use."""
    from filterproxy.app.site_models import model_folders
    from filterproxy.classifier.any_model import load_any
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.site import selection_of
    from filterproxy.core.errors import ConfigError

    with explain_faults():
        selection, loaded = selection_of(config)
        current = selection.current()
        folders = {*model_folders(loaded.base_dir), selection.configured, current}
        for folder in sorted(folders, key=lambda path: (path.name, str(path))):
            mark = "*" if folder == current else " "
            try:
                line = _summary(load_any(folder))
            except ConfigError as error:
                line = error.reason
            sys.stdout.write(f"{mark} {folder.name:<16} {line}  {folder}\n")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name or folder of a model; the one in use unless given.")] = "",
    config: ConfigOption = None,
) -> None:
    """Show what a model is, what was learned here on top of it, and how many more examples would help."""
    from filterproxy.classifier.any_model import load_any
    from filterproxy.classifier.linear_model import LinearModel
    from filterproxy.classifier.site_model import open_site_model
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.site import selection_of
    from filterproxy.observability.escape import escape

    with explain_faults():
        selection, loaded = selection_of(config)
        folder = _find(name, loaded) if name else selection.current()
        stored = load_any(folder)
        lines = [("model", str(folder)), ("in use", "yes" if folder == selection.current() else "no")]
        lines += [
            ("learned", f"{stored.examples.spam} spam, {stored.examples.ham} ham"),
            ("trust", f"{stored.trust:g}"),
        ]
        lines += [(key, str(value)) for key, value in stored.info.items()]
        lines.append(("checksum", stored.checksum))
        if isinstance(stored, LinearModel):
            lines.append(("classifier", f"{stored.classifier} of scikit-learn: learns nothing here"))
        elif folder == selection.current():
            lines += _site_lines(open_site_model(folder, selection.state_dir, _warn), _automatic(selection.state_dir))
            lines += _personal(selection.state_dir)
    for key, value in lines:
        sys.stdout.write(f"{escape(key, 40):<14} {escape(value, 500)}\n")


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="Name of a model beside the configuration, or a folder.")],
    config: ConfigOption = None,
) -> None:
    """Use another model from now on; running workers follow within a second.

    What was learned here stays. Exit status 2: there is no such model, or it is unusable, and nothing is changed.
    """
    from filterproxy.classifier.any_model import load_any
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.site import selection_of

    with explain_faults():
        selection, loaded = selection_of(config)
        folder = _find(name, loaded)
        load_any(folder)
        selection.use(folder)
    sys.stdout.write(f"using {folder}\n")


@app.command()
def rollback(config: ConfigOption = None) -> None:
    """Go back to the model that was in use before the last `models use`.

    Exit status 1: there is nothing to go back to.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.site import selection_of

    with explain_faults():
        folder = selection_of(config)[0].rollback()
    if folder is None:
        sys.stderr.write("filterproxy: the configured model is in use; there is nothing to go back to\n")
        raise typer.Exit(ExitStatus.NO)
    sys.stdout.write(f"using {folder}\n")


def _find(name: str, loaded: Loaded) -> Path:
    """Return the folder of a model by its name, or by its path."""
    from filterproxy.app.site_models import model_folders

    for folder in model_folders(loaded.base_dir):
        if folder.name == name:
            return folder
    return Path(name).absolute()


def _summary(stored: StoredModel | LinearModel) -> str:
    from filterproxy.observability.escape import escape

    roca = stored.info.get("roca")
    figure = f"(1-ROCA)% {roca:.4f}" if isinstance(roca, float) else "no figure"
    created = escape(str(stored.info.get("created", "-")), 20)
    return f"{created}  {stored.examples.spam} spam, {stored.examples.ham} ham  {figure}"


def _personal(state_dir: Path) -> list[tuple[str, str]]:
    """Return a line for each of the personal models with the most examples."""
    from filterproxy.classifier.personal_feedback import learned_personally

    counts = learned_personally(state_dir)
    most = sorted(counts, key=lambda owner: (-counts[owner].spam - counts[owner].ham, owner))[:_SHOWN]
    lines = [("… on top", f"{owner}: {counts[owner].spam} spam, {counts[owner].ham} ham") for owner in most]
    return lines + ([("… on top", f"and {len(counts) - _SHOWN} more")] if len(counts) > _SHOWN else [])


def _automatic(state_dir: Path) -> Examples:
    from filterproxy.classifier.feedback import learned_automatically

    return learned_automatically(state_dir)


def _site_lines(model: SiteModel, automatic: Examples) -> list[tuple[str, str]]:
    learned, threshold = model.learned, model.threshold()
    lines = [
        ("learned here", f"{learned.spam} spam, {learned.ham} ham"),
        *([("… by itself", f"{automatic.spam} spam, {automatic.ham} ham")] if automatic.spam + automatic.ham else []),
        ("threshold", f"{threshold.value:.2f}" if threshold.informed else "none: a class has no example"),
        ("evidence", f"{model.evidence():.2f}"),
    ]
    spam, ham = model.missing_for(_CONFIDENT)
    if spam or ham:
        lines.append(("would help", f"{spam} more spam and {ham} more ham, for an evidence of {_CONFIDENT}"))
    return lines


def _warn(text: str) -> None:
    sys.stderr.write(f"filterproxy: {text}\n")
