"""`filterproxy learn` and `filterproxy forget`: teach the running filter single messages, or take that back."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.checks.bayes import BayesConfig
    from filterproxy.classifier.feedback import Feedback, Outcome
    from filterproxy.classifier.personal_feedback import PersonalFeedback

ConfigOption = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="File, folder, mbox, Maildir or archive; - is standard input.")
]


Recipient = Annotated[
    str, typer.Option(metavar="ADDRESS", help="For this recipient alone (checks.bayes.per_recipient).")
]
Domain = Annotated[str, typer.Option(help="For the recipients of this domain alone (checks.bayes.per_domain).")]


def learn(
    judge: Annotated[str, typer.Argument(metavar="spam|ham", help="What the messages are.")],
    paths: Paths,
    config: ConfigOption = None,
    recipient: Recipient = "",
    domain: Domain = "",
) -> None:
    """Learn messages as spam or ham; a message learned before as the other is corrected.

    Workers score by it at once. With --recipient or --domain the shared model stays as it is.

    Exit status 0, also when a message was already learned; 75: at least one could not be
    read or learned.
    """
    if judge not in ("spam", "ham"):
        raise typer.BadParameter(f"{judge!r} is neither spam nor ham", param_hint="spam|ham")
    whose = _Whose(recipient, domain)
    raise typer.Exit(_apply(config, paths, whose, lambda feedback, raw: feedback.learn(raw, judge == "spam")))


def forget(paths: Paths, config: ConfigOption = None, recipient: Recipient = "", domain: Domain = "") -> None:
    """Undo the learning of messages.

    Exit status 0; 1: at least one was never learned; 75: at least one could not be read or forgotten.
    """
    raise typer.Exit(_apply(config, paths, _Whose(recipient, domain), lambda feedback, raw: feedback.forget(raw)))


class _Whose(NamedTuple):
    """Whose model learns; the shared one when both are empty."""

    recipient: str
    domain: str

    def owners(self, settings: BayesConfig) -> tuple[str, ...]:
        """Return the personal models that apply, the one that learns last; raise ConfigError when they are off."""
        from filterproxy.core.errors import ConfigError

        if self.recipient and self.domain:
            raise typer.BadParameter("give either --recipient or --domain")
        if self.recipient and self.recipient.strip("@").count("@") == 0:
            raise typer.BadParameter(f"{self.recipient!r} is no address", param_hint="--recipient")
        for value, key in ((self.recipient, "per_recipient"), (self.domain, "per_domain")):
            if value and not getattr(settings, key):
                hint = f"put `{key}: true` into checks.bayes"
                raise ConfigError("such models are not enabled", key=f"checks.bayes.{key}", hint=hint)
        if self.domain:
            return (f"@{self.domain.strip().lower().removeprefix('@').rstrip('.')}",)
        return settings.owners.of([self.recipient]) if self.recipient else ()


def _apply(
    config: Path | None,
    paths: list[str],
    whose: _Whose,
    action: Callable[[Feedback | PersonalFeedback, bytes], Outcome],
) -> ExitStatus:
    from filterproxy.classifier.feedback import Outcome
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.reading import Unreadable, progress
    from filterproxy.services.corpus import read_messages

    outcomes: Counter[Outcome] = Counter()
    unreadable = Unreadable()
    with explain_faults(), _open(config, whose) as feedback, progress("learning", None) as advance:
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


def _open(config: Path | None, whose: _Whose) -> Feedback | PersonalFeedback:
    from filterproxy.classifier.feedback import Feedback
    from filterproxy.classifier.personal_feedback import PersonalFeedback
    from filterproxy.cli.site import bayes_settings, selection_of

    selection, loaded = selection_of(config)
    settings = bayes_settings(loaded)
    owners = whose.owners(settings)
    if owners:
        maximum = settings.max_personal_models
        return PersonalFeedback(selection.current(), selection.state_dir, owners, maximum, _warn)
    return Feedback(selection.current(), selection.state_dir)


def _warn(text: str) -> None:
    sys.stderr.write(f"filterproxy: {text}\n")
