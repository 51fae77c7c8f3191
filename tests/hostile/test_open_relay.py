"""Never an open relay: every combination of client, authentication, recipient, mode and next hop.

A stranger's mail to a stranger is accepted by nobody. The next hop here would take everything that comes from this
machine, as a Postfix with 127.0.0.1 in mynetworks does; told the client by XCLIENT it decides like one on port 25.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from filterproxy.core.errors import ConfigError
from filterproxy.testing.context import make_site
from tests.certificates import Certificates, make_certificates
from tests.dialogs.smtp_dialog import LOOPBACK, smtp_context
from tests.dialogs.smtp_peers import Client, Sink, proxy, sink

OURS = ("b@example.net", "b@EXAMPLE.NET", "b@sub.example.com", "postmaster")
FOREIGN = (
    "b@elsewhere.example",
    "b@example.net.elsewhere.example",
    "b@notexample.net",
    "b@example.com",
    "b%elsewhere.example@example.net",
    "elsewhere.example!b@example.net",
    '"b@elsewhere.example"@example.net',
    '"b%elsewhere.example"@example.net',
    "@example.net:b@elsewhere.example",
    "b",
    "b@[192.0.2.1]",
    "b@example.net@elsewhere.example",
)
GOOD = base64.b64encode(b"\0joe\0secret").decode()
BAD = base64.b64encode(b"\0joe\0wrong").decode()
KINDS = ("stranger", "trusted", "local", "told by XCLIENT", "told by PROXY")
LOGINS = ("nobody", "wrong password", "joe")
MODES = ("before_queue", "front")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("auth") / "passwords"
    path.write_text(f"joe:{PasswordHasher(time_cost=1, memory_cost=1024).hash('secret')}\n")
    return path


def may_relay(kind: str, login: str, mode: str) -> bool:
    """Tell who may send to anybody: who has authenticated, our own clients, and an MTA that stands in front of us."""
    return login == "joe" or kind == "local" or (kind == "trusted" and mode == "before_queue")


@pytest.mark.parametrize(
    ("mode", "kind", "login", "xclient"), list(itertools.product(MODES, KINDS, LOGINS, (False, True))), ids=str
)
async def test_a_stranger_reaches_relay_domains_alone(
    certificates: Certificates, passwords: Path, mode: str, kind: str, login: str, xclient: bool
) -> None:
    site = make_site(
        trusted_networks=LOOPBACK if kind.startswith(("trusted", "told")) else (),
        local_networks=(ip_network("127.0.0.1"),) if kind == "local" else (),
        relay_domains=frozenset({"example.net", ".example.com"}),
    )
    options: dict[str, Any] = {
        "mode": mode,
        "tls": {"cert": str(certificates.cert), "key": str(certificates.key)},
        "auth": {"source": "file", "file": str(passwords)},
        "proxy_protocol": kind == "told by PROXY",
        "limits": {"errors": 100, "auth_delay": 0},
    }
    async with next_hop(xclient=xclient) as hop, proxy(hop=hop, context=smtp_context(site=site), **options) as running:
        client = await Client.connect(running.port)
        await introduce(client, kind)
        await log_in(client, login, certificates)
        assert (await client.say("MAIL FROM:<a@elsewhere.example>")).startswith("250")
        accepted = {address for address in (*OURS, *FOREIGN) if await takes(client, address)}
        # In front of a next hop that takes XCLIENT it decides, and knows the client's address and name.
        free = login == "joe" if mode == "front" and xclient else may_relay(kind, login, mode)
        wanted = {*OURS, *well_formed(FOREIGN)} if free else set(OURS)
        assert accepted == wanted


async def introduce(client: Client, kind: str) -> None:
    """Go as far as EHLO, as this kind of client."""
    if kind == "told by PROXY":
        await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
    await client.hello()
    if kind == "told by XCLIENT":
        assert (await client.say("XCLIENT ADDR=192.0.2.7")).startswith("220 ")
        assert (await client.say("EHLO client.example")).startswith("250")


async def log_in(client: Client, login: str, certificates: Certificates) -> None:
    if login == "nobody":
        return
    assert (await client.say("STARTTLS")).startswith("220 ")
    await client.writer.start_tls(certificates.client_context(), server_hostname="mx.example.org")
    await client.say("EHLO client.example")
    reply = await client.say(f"AUTH PLAIN {GOOD if login == 'joe' else BAD}")
    assert reply.startswith("235 " if login == "joe" else "535 ")


async def takes(client: Client, address: str) -> bool:
    return (await client.say(f"RCPT TO:<{address}>")).startswith("250")


def well_formed(addresses: tuple[str, ...]) -> set[str]:
    """Return the addresses that are any: two bare @ are none, whoever sends them."""
    return {address for address in addresses if address != "b@example.net@elsewhere.example"}


@asynccontextmanager
async def next_hop(*, xclient: bool) -> AsyncIterator[Sink]:
    """Run a next hop that takes all from this machine; told by XCLIENT it asks who has sent it, and for whom."""

    def rcpt() -> bytes:
        told = [line for line in hop.commands if line.startswith(b"XCLIENT")]
        address = hop.commands[-1].lower()
        ours = address.endswith((b"@example.net>", b".example.com>", b"<postmaster>"))
        routed = any(sign in address.rpartition(b"@")[0] for sign in (b"%", b"!", b"@"))
        free = not told or b"LOGIN=" in told[-1]
        return b"250 2.1.5 ok" if free or (ours and not routed) else b"554 5.7.1 Relay access denied"

    keywords = (b"XCLIENT NAME ADDR LOGIN", b"DSN") if xclient else (b"DSN",)
    async with sink(keywords=keywords, answers={"RCPT": rcpt, "XCLIENT": b"220 sink"}) as hop:
        yield hop


class TestStart:
    async def test_front_with_nothing_to_decide_by_does_not_start(self) -> None:
        async with sink() as hop:
            with pytest.raises(ConfigError, match=r"relay_domains: mode front needs relay_domains: .* XCLIENT"):
                async with proxy(hop=hop, mode="front", context=smtp_context(trusted=False)):
                    pass

    @pytest.mark.parametrize("relay_domains", ["example.net", ""])
    async def test_front_with_one_of_them_starts(self, relay_domains: str) -> None:
        keywords = () if relay_domains else (b"XCLIENT ADDR",)
        context = smtp_context(trusted=False, relay_domains=relay_domains)
        async with sink(keywords=keywords) as hop, proxy(hop=hop, mode="front", context=context) as running:
            assert (await (await Client.connect(running.port)).reply()).startswith("220 ")

    async def test_a_next_hop_that_is_not_up_yet_stops_nobody(self) -> None:
        context = smtp_context(trusted=False)
        async with proxy(next_hop={"address": "127.0.0.1:1"}, mode="front", context=context) as running:
            client = await Client.connect(running.port)
            assert (await client.reply()).startswith("220 ")
            assert (await client.say("EHLO client.example")).startswith("421 ")
