"""`filterproxy history`: what happened to messages, newest first, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filterproxy.core.errors import FilterproxyError

if TYPE_CHECKING:
    from filterproxy.services.store.history import HistoryRow

_AGE = re.compile(r"\d+(?:\.\d+)?\s*[a-z]+\Z", re.IGNORECASE)


def history(
    config: Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many messages.")] = 20,
    since: Annotated[str, typer.Option(help="An age (30m, 12h, 7d) or a time (2030-01-31, 2030-01-31T10:00).")] = "",
    action: Annotated[str, typer.Option(help="Only messages with this action.")] = "",
    sender: Annotated[str, typer.Option("--from", help="Part of the envelope sender.")] = "",
    recipient: Annotated[str, typer.Option("--to", help="Part of an envelope recipient.")] = "",
    queue_id: Annotated[str, typer.Option(help="The MTA's queue id.")] = "",
    symbol: Annotated[str, typer.Option(help="Only messages that fired this symbol.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a message and line.")] = False,
) -> None:
    """Show what happened to messages, newest first: action, score and symbols.

    Exit status 0, also when there is no such message; 75: the store cannot be read.
    """
    from filterproxy.cli.faults import explain_faults
    from filterproxy.core.action import Action

    filters: dict[str, Any] = {"limit": limit, "sender": sender, "recipient": recipient, "queue_id": queue_id}
    try:
        filters |= {"since": parse_since(since, datetime.now(UTC)), "symbol": symbol.upper()}
        filters["action"] = Action.parse(action).value if action else ""
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with explain_faults():
        rows = asyncio.run(_read(config, filters))
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


def parse_since(text: str, now: datetime) -> float | None:
    """Return seconds since the epoch for an age or a time, None for nothing; raise ValueError."""
    from filterproxy.core.values import parse_seconds

    if not text:
        return None
    if _AGE.match(text):
        return now.timestamp() - float(parse_seconds(text))
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ValueError(f"{text!r} is neither an age such as 12h nor a time such as 2030-01-31T10:00") from None


async def _read(config: Path | None, filters: dict[str, Any]) -> list[HistoryRow]:
    from filterproxy.app.compose import load_config
    from filterproxy.services.store.sqlite import SqliteStore

    path = load_config(config).store_path
    if not path.exists():
        raise FilterproxyError(f"{path}: no such file; is 'store:' right, and has the service run?")
    store = SqliteStore(path)
    try:
        return await store.history(**filters)
    finally:
        await store.close()


def _print_json(rows: list[HistoryRow]) -> None:
    from filterproxy.services.store.history import to_json

    for row in rows:
        moment = datetime.fromtimestamp(row.time, UTC).isoformat(timespec="milliseconds")
        data = to_json(row) | {"time": moment, "unix_time": row.time}
        sys.stdout.write(json.dumps(data, ensure_ascii=True) + "\n")


def _print_table(rows: list[HistoryRow]) -> None:
    """Print two lines a message: what happened to it, and the symbols that decided, the strongest first."""
    if not rows:
        sys.stderr.write("no such messages\n")
        return
    cells = [_cells(row) for row in rows]
    titles = ("time", "queue id", "action", "score", "from -> to: subject")
    widths = [max(len(line[column]) for line in (titles, *cells)) for column in range(4)]
    sys.stdout.write(_line(titles, widths))
    for line, row in zip(cells, rows, strict=True):
        sys.stdout.write(_line(line, widths))
        sys.stdout.write(f"    {_symbols(row)}\n")


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
    return "  ".join((*padded, cells[-1])) + "\n"


def _cells(row: HistoryRow) -> tuple[str, ...]:
    from filterproxy.observability.escape import address, escape

    more = f" and {len(row.rcpt_to) - 1} more" if len(row.rcpt_to) > 1 else ""
    recipient = address(row.rcpt_to[0], 60) if row.rcpt_to else "<>"
    return (
        datetime.fromtimestamp(row.time).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        escape(row.queue_id or row.session, 32),
        row.action,
        f"{row.score:.2f}/{row.required_score:g}",
        f"{address(row.mail_from, 60)} -> {recipient}{more}: {escape(row.subject, 60)}",
    )


def _symbols(row: HistoryRow) -> str:
    ordered = sorted(row.symbols, key=lambda symbol: (-abs(symbol.score), symbol.name))
    return " ".join(f"{symbol.name}({symbol.score:g})" for symbol in ordered)
