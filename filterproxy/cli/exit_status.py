"""Exit status of every command: scripts depend on these four numbers."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a command's exit says; TEMPORARY_FAILURE is sysexits.h's EX_TEMPFAIL."""

    OK = 0
    NO = 1
    USAGE = 2
    TEMPORARY_FAILURE = 75
