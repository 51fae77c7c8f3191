"""Why the service could not start, as lines for the operator and the exit status that goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from filterproxy.core.errors import FilterproxyError


class StartError(FilterproxyError):
    """Start-up is not possible; `lines` are complete sentences, one a fault, without a program name.

    `temporary` tells what the machine may yet grant (a port, a folder) from what only an edit of the configuration
    can mend: a service manager may try the first again.
    """

    def __init__(self, *lines: str, temporary: bool) -> None:
        super().__init__("; ".join(lines))
        self.lines: Sequence[str] = lines
        self.temporary = temporary


def fault_lines(error: FilterproxyError) -> list[str]:
    """Return every fault an error holds, one a line."""
    several = getattr(error, "lines", None) or getattr(error, "errors", None) or [error]
    return [str(item) for item in several]
