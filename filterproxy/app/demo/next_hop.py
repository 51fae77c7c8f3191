"""A mail server that keeps everything: what the demo relays to when no real one is there.

The rule: 250 means that the message lies in the Maildir; whatever goes wrong is temporary.
"""

from __future__ import annotations

import mailbox
import socket
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from filterproxy.config.addresses import SocketAddress

_LONGEST_LINE = 1 << 20
_PROBE_TIMEOUT = 1.0


class MaildirHandler:
    """Stores each message below the two lines a delivery adds, with LF as line ends like every Maildir."""

    def __init__(self, folder: Path) -> None:
        """Make the Maildir if it is not there; raise OSError."""
        for part in ("tmp", "new", "cur"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._maildir = mailbox.Maildir(folder)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the message and name the file in the reply."""
        recipients = ", ".join(envelope.rcpt_tos)
        delivered = f"Return-Path: <{envelope.mail_from or ''}>\nDelivered-To: {recipients}\n"
        content = (envelope.original_content or b"").replace(b"\r\n", b"\n")
        try:
            key = self._maildir.add(delivered.encode("utf-8", "surrogateescape") + content)
        except OSError as error:
            return f"451 4.3.0 cannot keep the message: {error.strerror}"
        return f"250 2.0.0 Ok: kept as {key}"

    async def handle_exception(self, error: Exception) -> str:
        """Answer a failure of the demo's server as temporary."""
        return f"451 4.3.0 {type(error).__name__}"


class _Server(SMTP):  # type: ignore[misc]
    line_length_limit = _LONGEST_LINE


class _Controller(Controller):  # type: ignore[misc]
    def factory(self) -> Any:
        """Return the server for one connection."""
        return _Server(
            self.handler, hostname="next-hop.filterproxy.example", enable_SMTPUTF8=True, data_size_limit=None
        )


def answers(address: SocketAddress) -> bool:
    """Tell whether somebody listens at the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    if address.path:
        family = socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT)
        return probe.connect_ex(address.path or (address.host, address.port)) == 0


def start_next_hop(address: SocketAddress, folder: Path) -> Controller:
    """Serve at the address in a thread of its own until `stop()`; raise OSError."""
    controller = _Controller(MaildirHandler(folder), hostname=address.host, port=address.port, ready_timeout=10)
    controller.start()
    return controller
