"""The companion process: name server, next hop and sender of the samples; lives as long as the service does.

The rule: it ends when the service's end of the channel closes, however that came about.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import socket
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from filterproxy.app.demo.next_hop import answers, start_next_hop
from filterproxy.app.demo.samples import send_all
from filterproxy.app.demo.table import print_table, read_results
from filterproxy.app.demo.zones import demo_zones
from filterproxy.app.errors import StartError
from filterproxy.app.service import announce_ready
from filterproxy.config.addresses import SocketAddress
from filterproxy.config.listeners import SmtpListener
from filterproxy.testing.dns_server import DnsServer

DELIVERED = Path("var") / "delivered"
_GO = b"go\n"


class Companion:
    """The service's handle on the companion."""

    def __init__(self, pid: int, channel: socket.socket, name_server: SocketAddress) -> None:
        self._pid, self._channel = pid, channel
        self.name_server = name_server

    @classmethod
    def start(cls, listener: SmtpListener, store_path: Path) -> Companion:
        """Fork it and wait until its servers serve; raise StartError with its reason when they cannot."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            os._exit(_run(theirs, listener, store_path))
        theirs.close()
        with ours.makefile("rb") as lines:
            report: dict[str, Any] = json.loads(lines.readline() or b"{}")
        if "port" not in report:
            os.waitpid(pid, 0)
            raise StartError(report.get("error", "the demo's companion did not start"), temporary=True)
        return cls(pid, ours, SocketAddress("127.0.0.1", report["port"]))

    def send_samples(self) -> None:
        """Have it send the samples, print the table and announce `ready`; returns at once."""
        with suppress(OSError):  # it is gone: `check` tells
            self._channel.sendall(_GO)

    def stop(self) -> None:
        """Tell it that the service has ended, and wait for its end."""
        self._channel.close()
        _, self._status = os.waitpid(self._pid, 0)

    def check(self) -> None:
        """Raise StartError when it failed: it has said why on standard error."""
        if self._status != 0:
            raise StartError("the demo failed", temporary=True)


def _run(channel: socket.socket, listener: SmtpListener, store_path: Path) -> int:
    for number in (signal.SIGINT, signal.SIGHUP):  # the terminal sends them to all; the service decides
        signal.signal(number, signal.SIG_IGN)
    try:
        with ExitStack() as servers:
            _serve(servers, channel, listener)
            with channel.makefile("rb") as orders:
                if orders.readline() == _GO:
                    _show(listener.address, store_path)
                    orders.readline()  # the end of the service
    except (OSError, smtplib.SMTPException) as error:
        sys.stderr.write(f"filterproxy: the samples could not be sent: {error}\n")
    except BaseException:  # noqa: BLE001 - the last frame of a process: nobody above could report it
        traceback.print_exc()
    else:
        return 0
    os.kill(os.getppid(), signal.SIGTERM)
    return 1


def _serve(servers: ExitStack, channel: socket.socket, listener: SmtpListener) -> None:
    """Start the servers and report the name server's port, or why there is none."""
    try:
        name_server = servers.enter_context(DnsServer(demo_zones()))
        address = listener.next_hop.address
        if address is not None and address.is_local and not answers(address):
            servers.callback(start_next_hop(address, DELIVERED).stop)
    except OSError as error:
        where = error.filename or listener.next_hop.address
        reason = f"the demo cannot use {where}: {(error.strerror or str(error)).lower()}"
        channel.sendall(json.dumps({"error": reason}).encode() + b"\n")
        os._exit(1)
    channel.sendall(json.dumps({"port": name_server.port}).encode() + b"\n")


def _show(address: SocketAddress, store_path: Path) -> None:
    began = time.time()
    sent = send_all(address)
    print_table(sent, asyncio.run(read_results(store_path, sent, began)))
    announce_ready()
