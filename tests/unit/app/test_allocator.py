"""One arena for all threads, unless the environment says otherwise; glibc itself counts, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, sys, threading
from filterproxy.app.allocator import share_one_arena
said = share_one_arena() if sys.argv[2] == "share" else None
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(4)
def work():
    libc.malloc(100_000)
    together.wait()  # glibc gives the arena of a thread that has ended to the next one
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
print(said, open(sys.argv[1]).read().count("<heap nr="))
"""


def run(tmp_path, share, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "info.xml"), share]
    ended = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=60, check=True)
    said, arenas = ended.stdout.split()
    return said, int(arenas)


def test_threads_share_one_arena(tmp_path):
    assert run(tmp_path, "share") == ("True", 1)
    assert run(tmp_path, "leave")[1] > 1


@pytest.mark.parametrize("most", [2, 3])
def test_the_environment_has_precedence(tmp_path, most):
    assert run(tmp_path, "share", MALLOC_ARENA_MAX=str(most)) == ("False", most)
