"""`filterproxy evaluate`: how good the classifier is on a labelled corpus, by the measures of the literature."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from filterproxy.classifier.evaluate import Classifier
    from filterproxy.classifier.metrics import Measures
    from filterproxy.classifier.rows import Scored
    from filterproxy.classifier.worst import WorstMistakes


def evaluate(
    index: Annotated[Path, typer.Option(help="Index of the corpus: lines `spam|ham path`, in delivery order.")],
    protocol: Annotated[
        str,
        typer.Option(help="online: score each message, then learn it; batch: learn the first part, score the rest."),
    ] = "online",
    model: Annotated[Path | None, typer.Option(help="Start from this model instead of an empty one.")] = None,
    train_first: Annotated[
        int | None, typer.Option(min=0, help="Learn so many messages; batch: half of them unless said.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Write `path judge class score` for each message.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report with charts and the worst errors: one HTML file.")
    ] = None,
    classifier: Annotated[
        str, typer.Option(help="filterproxy, or for comparison: multinomial-nb, complement-nb, sgd.")
    ] = "filterproxy",
    as_json: Annotated[bool, typer.Option("--json", help="Print the measures as one JSON object.")] = False,
) -> None:
    """Measure the classifier on a corpus, from an empty model unless --model names one.

    Exit status 0, also when single messages could not be read; 2: the index or the model is wrong.
    """
    from filterproxy.cli.faults import explain_faults

    if protocol not in ("online", "batch"):
        raise typer.BadParameter(f"{protocol!r} is neither online nor batch", param_hint="--protocol")
    with explain_faults():
        tested = _classifier(classifier, model)
        worst = _watcher(tested) if report else None
        scored, unreadable = _run(index, protocol, tested, train_first, results, worst)
        del tested
        if report:
            how = _how(classifier, protocol, train_first, model, unreadable)
            _write_report(report, index, scored, worst, how)
    from filterproxy.classifier.metrics import measure

    measures = measure(scored.rows())
    if as_json:
        sys.stdout.write(json.dumps(asdict(measures) | {"unreadable": unreadable}) + "\n")
    else:
        print_measures(measures)


def _run(
    index: Path,
    protocol: Any,
    model: Classifier,
    train_first: int | None,
    results: Path | None,
    worst: WorstMistakes | None,
) -> tuple[Scored, int]:
    from filterproxy.classifier.evaluate import evaluate as run_evaluation
    from filterproxy.classifier.reading import from_index
    from filterproxy.classifier.rows import Scored
    from filterproxy.cli.reading import Unreadable, progress

    examples, scored, unreadable = from_index(index), Scored(), Unreadable()
    watch = worst.watch if worst else lambda *_: None
    with _results_file(results) as file, progress(f"{protocol} run", len(examples)) as advance:
        for result in run_evaluation(examples, model, protocol, train_first, watch):
            if file is not None:
                file.write(result.line() + "\n")
            if result.error:
                unreadable.add(result.path, result.error)
            else:
                scored.add(result.is_spam, result.given, result.score)
            advance()
    unreadable.finish()
    return scored, unreadable.count


def _watcher(model: Classifier) -> WorstMistakes | None:
    """Return what keeps the worst errors with their reasons, which only our own model can give."""
    from filterproxy.classifier.model import Model
    from filterproxy.classifier.worst import WorstMistakes

    return WorstMistakes(model) if isinstance(model, Model) else None


def _how(classifier: str, protocol: str, train_first: int | None, model: Path | None, unreadable: int) -> str:
    """Return in words how the messages were scored."""
    from filterproxy import __version__
    from filterproxy.observability.escape import escape

    parts = {
        "online": "online: each message scored, then learned",
        "batch": "batch: the first part learned, the rest scored",
    }
    return "; ".join(
        (
            f"{classifier} (filterproxy {__version__})",
            parts[protocol],
            *([f"only the first {train_first} learned"] if train_first is not None else []),
            f"from the model {escape(str(model), 200)}" if model else "from an empty model",
            *([f"{unreadable} could not be read"] if unreadable else []),
        )
    )


def _write_report(file: Path, index: Path, scored: Scored, worst: WorstMistakes | None, how: str) -> None:
    from filterproxy.classifier.report import render
    from filterproxy.core.errors import ConfigError
    from filterproxy.observability.escape import escape

    text = render(f"Evaluation of {escape(str(index), 300)}", scored.rows(), worst.worst_first() if worst else (), how)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", file=str(file)) from error


@contextmanager
def _results_file(path: Path | None) -> Iterator[IO[str] | None]:
    from filterproxy.core.errors import ConfigError

    try:
        opened = path.open("w", encoding="utf-8", errors="surrogateescape") if path else nullcontext()
    except OSError as error:
        raise ConfigError(f"cannot write: {error.strerror}", file=str(path)) from error
    with opened as file:
        yield file


def _classifier(name: str, model: Path | None) -> Classifier:
    from filterproxy.classifier.model import Model
    from filterproxy.classifier.model_file import load

    if name == "filterproxy":
        return load(model).to_model() if model else Model.empty()
    from filterproxy.classifier.comparison import PEERS, PeerModel

    if name not in PEERS:
        known = ", ".join(("filterproxy", *PEERS))
        raise typer.BadParameter(f"{name!r} is none of {known}", param_hint="--classifier")
    if model is not None:
        raise typer.BadParameter("a model file is for the classifier filterproxy alone", param_hint="--model")
    return PeerModel(name)


def print_measures(measures: Measures) -> None:
    """Print the measures as lines `name value`, for people."""
    lines = [("messages", f"{measures.spam + measures.ham} ({measures.spam} spam, {measures.ham} ham)")]
    if measures.unsure:
        lines.append(("unsure", str(measures.unsure)))
    for name, value in (
        ("(1-ROCA)%", measures.roca),
        ("lam%", measures.lam),
        ("ham called spam %", measures.hm),
        ("spam not called spam %", measures.sm),
        *((f"spam missed % at {share} of the ham lost", missed) for share, missed in measures.sm_at.items()),
        ("calibration error %", measures.calibration_error),
    ):
        if value is not None:
            lines.append((name, f"{value:.4f}"))
    width = max(len(name) for name, _ in lines)
    sys.stdout.writelines(f"{name:<{width}}  {value}\n" for name, value in lines)
