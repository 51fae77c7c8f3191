"""Signals under load: what was acknowledged is at the next hop, whatever happened to the processes meanwhile."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.system.messages import message
from tests.system.senders import smtp_source
from tests.system.server import FilterproxyServer
from tests.system.test_processes import Site, Start, site, workers_of
from tests.system.waiting import wait_until

__all__ = ["site"]  # the fixture

SENDERS = 4
_MESSAGE_ID = re.compile(rb"^Message-ID: <([\w-]+)@example\.org>", re.MULTILINE)


class Load:
    """Senders that send one message after the other, and remember which were acknowledged."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.acknowledged: set[str] = set()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.acknowledged) >= count, f"{count} messages are acknowledged")

    def _send(self, sender: int) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            marker = f"s{sender}-{number}"
            with suppress(OSError, smtplib.SMTPException):
                if self.site.send(message(marker))[0] == 250:
                    self.acknowledged.add(marker)

    def delivered(self) -> list[str]:
        return [found[1].decode() for raw in self.site.maildir() if (found := _MESSAGE_ID.search(raw))]


def kill_workers(server: FilterproxyServer) -> None:
    for pid in workers_of(server):
        os.kill(pid, signal.SIGKILL)


def kill_supervisor(server: FilterproxyServer) -> None:
    os.kill(server.pid, signal.SIGKILL)


def stop(server: FilterproxyServer) -> None:
    os.kill(server.pid, signal.SIGTERM)


@pytest.mark.parametrize("blow", [stop, kill_workers, kill_supervisor], ids=lambda blow: blow.__name__)
def test_what_was_acknowledged_was_delivered(
    site: Site, filterproxy_server: Start, blow: Callable[[FilterproxyServer], None]
) -> None:
    server = filterproxy_server(site.config(workers=2))
    with Load(site) as load:
        load.wait_for(30)
        blow(server)
        if blow is kill_workers:
            server.wait_for_log("worker: ready", count=4)
            load.wait_for(len(load.acknowledged) + 20)
    server.kill()
    delivered = load.delivered()
    assert load.acknowledged <= set(delivered), "acknowledged and lost"
    assert len(delivered) == len(set(delivered)), "delivered twice"
    # The next hop may have taken a message whose acknowledgement never reached its sender: one each at most.
    assert len(set(delivered) - load.acknowledged) <= SENDERS


def test_reloads_under_load_drop_and_refuse_nothing(site: Site, filterproxy_server: Start) -> None:
    server = filterproxy_server(site.config(workers=2))
    sending = threading.Thread(target=smtp_source, args=(site.smtp,), kwargs={"count": 200, "sessions": 4})
    sending.start()
    for number in range(1, 4):
        server.reload()
        server.wait_for_log("reload: done", count=number)
    sending.join(60)
    assert not sending.is_alive()
    assert len(site.maildir()) == 200
