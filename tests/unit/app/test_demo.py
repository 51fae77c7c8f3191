"""The demo's parts: its configuration, its share of DNS, its samples and its next hop."""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from filterproxy.app.demo.next_hop import start_next_hop
from filterproxy.app.demo.run import load_demo_config
from filterproxy.app.demo.samples import SAMPLES, read
from filterproxy.app.demo.zones import DemoResolver, demo_zones, is_reserved
from filterproxy.config.addresses import SocketAddress
from filterproxy.core.ports import DnsAnswer, DnsStatus
from filterproxy.pipeline import discover
from tests.system.waiting import free_port


def test_without_a_file_the_demo_uses_its_own_configuration_with_state_in_var(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FILTERPROXY_CONFIG", raising=False)
    loaded = load_demo_config(None)
    addresses = [str(listener.address) for listener in loaded.settings.listeners]
    assert addresses == ["127.0.0.1:10025", "127.0.0.1:11332", "127.0.0.1:11334"]
    assert loaded.store_path == tmp_path / "var/state.db"
    assert loaded.base_dir == tmp_path
    assert set(loaded.checks) == set(discover()), "all built-in checks are on"


def test_a_file_of_the_user_is_used_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "filterproxy.yml").write_text("hostname: mine.example\n")
    assert load_demo_config(None).settings.hostname == "mine.example"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("orchard.example", True),
        ("_dmarc.Bank.Example.", True),
        ("10.2.0.192.in-addr.arpa", True),
        ("66.113.0.203.in-addr.arpa", True),
        ("example", True),
        ("example.org", False),
        ("notexample", False),
        ("1.2.3.4.zen.spamhaus.org", False),
        ("1.0.168.192.in-addr.arpa", False),
    ],
)
def test_only_reserved_names_are_the_demos(name: str, ours: bool) -> None:
    assert is_reserved(name) is ours


def test_the_zones_hold_reserved_names_only() -> None:
    assert all(is_reserved(name) for name in demo_zones())


class NamedResolver:
    def __init__(self, reason: str) -> None:
        self.reason, self.closed = reason, False

    async def resolve(self, name: str, rtype: str) -> DnsAnswer:
        return DnsAnswer(DnsStatus.NXDOMAIN, reason=self.reason)

    async def close(self) -> None:
        self.closed = True


async def test_the_resolver_asks_whoever_is_responsible_and_closes_both() -> None:
    own, others = NamedResolver("own"), NamedResolver("others")
    resolver = DemoResolver(own, others)
    assert (await resolver.resolve("bank.example", "TXT")).reason == "own"
    assert (await resolver.resolve("example.org", "TXT")).reason == "others"
    await resolver.close()
    assert own.closed
    assert others.closed


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
def test_a_sample_is_a_message_of_now(sample: object) -> None:
    raw = read(sample, "<unique@samples.filterproxy.example>")  # type: ignore[arg-type]
    assert raw.count(b"\n") == raw.count(b"\r\n"), "CRLF line ends only"
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parsed = message_from_bytes(raw)
    assert parsed["Message-ID"] == "<unique@samples.filterproxy.example>"
    assert parsedate_to_datetime(parsed["Date"]).timestamp() > 1_700_000_000
    assert not parsed.defects


async def test_the_next_hop_keeps_what_it_accepts_and_says_temporary_when_it_cannot(tmp_path: Path) -> None:
    port = free_port()
    controller = start_next_hop(SocketAddress("127.0.0.1", port), tmp_path / "delivered")
    long_line = b"x" * 5000

    def send(body: bytes) -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=10) as smtp:
            smtp.ehlo()
            smtp.mail("a@example.org")
            smtp.rcpt("b@example.org")
            return smtp.data(b"Subject: x\r\n\r\n" + body + b"\r\n")

    try:
        code, _ = await asyncio.to_thread(send, long_line)
        assert code == 250
        (kept,) = (tmp_path / "delivered/new").iterdir()
        assert kept.read_bytes() == (
            b"Return-Path: <a@example.org>\nDelivered-To: b@example.org\nSubject: x\n\n" + long_line + b"\n"
        )
        kept.unlink()
        for part in ("tmp", "new", "cur"):
            (tmp_path / "delivered" / part).rmdir()
        code, text = await asyncio.to_thread(send, b"lost")
        assert code == 451, text
    finally:
        controller.stop()
