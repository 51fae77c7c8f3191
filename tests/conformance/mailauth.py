"""The npm package mailauth as a second opinion: one Node process answers all questions of a test module."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.zones import Zone, as_json

SCRIPT = Path(__file__).parents[1] / "oracles" / "mailauth.js"
FOLDER = Path(sys.prefix) / "mailauth"  # where `make test` puts it


@dataclass(frozen=True)
class Question:
    """What mailauth is asked; `kind` is `dkim`, `dmarc` or `arc`, `now` seconds since 1970."""

    kind: str
    message: bytes
    dns: Zone
    now: float = 0.0
    spf: Sequence[str] = ()
    dkim: Sequence[str] = ()


def ask(questions: Sequence[Question]) -> list[list[list[str]]]:
    """Return for each question its results, each a list that begins with the word."""
    node = Path(sys.prefix) / "bin" / "node"
    assert (FOLDER / "node_modules" / "mailauth").is_dir(), "mailauth is missing: run `make .venv/installed-for-tests`"
    done = subprocess.run(
        [node, SCRIPT, FOLDER], input=json.dumps([_plain(item) for item in questions]), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _plain(question: Question) -> dict[str, Any]:
    return {
        "kind": question.kind,
        "message": base64.b64encode(question.message).decode(),
        "dns": as_json(question.dns),
        "now": question.now,
        "spf": list(question.spf),
        "dkim": list(question.dkim),
    }
