"""`filterproxy train`: build a model from labelled mail."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.classifier.card import Description
    from filterproxy.classifier.linear_model import LinearModel
    from filterproxy.classifier.metrics import Measures
    from filterproxy.classifier.model import Model
    from filterproxy.classifier.reading import Example, Read

CLASSIFIERS = ("filterproxy", "multinomial-nb", "complement-nb", "sgd")


def train(
    output: Annotated[Path, typer.Option(help="Folder for the model: model.fpm, card.md and SHA256SUMS.")],
    ham: Annotated[
        list[str] | None, typer.Option(metavar="PATH…", help="Wanted mail: files, folders, mboxes, Maildirs, archives.")
    ] = None,
    spam: Annotated[list[str] | None, typer.Option(metavar="PATH…", help="Unwanted mail, likewise.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Index of lines `spam|ham path` instead of --ham and --spam.")
    ] = None,
    compact: Annotated[
        bool, typer.Option(help="Write a small file: features seen once are dropped, numbers rounded.")
    ] = False,
    trust: Annotated[
        float,
        typer.Option(min=0.001, max=1, help="What an example counts beside one of the site's own; 1 for own mail."),
    ] = 1.0,
    data: Annotated[str, typer.Option(help="What the mail is, for the model's card.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Processes that read messages; 0 is one a core.")] = 0,
    classifier: Annotated[
        str,
        typer.Option(
            help="filterproxy, or of scikit-learn: multinomial-nb, complement-nb, sgd (these cannot learn on)."
        ),
    ] = "filterproxy",
    force: Annotated[bool, typer.Option(help="Replace a model even with a worse one.")] = False,
) -> None:
    """Build a model from labelled mail; the newest fifth is held out first to report on.

    Exit status 0: the model is written; 1: it is worse than the one it would replace, which stays; 2: the arguments or
    the mail are not usable.
    """
    from filterproxy.classifier.card import Description
    from filterproxy.cli.faults import explain_faults

    if classifier not in CLASSIFIERS:
        raise typer.BadParameter(f"{classifier!r} is none of {', '.join(CLASSIFIERS)}", param_hint="--classifier")
    if bool(index) == bool(ham or spam):
        raise typer.BadParameter("give either --ham and --spam, or --index")
    with explain_faults(), tempfile.TemporaryDirectory(prefix="filterproxy-train-") as temporary:
        examples = _examples(index, ham or [], spam or [], Path(temporary))
        raise typer.Exit(_train(examples, output, Description(data, trust, compact), jobs, force, classifier))


def _examples(index: Path | None, ham: list[str], spam: list[str], temporary: Path) -> list[Example]:
    from filterproxy.classifier.reading import from_index, from_paths
    from filterproxy.core.errors import ConfigError

    if index is not None:
        return from_index(index)
    try:
        return from_paths(ham, spam, temporary)
    except OSError as error:
        place = str(error.filename or temporary)
        raise ConfigError(f"cannot unpack: {error.strerror}", file=place, hint="set TMPDIR") from error


def _train(
    examples: list[Example], output: Path, description: Description, jobs: int, force: bool, classifier: str
) -> ExitStatus:
    from filterproxy.classifier.card import worse_than_existing, write_model
    from filterproxy.cli.evaluate import print_measures

    model, measures = _learn(examples, output, jobs, classifier)
    reason = "" if force else worse_than_existing(output, measures)
    if reason:
        sys.stderr.write(f"filterproxy: {output} stays as it is: {reason} (--force replaces it)\n")
        return ExitStatus.NO
    write_model(output, model, measures, description)
    sys.stdout.write(f"{output}: a model of {model.examples.spam} spam and {model.examples.ham} ham messages\n")
    if measures is None:
        sys.stdout.write("too few messages to hold any out for a report\n")
    else:
        sys.stdout.write("the newest fifth, scored before it was learned:\n")
        print_measures(measures)
    return ExitStatus.OK


def _learn(
    examples: list[Example], output: Path, jobs: int, classifier: str
) -> tuple[Model | LinearModel, Measures | None]:
    from filterproxy.cli.reading import Unreadable, progress
    from filterproxy.core.errors import ConfigError

    unreadable = Unreadable()
    with progress("training", len(examples)) as advance:

        def tell(read: Read) -> None:
            if read.features is None:
                unreadable.add(read.example.source.name, read.error)
            advance()

        try:
            model, measures = _run(examples, output, jobs, classifier, tell)
        except OSError as error:
            raise ConfigError(f"cannot write: {error.strerror}", file=str(error.filename or output)) from error
    unreadable.finish()
    if not model.examples.spam or not model.examples.ham:
        found = f"{model.examples.spam} spam and {model.examples.ham} ham messages could be read"
        raise ConfigError(found, hint="a model needs both")
    return model, measures


def _run(
    examples: list[Example], output: Path, jobs: int, classifier: str, tell: Callable[[Read], None]
) -> tuple[Model | LinearModel, Measures | None]:
    from filterproxy.classifier.checkpoint import Checkpoint
    from filterproxy.classifier.train import How, train_other
    from filterproxy.classifier.train import train as run_training

    if classifier == CLASSIFIERS[0]:
        return run_training(examples, tell, How(jobs, Checkpoint.of(output, examples)))
    from filterproxy.classifier.comparison import PeerModel

    model = PeerModel(classifier)
    measures = train_other(examples, model, tell, jobs)
    return model.export(), measures
