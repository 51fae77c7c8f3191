"""ARC sealing as it is configured: what is passed on carries a seal, and a wrong key stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from filterproxy.app.compose import open_pipeline
from filterproxy.core.errors import ConfigError
from filterproxy.message import Message
from filterproxy.pipeline import Delivery
from filterproxy.services.signatures import verify_arc
from filterproxy.testing import FakeResolver, FakeScanPool, make_transaction
from filterproxy.testing.dns_server import DnsServer
from tests.signing import MESSAGE, ed25519_key, key_record, rsa_key, seal
from tests.unit.app.helpers import write_config

SEALING = "arc_sealing: {domain: Filter.Example, selector: f, key_file: arc.pem}\n"
ZONES = {
    f"{name}._domainkey.{domain}": {"TXT": [key_record(rsa_key())]}
    for name, domain in (("f", "filter.example"), ("sel", "lists.example"))
}
KEYS = FakeResolver({(name, "TXT"): types["TXT"] for name, types in ZONES.items()})


def write_key(folder: Path, key=None) -> None:
    pem = (key or rsa_key()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "arc.pem").write_bytes(pem)


async def passed_on(folder: Path, raw: bytes, text: str = "", **sender) -> bytes:
    """Return the message as the pipeline passes it on."""
    write_key(folder)
    with DnsServer(ZONES) as server:
        text += f"{SEALING}dns: {{nameservers: ['{server.address}']}}\n"
        async with open_pipeline(write_config(folder, text + "checks: {arc: {}, gtube: {}}\n")) as opened:
            verdict = await opened.pipeline.begin(make_transaction(raw, **sender), Delivery("test")).finish(raw)
    return verdict.edits.apply(raw)


async def chain_of(raw: bytes) -> tuple[str, int]:
    found = await verify_arc(Message(raw), KEYS, FakeScanPool())
    return found.result, found.instance


async def test_what_is_passed_on_is_sealed(tmp_path):
    passed = await passed_on(tmp_path, MESSAGE)
    assert passed.startswith(b"ARC-Seal: i=1; a=rsa-sha256; ")
    assert b"ARC-Authentication-Results: i=1; mx.example.org;\r\n\tarc=none\r\n" in passed
    assert await chain_of(passed) == ("pass", 1)


async def test_the_seal_covers_the_rewritten_subject(tmp_path):
    text = "actions: {rewrite_subject: -5}\n"
    passed = await passed_on(tmp_path, MESSAGE, text)
    assert b"Subject: ***SPAM***" in passed
    assert await chain_of(passed) == ("pass", 1)


async def test_a_chain_grows_and_a_broken_one_does_not(tmp_path):
    once = seal(MESSAGE, "lists.example")
    assert await chain_of(await passed_on(tmp_path, once)) == ("pass", 2)
    broken = once.replace(b"how are", b"how were")
    assert (await passed_on(tmp_path, broken)).count(b"ARC-Seal:") == 1


@pytest.mark.parametrize("sender", [{"user": "anna"}, {"local": True}])
async def test_our_own_mail_is_not_sealed(tmp_path, sender):
    assert b"ARC-" not in await passed_on(tmp_path, MESSAGE, **sender)


async def test_a_large_message_is_sealed_too(tmp_path):
    assert await chain_of(await passed_on(tmp_path, MESSAGE + b"0123456789 abcdef\r\n" * 30_000)) == ("pass", 1)


async def test_a_failure_to_seal_does_not_hold_up_the_message(tmp_path, monkeypatch):
    monkeypatch.setattr("filterproxy.services.signatures.sealing.Sealer.seal", lambda *_: 1 / 0)
    passed = await passed_on(tmp_path, MESSAGE)
    assert b"ARC-" not in passed and b"Authentication-Results: mx.example.org" in passed


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "arc_sealing.key_file: cannot read"),
        (b"-----BEGIN NONSENSE", "arc.pem is no PEM file with an unencrypted private key"),
        (ed25519_key(), "arc.pem holds no RSA key, and ARC has no other kind yet"),
    ],
)
async def test_a_wrong_key_is_an_error_with_its_place(tmp_path, content, reason):
    if isinstance(content, bytes):
        (tmp_path / "arc.pem").write_bytes(content)
    elif content is not None:
        write_key(tmp_path, content)
    path = write_config(tmp_path, SEALING + "checks: {arc: {}}\n")
    with pytest.raises(ConfigError, match=reason) as raised:
        async with open_pipeline(path, offline=True):
            pytest.fail("it opened")
    assert f"{path}:" in str(raised.value)


async def test_sealing_needs_the_check(tmp_path):
    write_key(tmp_path)
    path = write_config(tmp_path, SEALING + "checks: {gtube: {}}\n")
    with pytest.raises(ConfigError, match="arc_sealing: needs the check arc"):
        async with open_pipeline(path, offline=True):
            pytest.fail("it opened")
