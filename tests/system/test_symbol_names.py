"""Scripts that look for rspamd's or SpamAssassin's symbols find them, and both programs know these names."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs import generate
from filterproxy.pipeline.symbol_names import TABLE, possible_names
from tests.system.messages import gtube, message
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port

# SpamAssassin's ARC and DMARC rules, and rspamd's symbols that its modules make up, are in these folders too.
INSTALLED = {
    "rspamd": ("/usr/share/rspamd/rules", "/usr/share/rspamd/plugins", "/usr/share/rspamd/lualib", "/etc/rspamd"),
    "spamassassin": ("/usr/share/spamassassin",),
}


def words(folder: str) -> set[str]:
    files = [path for path in Path(folder).rglob("*") if path.suffix in (".lua", ".conf", ".inc", ".cf")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    return set(re.findall(r"[A-Z][A-Z0-9_]+", text))


@pytest.mark.parametrize("compat", sorted(INSTALLED))
def test_their_names_exist_and_ours_too(compat: Any) -> None:
    known = set().union(*(words(folder) for folder in INSTALLED[compat]))
    theirs = {name for ours in TABLE for name in possible_names(ours, compat)} - TABLE.keys()
    # GTUBE is built into rspamd's program; the names that are the same there as ours are checked by the next line.
    assert theirs - known == set()
    assert {name for ours in TABLE for name in possible_names(ours, compat) if name != ours} - known == set()
    ours = set(re.findall(r"`([A-Z][A-Z0-9_]+)` \|", generate.checks()))
    assert TABLE.keys() - ours == set()


def test_answers_header_fields_and_lists(
    filterproxy_server: Callable[..., FilterproxyServer], dns_server: Callable[..., Any]
) -> None:
    rspamd, spamd = free_port(), free_port()
    dns = dns_server({"example.org": {"TXT": ["v=spf1 -all"]}})
    server = filterproxy_server(
        {
            "listeners": [
                {"type": "http", "address": f"127.0.0.1:{rspamd}", "compat": "rspamd"},
                {"type": "spamd", "address": f"127.0.0.1:{spamd}", "compat": "spamassassin"},
            ],
            "dns": {"nameservers": [dns.address], "timeout": "2s"},
            "checks": {"gtube": {}, "bayes": {}, "spf": {}},
        }
    )
    client = ["-i", "192.0.2.1", "-F", "a@example.org", "--helo", "mail.example.org"]
    command = ["rspamc", "-h", f"127.0.0.1:{rspamd}", "--compact", "-j", *client]
    done = subprocess.run(command, input=message("x"), capture_output=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    assert "R_SPF_FAIL" in answer["symbols"] and "SPF_FAIL" not in answer["symbols"]
    assert "R_SPF_FAIL" in str(answer["milter"]["add_headers"])
    counters = subprocess.run(
        ["rspamc", "-h", f"127.0.0.1:{rspamd}", "counters"], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r"\bR_SPF_FAIL\b", counters.stdout) and not re.search(r"\| +SPF_FAIL\b", counters.stdout)

    def spamc(*options: str) -> bytes:
        asked = ["spamc", "-d", "127.0.0.1", "-p", str(spamd), *options]
        return subprocess.run(asked, input=gtube("x"), capture_output=True, timeout=60, check=False).stdout

    symbols = spamc("-y").decode().strip().split(",")
    assert "GTUBE" in symbols and any(re.fullmatch(r"BAYES_\d\d", name) for name in symbols)
    assert re.search(rb"BAYES_\d\d ", spamc("-R"))
    tests = re.search(rb"tests=([^ ]*?)\r?\n\t?autolearn", spamc())
    assert tests and re.search(rb"BAYES_\d\d", tests[1])
    # The log knows our names alone.
    server.wait_for_log("symbols=")
    assert "SPF_FAIL(" in server.log() and "R_SPF_FAIL" not in server.log()
    assert not re.search(r"BAYES_\d\d", server.log())
