"""Installations for the doctor: a configuration with a name server on loopback, examined as the command does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filterproxy.app.doctor import Finding, examine
from filterproxy.app.doctor.finding import System
from filterproxy.testing.dns_server import DnsServer

NOWHERE = System(resolved=Path("/nonexistent"), postfix_config=Path("/nonexistent"), postfix_user="no such user")
COM = {"com": {"NS": ["a.gtld-servers.net"]}}


def write_config(folder: Path, name_server: str, **settings: Any) -> Path:
    """Write a configuration that asks that name server and examines little else; return its path."""
    defaults = {
        "hostname": "mx.example.org",
        "dns": {"nameservers": [name_server], "timeout": "300ms"},
        "store": "sqlite:state.db",
        "listeners": [{"type": "milter", "address": "127.0.0.1:1"}],
        "checks": {"gtube": {}},
    }
    path = folder / "filterproxy.yml"
    path.write_text(json.dumps(defaults | settings))
    return path


async def findings(
    folder: Path, server: DnsServer, *, seconds: float = 20.0, system: System = NOWHERE, **settings: Any
) -> dict[str, list[Finding]]:
    """Return what the doctor finds, by area."""
    path = write_config(folder, server.address, **settings)
    told: dict[str, list[Finding]] = {}
    for finding in await examine(path, seconds=seconds, system=system):
        told.setdefault(finding.area, []).append(finding)
        assert (finding.status == "ok") is not bool(finding.advice), finding
    return told


def lines(found: list[Finding]) -> list[str]:
    """Return findings as `status: text`."""
    return [f"{finding.status}: {finding.text}" for finding in found]
