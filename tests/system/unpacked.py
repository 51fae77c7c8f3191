"""Mail servers that conflict with Postfix, run from a folder into which their packages are unpacked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_FETCH = Path(__file__).parents[1] / "unpacked-packages"


def unpacked(folder: Path, *packages: str) -> Path:
    """Return the folder with the packages in it; the first time they are fetched, or the test fails."""
    done = subprocess.run([_FETCH, folder, *packages], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.fail(f"{packages[0]} cannot be fetched ({_FETCH.name}):\n{done.stdout}{done.stderr}")
    return folder
