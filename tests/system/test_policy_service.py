"""A real Postfix that asks filterproxy about each recipient (check_policy_service), over TCP and over a unix socket."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from filterproxy.testing.dns_server import DnsServer
from tests.system.messages import message
from tests.system.postfix import Postfix, missing, scratch_folder
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port, wait_until

ZONES = {
    "good.example": {"TXT": ["v=spf1 ip4:192.0.2.25 -all"]},
    "forged.example": {"TXT": ["v=spf1 -all"]},
    "2.0.0.127.bl.example": {"A": ["127.0.0.2"]},
    "66.2.0.192.bl.example": {"A": ["127.0.0.2"]},
    "badlinks.example": {},
}
LISTS = [
    # One question only the message answers: the client is looked up at RCPT all the same.
    {
        "name": "t",
        "zone": "bl.example",
        "query": ["client", "urls"],
        "codes": {"127.0.0.2": {"symbol": "T_BL", "score": 4}},
    },
]
RULES = """\
lists:
  - {name: ALLOWED, file: allow.txt, of: [client, header_from], action: no action}
  - {name: DENIED, file: deny.txt, of: [mail_from, header_from], action: reject}
"""
SECOND = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_recipient_restrictions=check_policy_service,unix:{socket},permit_mynetworks,reject_unauth_destination
"""


@dataclass
class Site:
    """Postfix with a port that asks over TCP and one that asks over a unix socket."""

    postfix: Postfix
    filter: FilterproxyServer
    ports: dict[str, int]

    def rcpt(
        self, way: str, *, client: str = "192.0.2.25", sender: str = "a@good.example", to: str = "alice@example.net"
    ) -> tuple[int, str]:
        """Return Postfix's answer to RCPT."""
        with smtplib.SMTP("127.0.0.1", self.ports[way], local_hostname="mail.good.example", timeout=60) as session:
            session.ehlo()
            assert session.docmd("XCLIENT", f"ADDR={client} NAME=[UNAVAILABLE]")[0] == 220
            session.ehlo()
            assert session.mail(sender)[0] == 250
            code, text = session.rcpt(to)
            return code, text.decode()


def policy_config(addresses: list[str], dns: str, **listener: Any) -> dict[str, Any]:
    return {
        "listeners": [{"type": "policy", "address": address, **listener} for address in addresses],
        "dns": {"nameservers": [dns], "timeout": "2s"},
        "checks": {"spf": {}, "dnslists": {"lists": LISTS}, "rules": {"files": ["rules.yml"]}},
        "force_actions": {"T_BL": "reject"},
    }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if missing():
        pytest.fail(missing())
    with scratch_folder() as folder, DnsServer(ZONES) as dns:
        port, second, path = free_port(), free_port(), folder / "policy.sock"
        config = policy_config(
            [f"127.0.0.1:{port}", f"unix:{path}"],
            dns.address,
            force_actions={"SPF_FAIL": "reject"},
            prepend="received_spf",
        )
        server = FilterproxyServer(folder / "filter", config)
        for name, text in {
            "rules.yml": RULES,
            "allow.txt": "192.0.2.77\n",
            "deny.txt": "evil@good.example\n",
        }.items():
            (folder / "filter" / name).write_text(text)
        restrictions = f"check_policy_service inet:127.0.0.1:{port}, permit_mynetworks, reject_unauth_destination"
        settings = {"smtpd_recipient_restrictions": restrictions}
        services = SECOND.format(port=second, socket=path)
        with server, Postfix(folder / "postfix", settings=settings, services=services) as postfix:
            yield Site(postfix, server, {"inet": postfix.port, "unix": second})


@pytest.mark.parametrize("way", ["inet", "unix"])
def test_the_answers(site: Site, way: str) -> None:
    assert site.rcpt(way)[0] == 250
    code, text = site.rcpt(way, sender="a@forged.example")
    refused = "5.7.1 <alice@example.net>: Recipient address rejected: Message rejected: SPF of forged.example"
    assert code == 554 and text.startswith(f"{refused} does not allow 192.0.2.25 (id ")
    code, text = site.rcpt(way, client="192.0.2.66", sender="a@elsewhere.example")
    assert code == 554 and "Listed by t" in text
    code, text = site.rcpt(way, sender="evil@good.example")
    assert code == 554 and "Listed in deny.txt" in text
    # Whoever is on the allow list is left to Postfix: mail is taken, and relayed nowhere.
    assert site.rcpt(way, client="192.0.2.77", sender="x@none.example")[0] == 250
    code, text = site.rcpt(way, client="192.0.2.77", sender="x@none.example", to="x@elsewhere.example")
    assert (code, "Relay access denied" in text) == (554, True)


def test_the_log_and_the_header_field_once(site: Site) -> None:
    with smtplib.SMTP("127.0.0.1", site.ports["inet"], local_hostname="mail.good.example", timeout=60) as session:
        session.ehlo()
        session.docmd("XCLIENT", "ADDR=192.0.2.25 NAME=[UNAVAILABLE]")
        session.ehlo()
        session.sendmail("a@good.example", ["alice@example.net", "bob@example.net"], message("policy"))
    got = site.postfix.wait_for_message(b"<policy@example.org>")
    assert got.count(b"Received-SPF: pass (domain of a@good.example") == 1
    site.filter.wait_for_log('reply="PREPEND Received-SPF: pass')
    site.filter.wait_for_log("listener=policy")


@pytest.fixture
def alone(postfix: Callable[..., Postfix]) -> Callable[[int], Site]:
    def started(port: int) -> Site:
        asked = f"check_policy_service inet:127.0.0.1:{port}"
        settings = {
            "smtpd_recipient_restrictions": f"{asked}, permit_mynetworks, reject_unauth_destination",
            "smtpd_policy_service_retry_delay": "1s",
            "smtpd_policy_service_timeout": "10s",
        }
        mta = postfix(settings=settings)
        return Site(mta, None, {"inet": mta.port})  # type: ignore[arg-type]

    return started


def test_a_dead_filter_is_a_temporary_failure_and_a_new_one_is_found(
    alone: Callable[[int], Site],
    filterproxy_server: Callable[..., FilterproxyServer],
    dns_server: Callable[..., DnsServer],
) -> None:
    port = free_port()
    config = policy_config([f"127.0.0.1:{port}"], dns_server(ZONES).address, force_actions={"SPF_FAIL": "reject"})
    config["checks"].pop("rules")
    server = filterproxy_server(config)
    site = alone(port)
    assert site.rcpt("inet")[0] == 250
    # A reload takes the listener's settings; what Postfix holds open goes on.
    assert site.rcpt("inet", sender="a@forged.example")[0] == 554
    config["listeners"][0].pop("force_actions")
    server.configure(config)
    server.reload()
    wait_until(lambda: site.rcpt("inet", sender="a@forged.example")[0] == 250, "the reload")
    # Nonsense on the port disturbs nobody else.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as garbage:
        garbage.sendall(b"EHLO x\r\n\0\xff\n\n")
        assert garbage.recv(1000) == b""
    server.wait_for_log("session error")
    assert site.rcpt("inet")[0] == 250
    assert server.stop() == 0
    code, text = site.rcpt("inet")
    assert code == 451 and text.startswith("4.3.5")
    server.start()
    assert site.rcpt("inet")[0] == 250
