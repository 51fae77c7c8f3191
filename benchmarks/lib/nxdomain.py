"""A name server on loopback, in a process of its own, for which no name exists but the test entries of a DNS list.

Without those the list would be switched off, and a benchmark would leave out what it costs to ask it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
remote-control:
  control-enable: no
"""
LIST_ENTRIES = {"test.dbl.example": {"A": ["127.0.0.2"]}, "2.0.0.127.dbl.example": {"A": ["127.0.0.2"]}}
_TEST_SERVER = f"""
import sys
from filterproxy.testing.dns_server import DnsServer
with DnsServer({LIST_ENTRIES!r}, port=int(sys.argv[1])):
    sys.stdin.read()
"""


@contextlib.contextmanager
def name_server() -> Iterator[tuple[str, int, int]]:
    """Run the server; yield what it is (unbound, or the test server), its port and its process id."""
    port = free_port()
    unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _TEST_SERVER, str(port)]
        if unbound:
            config = Path(folder) / "unbound.conf"
            config.write_text(_UNBOUND.format(port=port, folder=folder))
            command = [unbound, "-c", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            wait_until(lambda: _answers(port), "an answer from the name server", 15)
            yield "unbound" if unbound else "the test server", port, process.pid
        finally:
            process.terminate()
            process.wait(10)


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
