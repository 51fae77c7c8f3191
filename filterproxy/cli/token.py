"""`filterproxy token`: a token for the JSON API, and the lines of the configuration that let it in."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

SCOPES = ("scan", "read", "write")


def token(
    name: Annotated[str, typer.Argument(help="Whose token it is.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="scan, read or write; repeat it for more. Default: scan.")
    ] = None,
) -> None:
    """Make a token for the JSON API (docs/api.md). It is shown once: the configuration keeps its hash alone.

    Nothing is changed: put the line that is shown under `api: {tokens: […]}` of an http listener and reload.
    """
    import hashlib
    import json
    import secrets

    scopes = list(dict.fromkeys(scope or ["scan"]))
    unknown = [word for word in scopes if word not in SCOPES]
    if unknown or not 1 <= len(name) <= 64:
        reason = f"unknown scope {unknown[0]!r}; use {', '.join(SCOPES)}" if unknown else "NAME has 1 to 64 characters"
        raise typer.BadParameter(reason)
    made = f"fp_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(made.encode()).hexdigest()
    sys.stdout.write(f"{made}\n")
    shown = json.dumps(name, ensure_ascii=False)
    sys.stdout.write(f"# - {{name: {shown}, sha256: {digest}, scopes: [{', '.join(scopes)}]}}\n")
