"""`filterproxy learn` and `filterproxy forget`: teach the running filter single messages, or take that back."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.classifier.feedback import Feedback, Outcome

ConfigOption = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="File, folder, mbox, Maildir or archive; - is standard input.")
]


def learn(
    judge: Annotated[str, typer.Argument(metavar="spam|ham", help="What the messages are.")],
    paths: Paths,
    config: ConfigOption = None,
) -> None:
    """Learn messages as spam or ham; a message learned before as the other is corrected.

    Workers score by it at once. Exit status 0, also when a message was already learned; 75: at least one could not be
    read or learned.
    """
    if judge not in ("spam", "ham"):
        raise typer.BadParameter(f"{judge!r} is neither spam nor ham", param_hint="spam|ham")
    raise typer.Exit(_apply(config, paths, lambda feedback, raw: feedback.learn(raw, judge == "spam")))


def forget(paths: Paths, config: ConfigOption = None) -> None:
    """Undo the learning of messages.

    Exit status 0; 1: at least one was never learned; 75: at least one could not be read or forgotten.
    """
    raise typer.Exit(_apply(config, paths, lambda feedback, raw: feedback.forget(raw)))


def _apply(config: Path | None, paths: list[str], action: Callable[[Feedback, bytes], Outcome]) -> ExitStatus:
    from filterproxy.classifier.feedback import Outcome
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.reading import Unreadable, progress
    from filterproxy.services.corpus import read_messages

    outcomes: Counter[Outcome] = Counter()
    unreadable = Unreadable()
    with explain_faults(), _open(config) as feedback, progress("learning", None) as advance:
        for item in read_messages(paths):
            if item.raw is None:
                unreadable.add(item.name, item.error)
            else:
                outcomes[action(feedback, item.raw)] += 1
            advance()
    unreadable.finish()
    sys.stdout.write(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no messages")
    sys.stdout.write("\n")
    if unreadable.count:
        return ExitStatus.TEMPORARY_FAILURE
    return ExitStatus.NO if outcomes[Outcome.UNKNOWN] else ExitStatus.OK


def _open(config: Path | None) -> Feedback:
    from filterproxy.classifier.feedback import Feedback
    from filterproxy.cli.site import selection_of

    selection = selection_of(config)[0]
    return Feedback(selection.current(), selection.state_dir)
