"""The throughput benchmark runs, and its accounting of CPU time misses nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lib.process_tree import cpu_seconds
from tests.system.postfix import missing

ROOT = Path(__file__).resolve().parents[2]
# A process that has used CPU time itself, in a child that has ended, and in one that still lives.
BURN = """
import os, subprocess, sys, time
burn = "import time\\nend = time.process_time() + 0.2\\nwhile time.process_time() < end: pass\\n"
subprocess.run([sys.executable, "-c", burn], check=True)
alive = subprocess.Popen([sys.executable, "-c", burn + "print('done', flush=True)\\ninput()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
alive.stdout.readline()
exec(burn)
print("ready", flush=True)
sys.stdin.readline()
alive.communicate(b"\\n")
"""


def test_cpu_of_ended_and_living_children_counts():
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        used = cpu_seconds([process.pid])
        assert cpu_seconds([process.pid, process.pid]) < 2 * used
        process.communicate(b"\n")
    # Three times 0.2 s, and what starting three interpreters takes.
    assert 0.58 <= used < 3.0


def test_a_short_run_prints_every_system_with_its_ratio():
    if missing():
        pytest.fail(missing())
    options = ["--rounds", "1", "--messages", "6", "--sessions", "2", "--checks", "none", "--workers", "1"]
    command = [
        sys.executable,
        ROOT / "benchmarks" / "throughput.py",
        *options,
        "--only",
        "milter-tcp,milter-unix,proxy",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["postfix", "milter-unix", "milter-tcp", "proxy"]
    assert all(float(row[1]) > 0 for row in rows)
    assert rows[0][5] == "1.00"
    done = subprocess.run(
        [*command[:-1], "milter-tcp", "--json"], capture_output=True, text=True, timeout=110, check=True
    )
    assert [item["name"] for item in json.loads(done.stdout)] == ["postfix", "milter-tcp"]
