"""Scan results for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from filterproxy.core.scan_result import ScanResult

_STYLES = {"no action": "green", "add header": "yellow", "rewrite subject": "yellow", "quarantine": "yellow"}
_MAX_OPTION = 60


def print_result(name: str, result: ScanResult | str) -> None:
    """Print one message's action, score and symbols, the ones that decided first; or why it was not scanned."""
    from filterproxy.core.authentication import summarise

    console = Console(highlight=False, soft_wrap=True)
    title = escape(name.encode("utf-8", "replace").decode())
    if isinstance(result, str):
        console.print(f"{title}: [red]not scanned[/red]: {escape(result)}")
        return
    style = _STYLES.get(result.action.value, "red")
    forced = f" (forced by {result.forced_by})" if result.forced_by else ""
    console.print(
        f"{title}: [{style}]{result.action}[/{style}]{forced}, score {result.score:.2f} of {result.required_score:g}"
    )
    words = summarise(result.authentication)
    console.print("  " + ", ".join(f"{method} {word}" for method, word in words.items()))
    console.print(_symbol_table(result))


def _symbol_table(result: ScanResult) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    table.add_column()
    for symbol in sorted(result.symbols, key=lambda item: (-abs(item.score), item.name)):
        options = ", ".join(_shorten(option) for option in symbol.options)
        detail = escape(symbol.description + (f" [{options}]" if options else ""))
        table.add_row(f"{symbol.score:.2f}", symbol.name, detail)
    return table


def _shorten(text: str) -> str:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return printable if len(printable) <= _MAX_OPTION else printable[: _MAX_OPTION - 1] + "…"
