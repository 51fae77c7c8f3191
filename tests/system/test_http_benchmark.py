"""The benchmark of scans over HTTP runs, writes its figures, and fails when they are worse than allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "http_scan.py"


def test_a_short_run_measures_every_way_and_fails_above_its_limit(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--messages", "30", "--checks", "none", "--most=-1000", "--output", tmp_path]
    done = subprocess.run(
        [sys.executable, BENCHMARK, *options], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "HTTP costs more than -1000.0 ms above the milter" in done.stderr
    figures = json.loads((tmp_path / "http_scan.json").read_text())
    assert list(figures["ms"]) == ["milter", "http", "milter_each", "http_each"]
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in figures["ms"].values())
    assert f"{figures['more_ms']['one connection']:+.3f}" in done.stdout
