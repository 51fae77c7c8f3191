"""Every client delivers through every port of one running service, and hears of spam that it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher

from tests.certificates import make_certificates
from tests.system.clients import CLIENTS, SPEAK_LMTP, Port
from tests.system.messages import gtube, message
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until

USER, PASSWORD = "ann@example.org", "correct horse"
PORTS = ("before_queue", "after_queue", "front", "milter", "submission", "submissions", "lmtp")
CELLS = [(port, client) for port in PORTS for client in CLIENTS if port != "lmtp" or client in SPEAK_LMTP]


@dataclass
class Site:
    """One service with a listener of each kind, and one Postfix behind it and (as its MTA) before it."""

    postfix: Postfix
    server: FilterproxyServer
    ports: dict[str, Port]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if missing():
        pytest.fail(missing())
    with scratch_folder() as folder:
        certificates = make_certificates(folder / "tls", "127.0.0.1")
        (folder / "passwords").write_text(
            f"{USER}:{PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)}\n"
        )
        (folder / "passwords").chmod(0o600)
        tls = {"cert": str(certificates.cert), "key": str(certificates.key)}
        auth = {"auth": {"source": "file", "file": str(folder / "passwords")}}
        milter = f"127.0.0.1:{free_port()}"
        with Postfix(folder / "postfix", milters=[f"inet:{milter}"]) as postfix:
            hop = f"127.0.0.1:{postfix.reinject_port}"
            listeners = {
                "before_queue": {"mode": "before_queue"},
                "after_queue": {"mode": "after_queue"},
                "front": {"mode": "front"},
                "submission": {"tls": {**tls, "required": True}, **auth},
                "submissions": {"tls": {**tls, "mode": "implicit"}, **auth},
                "lmtp": {"type": "lmtp"},
            }
            numbers = {name: free_port() for name in listeners}
            config = {
                "listeners": [
                    {"type": "smtp", "address": f"127.0.0.1:{numbers[name]}", "next_hop": hop, **settings}
                    for name, settings in listeners.items()
                ]
                + [{"type": "milter", "address": milter}],
                "relay_domains": ["example.net"],
                "checks": {"gtube": {"authenticated": True}},
            }
            with FilterproxyServer(folder / "filter", config) as server:
                ports = {name: Port(number) for name, number in numbers.items()}
                ports["milter"] = Port(postfix.port)
                ports["lmtp"] = Port(numbers["lmtp"], lmtp=True)
                for name, kind in (("submission", "starttls"), ("submissions", "implicit")):
                    ports[name] = Port(numbers[name], kind, USER, PASSWORD, certificates.ca_file)
                yield Site(postfix, server, ports)


@pytest.mark.parametrize(("port", "client"), CELLS)
def test_a_client_delivers_through_a_port(site: Site, port: str, client: str) -> None:
    marker = f"{client}-{port}"
    sent = CLIENTS[client](site.ports[port], message(marker))
    assert sent.accepted, sent.words + site.server.log()
    got = site.postfix.wait_for_message(f"<{marker}@example.org>".encode())
    assert b"\n.a line that begins with a dot\nthe last line\n" in got
    line = site.server.wait_for_line(f"message-id=<{marker}@example.org>")
    assert ("sasl_username=" in line) == port.startswith("submission")


@pytest.mark.parametrize(("port", "client"), [cell for cell in CELLS if cell[0] != "after_queue"])
def test_a_client_hears_that_spam_is_refused(site: Site, port: str, client: str) -> None:
    marker = f"spam-{client}-{port}"
    sent = CLIENTS[client](site.ports[port], gtube(marker))
    assert not sent.accepted, sent.words
    assert "action=reject" in site.server.wait_for_line(f"message-id=<{marker}@example.org>")
    if client != "curl":
        assert "5.7.1" in sent.words, sent.words


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_a_wrong_password_is_refused(site: Site, port: str, client: str) -> None:
    right = site.ports[port]
    wrong = Port(right.number, right.tls, USER, "wrong", right.ca_file)
    assert not CLIENTS[client](wrong, message("never")).accepted
    wait_until(lambda: "auth" in site.server.log().lower(), "the failure in the log", state=site.server.log)
