"""Configurations and a log for the tests of the processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filterproxy.app.compose import load_config
from filterproxy.config.loader import Loaded
from filterproxy.observability.maillog import MailLog
from filterproxy.observability.sinks import Line


class ListSink:
    """A sink that keeps the lines."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reopened = 0

    def write(self, lines: Sequence[Line]) -> None:
        self.texts += [line.text for line in lines]

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        pass


class RecordedLog(MailLog):
    """A log whose lines a test reads with `lines()`."""

    def __init__(self) -> None:
        self.sink = ListSink()
        super().__init__(self.sink)

    def lines(self) -> str:
        assert self.flush()
        return "\n".join(self.sink.texts)


def write_config(folder: Path, text: str = "", store: str = "sqlite:state.db") -> Path:
    """Write a configuration with a store in the folder and no checks, unless the text says otherwise."""
    path = folder / "filterproxy.yml"
    checks = "" if "checks:" in text else "checks: {}\n"
    path.write_text(f"hostname: mx.example.org\nstore: {store}\n{checks}{text}")
    return path


def configured(folder: Path, text: str = "", store: str = "sqlite:state.db") -> Loaded:
    """Return the loaded configuration of `write_config`."""
    return load_config(write_config(folder, text, store))


def parse_metrics(text: str) -> dict[str, Any]:
    """Return the samples of Prometheus' text format: name with labels → value."""
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}
