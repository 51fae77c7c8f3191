"""Fuzz the decoders with atheris: `python -m benchmarks.fuzz.run [--minutes N] [TARGET…]`, each for 10 minutes.

Every target runs in a process of its own under libFuzzer, with a limit on one input's time and on memory. Exit status 1
when one crashes, hangs or grows; its input is kept in the folder that is printed. Needs the extra `fuzz` (atheris).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_TOP = Path(__file__).parents[2]
_SECONDS_PER_INPUT = 10
_MEMORY_MB = 2048


def _fuzz(name: str, arguments: list[str]) -> None:
    """Become libFuzzer on one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["filterproxy"]):
        from benchmarks.fuzz.targets import TARGETS
    atheris.Setup([name, *arguments], TARGETS[name])
    atheris.Fuzz()


def _run(name: str, seconds: float, folder: Path) -> bool:
    """Fuzz one target; print what came of it; tell whether it held."""
    from benchmarks.fuzz.targets import SEEDS

    corpus = folder / name
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={int(seconds)}",
        f"-timeout={_SECONDS_PER_INPUT}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={folder}/{name}-",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "benchmarks.fuzz.run", "--target", name, "--", *options, str(corpus)]
    done = subprocess.run(
        command, cwd=_TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    runs, peak = (_stat(done.stdout, key) for key in ("number_of_executed_units", "peak_rss_mb"))
    edges = (re.findall(r" cov: (\d+)", done.stdout) or ["?"])[-1]
    verdict = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(
        f"{name:12} {verdict:12} {seconds / 60:5.1f} min {runs:>10} inputs {edges:>6} edges {peak:>5} MB at most",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-4000:])
    return done.returncode == 0


def _stat(output: str, key: str) -> str:
    found = re.search(rf"stat::{key}:\s+(\d+)", output)
    return found[1] if found else "?"


def main() -> int:
    """Return the exit status."""
    from benchmarks.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"unknown target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    folder = Path(tempfile.mkdtemp(prefix="filterproxy-fuzz-"))
    print(f"inputs are kept in {folder}")
    held = [_run(name, options.minutes * 60, folder) for name in options.targets or TARGETS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        _fuzz(sys.argv[2], sys.argv[4:])
    sys.exit(main())
