"""`filterproxy explain`: what a symbol means here, or how a message came to its action and what would change it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.scanning import Sender, scan_paths

if TYPE_CHECKING:
    from filterproxy.app.compose import OpenPipeline
    from filterproxy.core.scan_result import ScanResult
    from filterproxy.pipeline import ScoringPolicy


def explain(
    subject: Annotated[str, typer.Argument(metavar="SYMBOL|PATH|-", help="A symbol's name, or a message.")],
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    ip: Annotated[str, typer.Option(help="IP address of the SMTP client.")] = "",
    helo: Annotated[str, typer.Option(help="HELO name of the client.")] = "",
    mail_from: Annotated[str, typer.Option(help="Envelope sender.")] = "",
    rcpt: Annotated[list[str] | None, typer.Option(help="Envelope recipient; repeat it for more.")] = None,
    offline: Annotated[bool, typer.Option(help="Ask no DNS.")] = False,
) -> None:
    """Explain a symbol (where it comes from, its score) or a message (what each symbol added, what would change it)."""
    sender = Sender(ip, helo, mail_from, tuple(rcpt or ()))
    is_path = subject == "-" or os.path.lexists(subject)
    raise typer.Exit(asyncio.run(_explain(subject, is_path, config, sender, offline)))


async def _explain(subject: str, is_path: bool, config: Path | None, sender: Sender, offline: bool) -> int:
    from filterproxy.app.compose import open_pipeline
    from filterproxy.cli.faults import explain_faults

    with explain_faults():
        async with open_pipeline(config, offline=offline) as opened:
            if subject in opened.pipeline.checks.symbols:
                _print_symbol(subject, opened)
                return ExitStatus.OK
            if not is_path:
                return _unknown(subject, opened)
            return await _print_messages(subject, opened, sender)


def _unknown(subject: str, opened: OpenPipeline) -> int:
    from filterproxy.pipeline.registry import nearest

    known = opened.pipeline.checks.symbols
    hint = nearest(subject.upper(), known) or "symbols of checks that are not enabled are unknown"
    typer.echo(f"filterproxy: {subject!r} is neither a file nor a symbol of an enabled check ({hint})", err=True)
    return ExitStatus.USAGE


def _print_symbol(name: str, opened: OpenPipeline) -> None:
    checks, policy = opened.pipeline.checks, opened.pipeline.policy
    symbol = checks.symbols[name]
    owner = next((check for check, names in checks.declared.items() if name in names), "")
    composite = next((item for item in checks.composites if item.name == name), None)
    typer.echo(f"{name}: {symbol.description}")
    if composite:
        typer.echo(f"  composite of {', '.join(sorted(set(composite.expression.names())))}")
    elif owner:
        typer.echo(f"  fired by the check {owner}")
    typer.echo(f"  score {policy.score_of(name):g}" + (f" (default {symbol.score:g})" if name in policy.scores else ""))
    if name in policy.forced_actions:
        typer.echo(f"  forces the action {policy.forced_actions[name]}")


async def _print_messages(path: str, opened: OpenPipeline, sender: Sender) -> int:
    from filterproxy.cli.scan_table import print_result

    status = ExitStatus.OK
    policy = opened.pipeline.profiles.choose(user=sender.user, local=opened.site.is_local(sender.ip)).policy
    async for name, result in scan_paths(opened, [path], sender):
        print_result(name, result)
        if isinstance(result, str):
            status = ExitStatus.TEMPORARY_FAILURE
            continue
        for line in what_would_change(result, policy):
            typer.echo(f"  {line}")
    return status


def what_would_change(result: ScanResult, policy: ScoringPolicy) -> Iterator[str]:
    """Yield sentences: why this action, what the next one lacks, and which symbol alone made the difference."""
    if result.forced_by:
        yield f"The action comes from {result.forced_by}, which forces it; the score was not asked."
        return
    if result.failed_by:
        yield f"The action comes from the failure of the check {result.failed_by} (on_failure: soft reject)."
        return
    yield from _next_threshold(result, policy)
    yield from _held_back(result, policy)
    threshold = policy.thresholds.get(result.action)
    if threshold is None:
        return
    decisive = [item for item in result.symbols if item.score > 0 and result.score - item.score < threshold]
    for item in sorted(decisive, key=lambda symbol: -symbol.score):
        rest = result.score - item.score
        yield f"Without {item.name} ({item.score:.2f}) the score would be {rest:.2f}: not {result.action}."


def _held_back(result: ScanResult, policy: ScoringPolicy) -> Iterator[str]:
    """Yield a sentence for each symbol that alone keeps the message from a harsher action."""
    for item in sorted(result.symbols, key=lambda symbol: symbol.score):
        rest = result.score - item.score
        reached = [action for action, score in policy.thresholds.items() if result.score < score <= rest]
        harsher = [action for action in reached if action.severity > result.action.severity]
        if item.score < 0 and harsher:
            action = max(harsher, key=lambda action: action.severity)
            yield f"Without {item.name} ({item.score:.2f}) the score would be {rest:.2f}: {action}."


def _next_threshold(result: ScanResult, policy: ScoringPolicy) -> Iterator[str]:
    harsher = {
        action: score
        for action, score in policy.thresholds.items()
        if action.severity > result.action.severity and score > result.score
    }
    if harsher:
        action, score = min(harsher.items(), key=lambda pair: pair[1])
        yield f"{score - result.score:.2f} more would make it {action} (from {score:g})."
