"""The running service in front of a provider with TLS and OAuth 2, and our client's side against a real Postfix."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from filterproxy.config.next_hop import NextHop as NextHopConfig
from filterproxy.protocols.smtp.commands import Path as MailPath
from filterproxy.services.next_hop import NextHop, NextHopConnection
from tests.smtp_provider import USER, Authority, provider
from tests.system.messages import message
from tests.system.postfix import Postfix
from tests.system.senders import send
from tests.system.server import FilterproxyServer
from tests.system.waiting import free_port

A, ALICE = MailPath("a@example.org", b"a@example.org"), MailPath("alice@example.net", b"alice@example.net")


async def test_a_provider_with_a_token_command(
    system_dir: Path, filterproxy_server: Callable[..., FilterproxyServer]
) -> None:
    authority = Authority(system_dir)
    command = system_dir / "token"
    command.write_text(
        f"#!/bin/sh\necho run >> {system_dir}/runs\n"
        """[ $(wc -l < "$(dirname "$0")/runs") = 1 ] && echo old-token && exit
        echo '{"access_token": "good-token", "expires_in": 3600}'\n"""
    )
    command.chmod(0o700)
    async with provider(context=authority.context(), implicit=True, token="good-token") as server:
        port = free_port()
        hop = {"provider": "gmail", "host": "localhost", "port": server.port, "ca_file": authority.file}
        hop |= {"username": USER, "token_command": str(command)}
        listener = {"type": "smtp", "address": f"127.0.0.1:{port}", "next_hop": hop}
        service = await asyncio.to_thread(filterproxy_server, {"listeners": [listener], "checks": {"gtube": {}}})
        for number in range(5):
            sent = await asyncio.to_thread(send, port, message(f"m{number}"))
            assert sent.code == 250, service.log()
        assert len(server.messages) == 5
        # The first token had expired: the server said so, and a second run brought one that served all sessions.
        assert (system_dir / "runs").read_text() == "run\nrun\n"
        assert not server.in_clear
        assert "token" not in service.log().replace(str(command), "")


async def test_a_real_postfix_with_starttls_and_xclient(postfix: Callable[..., Postfix], system_dir: Path) -> None:
    authority = Authority(system_dir)
    pem = system_dir / "server.pem"
    certificate = authority.ca.issue_cert("mta.example.net")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    pem.chmod(0o600)
    settings = {
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": str(pem),
        "smtpd_tls_loglevel": "1",
        "smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination",
    }
    manager = "tlsmgr unix - - n 1000? 1 tlsmgr\n"
    mta = await asyncio.to_thread(postfix, settings=settings, services=manager)
    hop = {"address": f"127.0.0.1:{mta.port}", "server_name": "mta.example.net", "ca_file": authority.file}
    service = NextHop(NextHopConfig.model_validate({**hop, "tls": "verify"}), lambda: "mx.example.org")
    made = await service.connect()
    assert made.tls is not None
    assert made.tls.version == "TLSv1.3"
    # Too much for one command: what the first told must still hold after the second.
    name = ".".join(["long-label-of-a-host-name"] * 9) + ".example"
    client = {"ADDR": "192.0.2.7", "NAME": name, "HELO": name, "PROTO": "ESMTP", "PORT": "12345"}
    assert await made.xclient(client) is None
    assert made.tls is not None
    await _deliver(made, b"Subject: over\r\n\r\nXCLIENT\r\n")
    made.quit()
    assert not made.reusable
    raw = await asyncio.to_thread(mta.wait_for_message, b"XCLIENT")
    received = re.sub(rb"\s+", b" ", raw)
    assert b"from " + name.encode() + b" (" + name.encode() + b" [192.0.2.7])" in received
    assert "Trusted TLS connection established" in mta.log() or "TLS connection established" in mta.log()


async def _deliver(made: NextHopConnection, raw: bytes) -> None:
    for reply in (await made.mail(A), await made.rcpt(ALICE)):
        assert reply.positive, reply
    assert (await made.data()).code == 354
    assert await made.send((raw,)) is None
    assert (await made.sent()).code == 250
