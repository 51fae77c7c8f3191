"""`filterproxy doctor`: is everything in order that the filter stands on, and if not, what is to be done?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from filterproxy.app.doctor import Finding

_LONGEST = 500


def doctor(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which it gives up what is not answered.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: `healthy` and `findings`.")] = False,
) -> None:
    """Look at DNS, lists, next hop, sockets, model, rules, store, clock and our own names; say what to do.

    Works whether the filter runs or not, and changes nothing. Exit status 0: healthy, maybe with warnings; 1: there is
    a problem.
    """
    from filterproxy.app.doctor import Status, examine

    if timeout <= 0:
        raise typer.BadParameter("give it more than no time", param_hint="--timeout")
    findings = asyncio.run(examine(config, seconds=timeout))
    healthy = not any(finding.status is Status.PROBLEM for finding in findings)
    if as_json:
        _print_json(findings, healthy)
    else:
        _print_table(findings)
    if not healthy:
        raise typer.Exit(ExitStatus.NO)


def _print_json(findings: Sequence[Finding], healthy: bool) -> None:
    told = [
        {"area": finding.area, "status": finding.status.value, "text": finding.text, "advice": finding.advice}
        for finding in findings
    ]
    sys.stdout.write(json.dumps({"healthy": healthy, "findings": told}, ensure_ascii=True) + "\n")


def _print_table(findings: Sequence[Finding]) -> None:
    """Print a line a finding, with what to do below it, and how many of which kind there are."""
    from filterproxy.app.doctor import Status
    from filterproxy.observability.escape import escape

    width = max(len(finding.area) for finding in findings)
    for finding, following in zip_longest(findings, findings[1:]):
        word = finding.status.value
        shown = word.upper() if finding.status is Status.PROBLEM else word
        sys.stdout.write(f"{shown:<8} {finding.area:<{width}}  {escape(finding.text, _LONGEST)}\n")
        # Once for all that need the same.
        if finding.advice and (following is None or following.advice != finding.advice):
            sys.stdout.write(f"{'':<8} {'':<{width}}  -> {escape(finding.advice, _LONGEST)}\n")
    counts = [(sum(finding.status is status for finding in findings), status.value) for status in reversed(Status)]
    told = ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count and word != "ok")
    sys.stdout.write(f"\n{told or 'all is well'}\n")
