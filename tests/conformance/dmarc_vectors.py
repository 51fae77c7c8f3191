"""Our vectors for DMARC as objects: what a message says, what DNS says, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

SERVFAIL = "SERVFAIL"
FILE = Path(__file__).parents[1] / "data" / "dmarc" / "vectors.yml"

Dns = dict[tuple[str, str], list[str] | str]


@dataclass(frozen=True)
class DmarcVector:
    """One vector; `dns` holds records by (name, type), or SERVFAIL. `theirs` is mailauth's (result, policy)."""

    name: str
    dns: Dns
    message: bytes
    spf: tuple[str, ...]
    dkim: tuple[str, ...]
    result: str
    policy: str
    organization: str
    author: str
    theirs: tuple[str, str]


@cache
def load(section: str = "") -> tuple[DmarcVector, ...]:
    """Return the vectors of a section, or of all."""
    sections = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    chosen = [section] if section else list(sections)
    return tuple(_vector(key, entry) for key in chosen for entry in sections[key])


def _vector(section: str, entry: dict[str, Any]) -> DmarcVector:
    header = entry.get("header", f"From: {entry.get('from')}")
    theirs = entry.get("mailauth", {})
    result, policy = entry["result"], entry.get("policy", "")
    assert "why" in theirs or "result" not in theirs, "a disagreement needs a reason"
    return DmarcVector(
        name=f"{section}: {entry['name']}",
        dns=_dns(entry),
        message=header.encode() + b"\r\n\r\nbody\r\n",
        spf=tuple(entry.get("spf", ())),
        dkim=tuple(entry.get("dkim", ())),
        result=result,
        policy=policy,
        organization=entry.get("organization", ""),
        author=str(entry.get("from", "")).rpartition("@")[2],
        theirs=(theirs["result"], "") if "result" in theirs else (result, policy),
    )


def _dns(entry: dict[str, Any]) -> Dns:
    found: Dns = {}
    for name, records in entry["dns"].items():
        if isinstance(records, str) and records != SERVFAIL:
            version = "" if records.replace(" ", "").lower().startswith("v=") else "v=DMARC1; "
            records = [version + records]
        found[f"_dmarc.{name}", "TXT"] = records
    for text in entry.get("exists", ()):
        name, _, silent = text.partition(" ")
        found[name, "A"] = silent or ["192.0.2.1"]
    for name, target in entry.get("alias", {}).items():
        found[name, "CNAME"] = [target]
    return found
