"""A running service with rules, and sessions that send to it: what hostile texts and reloads do to other sessions."""

from __future__ import annotations

import contextlib
import itertools
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filterproxy.app.demo.next_hop import start_next_hop
from filterproxy.config.addresses import SocketAddress
from tests.system.messages import message
from tests.system.postfix import scratch_folder
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until


@dataclass
class Service:
    """The service, its port and its rules file; what it delivers is kept in `delivered`."""

    server: FilterproxyServer
    port: int
    rules: Path
    delivered: Path

    @contextlib.contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        """Yield an open session."""
        smtp = smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=60)
        try:
            smtp.ehlo()
            yield smtp
        finally:
            smtp.close()


def send(smtp: smtplib.SMTP, raw: bytes) -> int:
    """Send a message and return the reply code."""
    smtp.mail("sender@example.org")
    smtp.rcpt("alice@example.net")
    return smtp.data(raw)[0]


@contextlib.contextmanager
def running(rules: str, workers: int) -> Iterator[Service]:
    """Yield a service that runs these rules before a next hop that keeps everything."""
    with scratch_folder() as folder:
        root = folder / "service"
        (root / "local").mkdir(parents=True)
        (root / "local" / "rules.yml").write_text(rules)
        port, next_hop = free_port(), free_port()
        listeners = [{"type": "smtp", "address": f"127.0.0.1:{port}", "next_hop": f"127.0.0.1:{next_hop}"}]
        config: dict[str, Any] = {"listeners": listeners, "workers": workers, "checks": {}}
        config["checks"]["rules"] = {"files": ["local/*.yml"]}
        hop = start_next_hop(SocketAddress("127.0.0.1", next_hop), folder / "delivered")
        try:
            with FilterproxyServer(root, config) as server:
                yield Service(server, port, root / "local" / "rules.yml", folder / "delivered")
        finally:
            hop.stop()


@contextlib.contextmanager
def in_background(work: Callable[[threading.Event], None], threads: int = 1) -> Iterator[None]:
    """Run `work(stop)` in threads until the block is left."""
    stop = threading.Event()
    running_ones = [threading.Thread(target=work, args=(stop,)) for _ in range(threads)]
    for thread in running_ones:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running_ones:
            thread.join()


def latencies(service: Service, neighbour: bytes | None, count: int) -> list[float]:
    """Return the seconds of `count` small messages, while another session sends one message again and again."""

    def disturb(stop: threading.Event) -> None:
        with service.session() as smtp:
            while not stop.is_set() and neighbour is not None:
                assert send(smtp, neighbour) == 250

    found: list[float] = []
    with in_background(disturb), service.session() as smtp:
        for number in range(count + 5):
            begun = time.perf_counter()
            assert send(smtp, message(f"small{number}")) == 250
            if number >= 5:
                found.append(time.perf_counter() - begun)
    return found


@dataclass
class Reloads:
    """What reloads under load did: seconds from the change of the file to its effect, and what became of the mail."""

    seconds: list[float] = field(default_factory=list)
    accepted: int = 0
    failed: int = 0
    lost: int = 0


def reload_under_load(rule: str, reloads: int, senders: int = 4) -> Reloads:
    """Change the rules of a service with two workers while sessions send; `rule` has a place for a word."""
    result = Reloads()
    accepted: list[str] = []
    numbers = itertools.count()
    with running(rule % "word0", workers=2) as service:

        def load(stop: threading.Event) -> None:
            with service.session() as smtp:
                while not stop.is_set():
                    name = f"load{next(numbers)}x"
                    if send(smtp, message(name)) == 250:
                        accepted.append(name)
                    else:
                        result.failed += 1

        with in_background(load, senders), contextlib.ExitStack() as stack:
            probes = [stack.enter_context(service.session()) for _ in range(4)]
            for number in range(1, reloads + 1):
                word = f"word{number}"
                begun = time.perf_counter()
                service.rules.write_text(rule % word)
                probe = message("probe", subject=word)
                wait_until(lambda raw=probe: all(send(smtp, raw) == 554 for smtp in probes), "the new rule")
                result.seconds.append(time.perf_counter() - begun)
        delivered = b"".join(path.read_bytes() for path in (service.delivered / "new").iterdir())
    result.accepted = len(accepted)
    result.lost = sum(f"<{name}@example.org>".encode() not in delivered for name in accepted)
    return result
