"""`filterproxy scan`: what the filter thinks of messages in files, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.scanning import Sender, scan_paths

if TYPE_CHECKING:
    from filterproxy.core.scan_result import ScanResult


def scan(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="File, folder, mbox or Maildir; - is standard input.")
    ],
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    ip: Annotated[
        str, typer.Option(help="IP address of the SMTP client; without it the client's checks are none.")
    ] = "",
    helo: Annotated[str, typer.Option(help="HELO name of the client.")] = "",
    mail_from: Annotated[str, typer.Option(help="Envelope sender.")] = "",
    rcpt: Annotated[list[str] | None, typer.Option(help="Envelope recipient; repeat it for more.")] = None,
    user: Annotated[str, typer.Option(help="Authenticated user.")] = "",
    offline: Annotated[bool, typer.Option(help="Ask no DNS.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a message and line.")] = False,
) -> None:
    """Scan messages and say what would be done with them.

    Exit status 0: no action for any message; 1: at least one gets another action; 75: at least one was not scanned.
    """
    sender = Sender(ip, helo, mail_from, tuple(rcpt or ()), user)
    raise typer.Exit(asyncio.run(_scan(config, paths, sender, offline, as_json)))


async def _scan(config: Path | None, paths: list[str], sender: Sender, offline: bool, as_json: bool) -> int:
    from filterproxy.app.compose import open_pipeline
    from filterproxy.cli.faults import explain_faults
    from filterproxy.cli.scan_table import print_result

    show = _print_json if as_json else print_result
    status = ExitStatus.OK
    with explain_faults():
        async with open_pipeline(config, offline=offline) as opened:
            async for name, result in scan_paths(opened, paths, sender):
                show(name, result)
                status = max(status, _status(result))
    return status


def _status(result: ScanResult | str) -> ExitStatus:
    from filterproxy.core.action import Action

    if isinstance(result, str):
        return ExitStatus.TEMPORARY_FAILURE
    return ExitStatus.OK if result.action in (Action.NO_ACTION, Action.GREYLIST) else ExitStatus.NO


def _print_json(name: str, result: ScanResult | str) -> None:
    sys.stdout.write(json.dumps(as_document(name, result)) + "\n")
    sys.stdout.flush()


def as_document(name: str, result: ScanResult | str) -> dict[str, Any]:
    """Return the JSON document of one message (documented in docs/operations.md)."""
    from filterproxy.core.authentication import summarise

    if isinstance(result, str):
        return {"file": name, "error": result}
    return {
        "file": name,
        "action": result.action.value,
        "score": round(result.score, 4),
        "required_score": result.required_score if math.isfinite(result.required_score) else None,
        "symbols": [
            {
                "name": symbol.name,
                "score": round(symbol.score, 4),
                "options": list(symbol.options),
                "description": symbol.description,
            }
            for symbol in result.symbols
        ],
        "authentication": summarise(result.authentication),
    }
