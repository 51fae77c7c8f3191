"""`filterproxy scan`: what the filter thinks of messages in files, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.scanning import Sender, scan_items

if TYPE_CHECKING:
    from filterproxy.cli.scan_parallel import ScanJob
    from filterproxy.core.scan_result import ScanResult
    from filterproxy.services.corpus import CorpusItem

# More messages than this are worth a process for each core, which takes a second or two to start.
_FEW = 100
_FEW_BYTES = 16 << 20


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
    """Scan messages and say what would be done with them; many messages use all cores.

    Exit status 0: no action for any message; 1: at least one gets another action; 75: at least one was not scanned.
    """
    from filterproxy.cli.scan_parallel import ScanJob, processes, scan_in_processes
    from filterproxy.cli.scan_table import print_result
    from filterproxy.services.corpus import read_messages

    sender = Sender(ip, helo, mail_from, tuple(rcpt or ()), user)
    job = ScanJob(config, sender, offline, _print_json if as_json else print_result, _status)
    items = read_messages(paths)
    first, count = _first(items), processes()
    every = chain(first, items)
    # A table for a terminal has colours, which only this process can give it.
    many = len(first) == _FEW and count > 1 and (as_json or not sys.stdout.isatty())
    raise typer.Exit(scan_in_processes(job, every, count) if many else asyncio.run(_scan(job, every)))


def _first(items: Iterator[CorpusItem]) -> list[CorpusItem]:
    """Return the first messages, at most _FEW and about _FEW_BYTES: enough to know whether there are many."""
    found: list[CorpusItem] = []
    size = 0
    for item in items:
        found.append(item)
        size += len(item.raw or b"")
        if len(found) == _FEW or size > _FEW_BYTES:
            break
    return found


async def _scan(job: ScanJob, items: Iterable[CorpusItem]) -> int:
    from filterproxy.app.compose import open_pipeline
    from filterproxy.cli.faults import explain_faults

    status = ExitStatus.OK
    with explain_faults():
        async with open_pipeline(job.config, offline=job.offline) as opened:
            async for name, result in scan_items(opened, items, job.sender):
                job.show(name, result)
                status = max(status, job.status_of(result))
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
