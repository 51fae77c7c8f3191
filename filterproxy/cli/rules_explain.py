"""`filterproxy rules explain`: which rules match a message, and which text each of them sees where."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.observability.escape import escape

if TYPE_CHECKING:
    from filterproxy.cli.scanning import Sender
    from filterproxy.ruleset.ruleset import RuleSet
    from filterproxy.ruleset.sights import Sight

_LONGEST_TEXT = 200
_LONGEST_NAME = 500
_SIGHTS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A rule or composite that fires; a composite has names of other symbols instead of sights."""

    name: str
    score: float
    description: str
    sights: tuple[Sight, ...] = ()
    symbols: tuple[str, ...] = ()
    group: str = ""


def explain(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Messages; - is standard input.")],
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    ip: Annotated[str, typer.Option(help="IP address of the SMTP client.")] = "",
    helo: Annotated[str, typer.Option(help="HELO name of the client.")] = "",
    mail_from: Annotated[str, typer.Option(help="Envelope sender.")] = "",
    rcpt: Annotated[list[str] | None, typer.Option(help="Envelope recipient; repeat it for more.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a message and line.")] = False,
) -> None:
    """Show which rules match a message, and which text each of them sees where.

    The rules run alone: composites with symbols of other checks and allow lists that need authentication stay silent;
    `filterproxy explain` shows the whole. Exit status 0; 75: a message could not be read.
    """
    from filterproxy.app.compose import load_config
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.loaded_rules import load_or_exit
    from filterproxy.cli.scanning import Sender
    from filterproxy.services.corpus import read_messages

    sender = Sender(ip, helo, mail_from, tuple(rcpt or ()))
    status = ExitStatus.OK
    with explain_faults():
        loaded = load_config(config)
        ruleset, scores = load_or_exit(loaded, None), loaded.settings.scores
        for item in read_messages(paths):
            if item.raw is None:
                sys.stderr.write(f"filterproxy: {escape(item.name, _LONGEST_NAME)}: {escape(item.error, 200)}\n")
                status = ExitStatus.TEMPORARY_FAILURE
            else:
                found = find(ruleset, item.raw, sender, scores)
                taken = over_limit(found, ruleset)
                lines = [json.dumps(_document(item.name, found, taken))] if as_json else _lines(item.name, found, taken)
                sys.stdout.writelines(line + "\n" for line in lines)
    raise typer.Exit(status)


def find(ruleset: RuleSet, raw: bytes, sender: Sender, scores: dict[str, float]) -> list[Found]:
    """Return the rules that match a message, the heaviest first, then the composites that they make.

    `scores` are the configuration's, which override those of the rules.
    """
    from filterproxy.services.clock import SystemClock

    seen = ruleset.trace(_transaction(raw, sender), SystemClock().now())
    symbols = {symbol.name: symbol for symbol in ruleset.symbols}
    rules = [
        Found(name, scores.get(name, symbols[name].score), symbols[name].description, sights, group=symbols[name].group)
        for name, sights in seen.items()
        if name in symbols
    ]
    fired, composites = set(seen), []
    for composite in ruleset.composites:
        if composite.expression.matches(fired):
            fired.add(composite.name)
            score = scores.get(composite.name, composite.score)
            names = tuple(dict.fromkeys(name for name in composite.expression.names() if name in fired))
            composites.append(Found(composite.name, score, composite.description, (), names, composite.group))
    return sorted(rules, key=lambda item: (-abs(item.score), item.name)) + composites


def over_limit(found: list[Found], ruleset: RuleSet) -> dict[str, float]:
    """Return by how much each group is over its limit, which the policy takes off."""
    sums = {group: math.fsum(item.score for item in found if item.group == group) for group in ruleset.group_limits}
    return {
        group: total - ruleset.group_limits[group]
        for group, total in sums.items()
        if total > ruleset.group_limits[group]
    }


def _transaction(raw: bytes, sender: Sender) -> Any:
    from filterproxy.core.envelope import Envelope, Recipient
    from filterproxy.core.session import Client, Session
    from filterproxy.core.transaction import Transaction
    from filterproxy.message import Message

    transaction = Transaction.begin(Session("rules", "rules", Client(sender.ip), sender.helo))
    transaction.envelope = Envelope(sender.mail_from, (), [Recipient(address) for address in sender.rcpt_to])
    transaction.message = Message(raw)
    return transaction


def _lines(name: str, found: list[Found], taken: dict[str, float]) -> Iterator[str]:
    total = round(math.fsum(item.score for item in found) - math.fsum(taken.values()), 4)
    yield f"{escape(name, _LONGEST_NAME)}: {len(found)} rules, {total:g} points"
    for item in found:
        yield f"  {item.score:6.2f}  {item.name}: {item.description}"
        if item.symbols:
            yield f"          because of {', '.join(item.symbols)}"
        yield from (f"          {_sight(sight)}" for sight in item.sights[:_SIGHTS])
        if len(item.sights) > _SIGHTS:
            yield f"          and {len(item.sights) - _SIGHTS} more places (--json has all)"
    yield from (f"  {-excess:6.2f}  taken off: the group {group} is over its limit" for group, excess in taken.items())


def _sight(sight: Sight) -> str:
    if not sight.text:
        return f"{sight.place}: not there"
    return f"{sight.place}: {escape(_one_line(sight.text), _LONGEST_TEXT)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _document(name: str, found: list[Found], taken: dict[str, float]) -> dict[str, Any]:
    return {
        "file": name,
        "score": round(math.fsum(item.score for item in found) - math.fsum(taken.values()), 4),
        "over_group_limits": {group: round(excess, 4) for group, excess in taken.items()},
        "rules": [
            {
                "name": item.name,
                "score": item.score,
                "description": item.description,
                "matched": [{"place": sight.place, "text": sight.text[:_LONGEST_TEXT]} for sight in item.sights],
                "because_of": list(item.symbols),
            }
            for item in found
        ],
    }
