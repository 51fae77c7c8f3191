"""A name server on loopback, in a process of its own, for which no name exists but the test entries of a DNS list.

Without those the list would be switched off, and a benchmark would leave out what it costs to ask it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.system.waiting import free_port, wait_until

_UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "/dev/null"
  do-not-query-localhost: no
  local-zone: "." always_nxdomain
  local-zone: "dbl.example" static
  local-data: "test.dbl.example A 127.0.0.2"
  local-data: "2.0.0.127.dbl.example A 127.0.0.2"
{texts}remote-control:
  control-enable: no
"""
LIST_ENTRIES = {"test.dbl.example": {"A": ["127.0.0.2"]}, "2.0.0.127.dbl.example": {"A": ["127.0.0.2"]}}
_TEST_SERVER = """
import sys
from filterproxy.testing.dns_server import DnsServer
with DnsServer({entries!r}, port=int(sys.argv[1])):
    sys.stdin.read()
"""


@contextlib.contextmanager
def name_server(texts: Mapping[str, str] | None = None) -> Iterator[tuple[str, int, int]]:
    """Run the server; yield what it is (unbound, or the test server), its port and its process id.

    `texts` are TXT records that exist besides, by name.
    """
    port = free_port()
    unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    with tempfile.TemporaryDirectory() as folder:
        entries = LIST_ENTRIES | {name: {"TXT": [text]} for name, text in (texts or {}).items()}
        command = [sys.executable, "-c", _TEST_SERVER.format(entries=entries), str(port)]
        if unbound:
            config = Path(folder) / "unbound.conf"
            config.write_text(_UNBOUND.format(port=port, folder=folder, texts=_records(texts or {})))
            command = [unbound, "-c", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            wait_until(lambda: _answers(port), "an answer from the name server", 15)
            yield "unbound" if unbound else "the test server", port, process.pid
        finally:
            process.terminate()
            process.wait(10)


def _records(texts: Mapping[str, str]) -> str:
    """Return the records as unbound wants them; a text of more than 255 bytes is several strings."""
    zones = {".".join(name.split(".")[-2:]) for name in texts}
    lines = [f'  local-zone: "{zone}." static\n' for zone in sorted(zones)]
    for name, text in texts.items():
        strings = " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
        lines.append(f"  local-data: '{name}. TXT {strings}'\n")
    return "".join(lines)


def _answers(port: int) -> bool:
    # Imported here: what a benchmark measures must not depend on dnspython being loaded.
    import dns.exception
    import dns.message
    import dns.query

    try:
        dns.query.udp(dns.message.make_query("ready.example", "A"), "127.0.0.1", port=port, timeout=0.2)
    except (OSError, dns.exception.DNSException):
        return False
    return True
