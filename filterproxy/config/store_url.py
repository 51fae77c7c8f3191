"""Where state is kept, as people write it: `sqlite:///var/lib/filterproxy/state.db` or `sqlite:state.db`."""

from __future__ import annotations

from pathlib import Path

_HOW = "write sqlite:///absolute/path or sqlite:relative/path"
LATER_SCHEMES = frozenset(("redis", "rediss", "valkey"))


def parse_store(url: str, base_dir: Path) -> Path:
    """Return the database file; a relative one starts at `base_dir`. Raise ValueError for anything else."""
    scheme, separator, rest = url.partition(":")
    if scheme in LATER_SCHEMES and separator:
        raise ValueError(f"a {scheme} store is not available in this version; {_HOW}")
    if scheme != "sqlite" or not rest.strip("/"):
        raise ValueError(f"{url!r} is no store; {_HOW}")
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise ValueError(f"{url!r} has two slashes; {_HOW}")
        return Path("/" + rest.lstrip("/"))
    return base_dir / rest
