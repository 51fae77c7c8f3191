"""`filterproxy init`: a first configuration with comments, and the lines that Postfix needs."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from filterproxy.cli.exit_status import ExitStatus
from filterproxy.cli.postfix_lines import LINES, Mode

_LISTENERS = {
    Mode.MILTER: """\
  - type: milter
    address: "127.0.0.1:11332"            # or unix:/path, which is faster
""",
    Mode.PROXY: """\
  - type: smtp
    address: "127.0.0.1:10025"            # Postfix's smtpd_proxy_filter
    mode: before_queue                    # a reject is given while the sender still waits
    next_hop: "127.0.0.1:10026"           # back to Postfix
""",
    Mode.CONTENT_FILTER: """\
  - type: smtp
    address: "127.0.0.1:10025"            # Postfix's content_filter
    mode: after_queue                     # never bounces: what would be rejected is marked instead
    on_reject: add header                 # or discard
    next_hop: "127.0.0.1:10026"           # back to Postfix
""",
    Mode.FRONT: """\
  - type: smtp
    address: "0.0.0.0:25"                 # needs root at the start, or CAP_NET_BIND_SERVICE; see also `user`
    mode: front                           # the next hop hears by XCLIENT who the client is
    next_hop: "127.0.0.1:10026"           # Postfix
    # tls: {cert: /etc/ssl/mx.pem, key: /etc/ssl/private/mx.key}
""",
}

_TEMPLATE = """\
# The configuration of filterproxy. Every key but one listener is optional; what is commented out shows the default.
# `filterproxy check-config` checks it, `filterproxy config show --origin` shows all that is in use, and a SIGHUP makes
# the running service take it up (listeners, workers, store and log need a restart).

hostname: {hostname}  # names us in HELO and Authentication-Results

listeners:
{listeners}  - type: http                            # rspamd's protocol, /healthz and /metrics
    address: "127.0.0.1:11334"

# mode: enforce                           # observe: scan, log and mark, never reject. Good for the first week.
# trusted_networks: [127.0.0.0/8, "::1"]  # who may say where a message really came from (XFORWARD, XCLIENT, PROXY)
# local_networks: []                      # our own clients
# local_domains: []                       # our own domains
# relay_domains: []                       # domains that strangers may send to, where the next hop does not decide

# Scores are summed; each action begins at its threshold. Also: rewrite_subject, quarantine, soft_reject, discard.
actions:
  add_header: 6
  reject: 15
# subject: "***SPAM*** %s"                # for rewrite_subject
# scores: {{SPF_FAIL: 2.0}}                 # other scores than the symbols' own
# force_actions: {{GTUBE: reject}}          # an action whatever the score

# Exactly these checks run.
checks:
{checks}  # dnslists:                             # lists have terms of use, so none is preset: docs/dns-lists.md
  #   definitions: [rules/dnslists/spamcop.yml, rules/dnslists/psbl.yml]
  #   # keys: {{spamhaus_dqs: {{file: spamhaus.key}}}}

# dns:
#   nameservers: ["127.0.0.1"]            # a resolver of your own; default: /etc/resolv.conf
#   timeout: 2s

store: {store}  # history and learned state
# history_retention: 30d
# log: {{to: stderr}}                       # stderr, syslog or a file
# workers: 0                              # 0 is one a core
# deadline: 20s                           # for a whole message, below Postfix's own
# failure_policy: tempfail                # accept: let mail through when the filter itself cannot decide
# max_scan_size: 10MB                     # larger mail is scanned in its first part
"""

_RELOAD = """\
Then:  filterproxy check-config -c {path}
       filterproxy run -c {path}          (as a service, see docs/operations.md)
       postfix check && postfix reload
After a change of the configuration:  systemctl reload filterproxy, or kill -HUP its main process
"""


def init(
    mode: Annotated[Mode, typer.Option(help="How mail reaches the filter.")] = Mode.MILTER,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; never overwritten. - is standard output.")
    ] = Path("filterproxy.yml"),
) -> None:
    """Write a commented configuration and print the lines for Postfix.

    Exit status 1: the file is there already; 75: it cannot be written.
    """
    text = configuration(mode, output)
    if str(output) == "-":
        sys.stdout.write(text)
        return
    if output.exists():
        sys.stderr.write(f"filterproxy: {output} is there already; name another file with --output\n")
        raise typer.Exit(ExitStatus.NO)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        sys.stderr.write(f"filterproxy: cannot write {output}: {error.strerror}\n")
        raise typer.Exit(ExitStatus.TEMPORARY_FAILURE) from error
    sys.stdout.write(f"Wrote {output}. Put these lines into Postfix's configuration:\n\n{LINES[mode]}\n")
    sys.stdout.write(_RELOAD.format(path=output))


def configuration(mode: Mode, output: Path) -> str:
    """Return the text of a first configuration for a mode; state lies in /var/lib for a file under /etc."""
    from filterproxy.config.models import DEFAULT_CHECKS, Settings

    system_wide = output.absolute().is_relative_to("/etc")
    store = str(Settings.model_fields["store"].default) if system_wide else "sqlite:var/state.db"
    return _TEMPLATE.format(
        hostname=json.dumps(socket.getfqdn()),
        listeners=_LISTENERS[mode],
        checks="".join(f"  {name}: {{}}\n" for name in DEFAULT_CHECKS),
        store=store,
    )
