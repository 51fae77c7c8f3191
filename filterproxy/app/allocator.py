"""How the C library hands out memory to the threads of a worker.

The rule: it saves memory or does nothing; where there is no such setting (other C libraries) everything works the same.

glibc gives threads arenas of their own, up to eight a core, and what one of them holds free no other can use. Threads
of Python wait for the interpreter lock most of the time anyway, so that one arena is no bottleneck.
"""

from __future__ import annotations

import ctypes
import os

_M_ARENA_MAX = -8  # malloc.h of glibc


def share_one_arena() -> bool:
    """Let all threads allocate from one arena; to be called before there are threads. Tells whether it is so now.

    MALLOC_ARENA_MAX in the environment, which glibc itself reads, has precedence.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_ARENA_MAX, 1))
