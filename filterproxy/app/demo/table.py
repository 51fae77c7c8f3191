"""What became of the samples, read back from the filter's own history, as a table."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filterproxy.app.demo.samples import Sent
from filterproxy.services.store.history import HistoryRow
from filterproxy.services.store.sqlite import SqliteStore

_PATIENCE = 10.0
_INTERVAL = 0.05
_WIDTH = 132  # where standard output is no terminal

_STYLES = {"no action": "green", "reject": "red", "soft reject": "red", "discard": "red"}


async def read_results(store_path: Path, sent: Sequence[Sent], since: float) -> dict[str, HistoryRow]:
    """Return the history rows of the samples by Message-ID; waits for the workers to write them, seconds at most."""
    store = SqliteStore(store_path)
    wanted = {item.message_id.strip("<>") for item in sent}
    found: dict[str, HistoryRow] = {}
    try:
        async with asyncio.timeout(_PATIENCE):
            while len(found) < len(wanted):
                rows = await store.history(limit=1000, since=since)
                found = {key: row for row in rows if (key := row.message_id.strip("<>")) in wanted}
                await asyncio.sleep(_INTERVAL)
    except TimeoutError:
        pass  # the table says which are missing
    finally:
        await store.close()
    return found


def print_table(sent: Sequence[Sent], rows: dict[str, HistoryRow]) -> None:
    """Print one row a sample to standard output."""
    table = Table(box=box.SIMPLE_HEAD, title="Sample messages, sent through the filter", title_justify="left")
    for heading in ("Sample", "Action", "Score", "Symbols", "Reply"):
        table.add_column(heading, justify="right" if heading == "Score" else "left", no_wrap=heading != "Symbols")
    for item in sent:
        table.add_row(*_cells(item, rows.get(item.message_id.strip("<>"))))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)


def _cells(item: Sent, row: HistoryRow | None) -> tuple[Text, ...]:
    reply = Text(item.reply if len(item.reply) <= 40 else item.reply[:39] + "…")
    if row is None:
        return Text(item.sample.title), Text("not in the history", "yellow"), Text(), Text(), reply
    symbols = sorted(row.symbols, key=lambda symbol: (-abs(symbol.score), symbol.name))
    names = ", ".join(symbol.name + (f"({symbol.score:.2f})" if symbol.score else "") for symbol in symbols)
    action = Text(row.action, _STYLES.get(row.action, "yellow"))
    return Text(item.sample.title), action, Text(f"{row.score:.2f}"), Text(names), reply
