"""A server of Dovecot's authentication protocol, as Postfix asks it about passwords (PLAIN alone)."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Mapping
from typing import Self

_GREETING = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(_GREETING.encode())
        for line in self.rfile:
            words = line.decode().rstrip("\n").split("\t")
            if words[0] != "AUTH":
                continue
            number = words[1]
            response = next((word[5:] for word in words if word.startswith("resp=")), "")
            _, user, password = base64.b64decode(response).decode().split("\0")
            good = self.server.passwords.get(user) == password  # type: ignore[attr-defined]
            answer = f"OK\t{number}\tuser={user}\n" if good else f"FAIL\t{number}\tuser={user}\n"
            self.wfile.write(answer.encode())


class DovecotAuth:
    """Runs on loopback while it is open; `settings` are Postfix's lines for it."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.passwords = passwords  # type: ignore[attr-defined]
        self.settings = {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{self._server.server_address[1]}",
            "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
