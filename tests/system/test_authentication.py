"""Authentication through a real Postfix: what stands on a message that was signed, sealed and rewritten on its way."""

from __future__ import annotations

import dkim
import pytest
from cryptography.hazmat.primitives import serialization

from tests.conformance.mailauth import Question, ask
from tests.conformance.zones import Zone
from tests.signing import key_record, rsa_key, sign
from tests.system.messages import message
from tests.system.senders import swaks
from tests.system.waiting import free_port

ZONE: Zone = {
    ("arc._domainkey.filter.example", "TXT"): [key_record(rsa_key())],
    ("sel._domainkey.example.org", "TXT"): [key_record(rsa_key())],
}
FORGED = [b"Authentication-Results: (c) MX.example.net 1;\r\n\tdkim=pass header.d=bank.example; dmarc=pass"]


@pytest.fixture
def deliver(postfix, filterproxy_server, dns_server, system_dir):
    """Return a function that sends a message through Postfix with our milter and returns what was delivered."""

    def delivered(raw: bytes, marker: bytes, **settings) -> bytes:
        address = f"127.0.0.1:{free_port()}"
        dns = dns_server({name: {"TXT": records} for (name, _), records in ZONE.items()})
        (system_dir / "arc.pem").write_bytes(
            rsa_key().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        filterproxy_server(
            {
                "hostname": "mx.example.net",
                "listeners": [{"type": "milter", "address": address}],
                "dns": {"nameservers": [dns.address], "timeout": "2s"},
                "arc_sealing": {"domain": "filter.example", "selector": "arc", "key_file": str(system_dir / "arc.pem")},
                "checks": {"arc": {}, "dkim": {}},
                **settings,
            }
        )
        server = postfix(milters=[f"inet:{address}"])
        sent = swaks(server.port, data=raw.replace(b"\r\n", b"\n"))
        assert sent.message_reply.startswith("250 "), sent.text
        return server.wait_for_message(marker)

    return delivered


def opinions(raw: bytes) -> tuple[str, str]:
    """Return what dkimpy and mailauth say of the chain."""
    crlf = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    ((word, _),) = ask([Question("arc", crlf, ZONE)])[0]
    keys = {name.encode() + b".": records[0] for (name, _), records in ZONE.items()}
    return dkim.arc_verify(crlf, dnsfunc=lambda name, timeout=5: keys.get(name))[0].decode(), word


def test_a_sealed_and_rewritten_message_verifies_after_postfix(deliver):
    raw = sign(message("sealed", headers=FORGED), rsa_key(), signed="from:to:subject")
    got = deliver(raw, b"<sealed@example.org>", actions={"rewrite_subject": -10})
    assert b"Subject: ***SPAM***" in got
    assert got.count(b"ARC-Seal:") == 1 and b"dkim=pass header.d=example.org" in got
    assert b"bank.example" not in got
    assert opinions(got) == ("pass", "pass")
