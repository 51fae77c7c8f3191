"""The labelled mail that `rules stats` and `rules tune` work on, by whichever way it is read.

The rule: what cannot be used is told on standard error and left out; a corpus of which nothing can be used is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from filterproxy.cli.replay import Way
    from filterproxy.ruleset.rows import Known, Row

Index = Annotated[Path, typer.Option(help="Index of the mail: lines `spam|ham path`, in order of delivery.")]
Config = Annotated[Path | None, typer.Option("-c", "--config", help="Configuration file.")]
History = Annotated[
    bool, typer.Option("--history", help="Take what fired when the mail came in, from the history, by Message-ID.")
]
Dns = Annotated[bool, typer.Option("--dns", help="Ask DNS as configured; without it nothing is asked.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes that scan; 0 is one a core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The rows in order of delivery, what the enabled checks declare, and how many messages were left out."""

    rows: list[Row]
    known: dict[str, Known]
    left_out: int


def read_labelled(index: Path, way: Way, *, history: bool) -> Labelled:
    """Return the rows of an index; raise ConfigError when no message of it can be used."""
    from filterproxy.cli.history_rows import from_history
    from filterproxy.cli.reading import Unreadable, progress
    from filterproxy.cli.replay import known_symbols, replay
    from filterproxy.core.errors import ConfigError
    from filterproxy.services.corpus import read_index

    lines = list(read_index(index))
    if not lines:
        raise ConfigError("the index names no message", file=str(index), hint="write lines: spam PATH, or: ham PATH")
    known, unusable, rows = known_symbols(way), Unreadable(), []
    found = from_history(lines, way.config, known, unusable.add) if history else replay(lines, way, unusable.add)
    with progress("scanning", len(lines)) as advance:
        for row in found:
            rows.append(row)
            advance()
    unusable.finish()
    if not rows:
        raise ConfigError(f"none of the {len(lines)} messages could be used", file=str(index))
    return Labelled(rows, known, unusable.count)
