"""The JSON API of a running service: every documented answer and no other (schemathesis), and a day's work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.messages import gtube, message
from tests.system.server import COMMAND, FilterproxyServer
from tests.system.waiting import free_port, wait_until

EXAMPLES = 12


@pytest.fixture
def start(filterproxy_server: Callable[..., FilterproxyServer]) -> Callable[..., tuple[FilterproxyServer, str]]:
    def started(**api: Any) -> tuple[FilterproxyServer, str]:
        port = free_port()
        listener = {"type": "http", "address": f"127.0.0.1:{port}", "api": api}
        # Tokens of the generated requests are wrong all the time.
        listener["limits"] = {"password_failures": 1_000_000}
        server = filterproxy_server({"listeners": [listener], "checks": {"gtube": {}, "bayes": {}, "rules": {}}})
        return server, f"http://127.0.0.1:{port}/api/v1"

    return started


def curl(url: str, *options: str, octets: bytes = b"") -> tuple[int, Any]:
    """Return status and answer."""
    command = ["curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}", *options, url]
    done = subprocess.run(command, input=octets, capture_output=True, timeout=90, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(body)


@pytest.mark.timeout(600)
def test_nothing_undocumented_comes_out(start: Callable[..., tuple[FilterproxyServer, str]], tmp_path: Path) -> None:
    server, api = start()
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "coverage,fuzzing", "--no-color"]
    command = [program, "run", f"{api}/openapi.json", "--url", api, *options, "--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated and int(generated[1]) > 200, done.stdout
    assert "error: " not in server.log()


def test_a_days_work(start: Callable[..., tuple[FilterproxyServer, str]]) -> None:
    made = subprocess.run(
        [COMMAND, "token", "scripts", "--scope", "scan", "--scope", "read", "--scope", "write"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    digest = re.search(r"sha256: ([0-9a-f]{64}), scopes: \[scan, read, write\]", made[1])
    assert digest and made[0].startswith("fp_")
    tokens = [{"name": "scripts", "sha256": digest[1], "scopes": ["scan", "read", "write"]}]
    server, api = start(tokens=tokens, trusted=False)
    assert curl(f"{api}/symbols")[0] == 401
    key, mail = (
        ("-H", f"Authorization: Bearer {made[0]}"),
        ("-H", "Content-Type: message/rfc822", "--data-binary", "@-"),
    )
    status, answer = curl(f"{api}/scan?mail_from=a@example.org&rcpt_to=b@example.net", *key, *mail, octets=gtube("x"))
    assert (status, answer["action"], answer["forced_by"]) == (200, "reject", "GTUBE")
    status, answer = curl(f"{api}/scan?queue_id=4GOOD", *key, *mail, octets=message("y"))
    assert (status, answer["action"]) == (200, "no action")

    def rows(query: str) -> list[Any]:
        found: list[Any] = curl(f"{api}/history?{query}", *key)[1]["rows"]
        return found

    wait_until(lambda: len(rows("")) == 2, "both messages are in the history", state=server.log)
    (spam,) = rows("symbol=GTUBE&sender=a@example.org&action=reject")
    assert curl(f"{api}/history/{spam['id']}", *key)[1] == spam
    first = curl(f"{api}/history?limit=1", *key)[1]
    assert [row["queue_id"] for row in first["rows"]] == ["4GOOD"]
    assert rows(f"before={first['next']}") == [spam]
    for changed in (True, False):
        assert curl(f"{api}/learn?class=spam", *key, *mail, octets=message("y"))[1]["changed"] is changed
    wait_until(lambda: curl(f"{api}/models", *key)[1]["learned_spam"] == 1, "the lesson counts", state=server.log)
    assert curl(f"{api}/forget", *key, *mail, octets=message("y"))[1]["changed"] is True
    status, listed = curl(f"{api}/models", *key)
    assert [item["name"] for item in listed["models"] if item["in_use"]] == ["default"]
    choose = ("-H", "Content-Type: application/json", "-d", '{"name": "default"}')
    assert curl(f"{api}/models/use", *key, *choose)[1]["name"] == "default"
    assert curl(f"{api}/models/rollback", *key, "-X", "POST")[0] == 200
    assert any(rule["name"] == "FEE_LOTTERY" for rule in curl(f"{api}/rules", *key)[1]["rules"])
