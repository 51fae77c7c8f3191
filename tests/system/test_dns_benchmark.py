"""The DNS benchmark runs, although its name is that of a package it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_short_run_says_what_a_question_costs():
    figures = json.loads(run(BENCHMARKS / "dns.py", "--rounds", "1", "--questions", "64", "--json"))
    assert 0 < figures["filterproxy_us"] < figures["dnspython_us"]


def test_its_name_does_not_hide_dnspython_from_other_benchmarks():
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import dns.version, dns; print(dns.version.MAJOR)"
    assert int(run("-c", code)) >= 2
