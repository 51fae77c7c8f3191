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


def library_path(folder: Path) -> str:
    """Return LD_LIBRARY_PATH for the programs in a folder of unpacked packages."""
    roots = [folder / "usr/lib", folder / "lib"]
    return ":".join(str(path) for root in roots for path in (root, *root.glob("*-linux-gnu")))


def private_mounts(folder: Path) -> tuple[str, ...]:
    """Return a command that runs another one whose mounts nobody else sees; `folder` is a scratch folder."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0:
        return ("unshare", "--mount")
    # In a chroot / may be no mount point, whose propagation cannot be changed: see that there is none.
    command = ("unshare", "--mount", "--propagation", "unchanged")
    subprocess.run([*command, "mount", "--bind", folder, folder], check=True)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text(), "mounts would be seen by everybody"
    return command
