"""Spoofed mail from end to end: envelope, signatures and From as attackers send them, through spf, dkim and dmarc.

The attacker has a domain with good SPF and DKIM; the victim's asks for rejection. Whatever is sent, nothing may say
that the victim's domain passed, however loosely a later reader takes our Authentication-Results.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import authres
import pytest

from filterproxy.app.compose import open_pipeline
from filterproxy.core.scan_result import ScanResult
from filterproxy.pipeline import Delivery
from filterproxy.testing import make_transaction
from filterproxy.testing.dns_server import DnsServer
from tests.signing import key_record, rsa_key, sign

KEY = key_record(rsa_key())
ZONES = {
    "bank.example": {"TXT": ["v=spf1 -all"], "A": ["198.51.100.1"]},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "sel._domainkey.bank.example": {"TXT": [key_record(rsa_key(1024))]},
    "*.evil.example": {"TXT": ["v=spf1 ip4:203.0.113.5 -all"], "A": ["203.0.113.5"]},
    "evil.example": {"TXT": ["v=spf1 ip4:203.0.113.5 -all"], "A": ["203.0.113.5"]},
    "_dmarc.evil.example": {"TXT": ["v=DMARC1; p=none"]},
    "sel._domainkey.evil.example": {"TXT": [KEY]},
    "sel._domainkey.bank.example.evil.example": {"TXT": [KEY]},
    "sel._domainkey.a.evil.example": {"TXT": [KEY]},
}
BODY = b"To: you@example.net\r\nSubject: your account\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nclick\r\n"
BANK = b"From: <admin@bank.example>\r\n"


@dataclass
class Spoof:
    """One attempt; `d` and `s` are the signature's, an empty `d` leaves the message unsigned."""

    header: bytes = BANK
    mail_from: str = "x@evil.example"
    helo: str = "mx.evil.example"
    d: str = "evil.example"
    s: str = "sel"
    above: bytes = b""  # put on top after signing


SPOOFS = {
    "a plain forgery": Spoof(d=""),
    "a signature of somebody else": Spoof(),
    "a name below the victim's that does not exist": Spoof(mail_from="x@gone.bank.example"),
    "the victim as envelope sender": Spoof(mail_from="admin@bank.example"),
    "the null sender and the victim's name in HELO": Spoof(mail_from="", helo="bank.example"),
    "the null sender and an own HELO": Spoof(mail_from=""),
    "a parenthesis in the envelope sender": Spoof(mail_from="(admin@bank.example"),
    "a quote in the envelope sender": Spoof(mail_from="admin@bank.example'@a.evil.example"),
    "a source route in the envelope sender": Spoof(mail_from="@bank.example,@x.example:x@evil.example"),
    "results in the envelope sender": Spoof(mail_from='"a;dmarc=pass header.from=bank.example"@evil.example'),
    "results in HELO": Spoof(helo="x;dmarc=pass_header.from=bank.example", mail_from=""),
    "a NUL in the selector": Spoof(d="bank.example", s="sel._domainkey.evil.example.\0.x"),
    "a NUL in d=": Spoof(d="evil.example\0.bank.example"),
    "a dot at the end of the selector": Spoof(d="bank.example", s="sel._domainkey.evil.example."),
    "the whole key name as selector": Spoof(d="bank.example", s="sel._domainkey.evil.example"),
    "a quote in d=": Spoof(d="bank.example'a.evil.example"),
    "a parenthesis in d=": Spoof(d="bank.example(.evil.example"),
    "an at sign in d=": Spoof(d="bank.example@evil.example"),
    "the victim in front of an own domain": Spoof(d="bank.example.evil.example", mail_from="x@bank.evil.example"),
    "results in the selector": Spoof(s="sel dmarc=pass header.from=bank.example"),
    "a From above the signed one": Spoof(b"From: x@evil.example\r\n", above=BANK),
    "a From below the signed one": Spoof(BANK + b"From: x@evil.example\r\n"),
    "a From with a blank before the colon": Spoof(b"From: x@evil.example\r\n", above=b"From : admin@bank.example\r\n"),
    "a From after a blank": Spoof(b"From: x@evil.example\r\n", above=b" From: admin@bank.example\r\n"),
    "two addresses": Spoof(b"From: <admin@bank.example>, <x@evil.example>\r\n"),
    "two addresses without a comma": Spoof(b"From: <admin@bank.example> <x@evil.example>\r\n"),
    "a source route": Spoof(b"From: <@bank.example,@x.example:x@evil.example>\r\n"),
    "an unquoted address as a name": Spoof(b"From: admin@bank.example <x@evil.example>\r\n"),
    "an encoded address": Spoof(b"From: =?utf-8?b?PGFkbWluQGJhbmsuZXhhbXBsZT4=?= <x@evil.example>\r\n"),
    "a NUL": Spoof(b"From: admin@bank.example\0,x@evil.example\r\n"),
    "a backslash": Spoof(b"From: <admin@bank.example>\\, <x@evil.example>\r\n"),
    "a group": Spoof(b"From: admin@bank.example:x@evil.example;\r\n"),
    "a comment": Spoof(b"From: admin@bank.example(@evil.example)\r\n"),
    "Sender instead of From": Spoof(b"Sender: admin@bank.example\r\n", above=b""),
    "forged results": Spoof(above=b"Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example\r\n"),
    "forged results, folded": Spoof(
        above=b"Authentication-Results:\r\n (c) MX.example.org\r\n 1; dmarc=pass header.from=bank.example\r\n"
    ),
    "results that continue ours": Spoof(above=b" ; dmarc=pass header.from=bank.example\r\n"),
}

_CLAIM = re.compile(rb"dmarc=pass\b[^;]*?bank\.example", re.IGNORECASE | re.DOTALL)


async def send(spoof: Spoof, folder) -> tuple[ScanResult, bytes]:
    """Return the result, and the message as it is passed on."""
    raw = spoof.header + BODY
    if spoof.d and b"From:" in raw:
        raw = sign(raw, rsa_key(), d=spoof.d, s=spoof.s, c="simple/simple")
    raw = spoof.above + raw
    with DnsServer(ZONES) as server:
        config = folder / "filterproxy.yml"
        config.write_text(
            f"hostname: mx.example.org\nmode: observe\ndns: {{nameservers: ['{server.address}']}}\n"
            f"store: sqlite:///{folder}/state.db\nchecks: {{spf: {{}}, dkim: {{}}, arc: {{}}, dmarc: {{}}}}\n"
        )
        async with open_pipeline(config) as opened:
            transaction = make_transaction(raw, client="203.0.113.5", mail_from=spoof.mail_from, helo=spoof.helo)
            verdict = await opened.pipeline.begin(transaction, Delivery("test")).finish(raw)
    assert verdict.result is not None
    return verdict.result, verdict.edits.apply(raw)


@pytest.mark.parametrize("spoof", [pytest.param(spoof, id=name) for name, spoof in SPOOFS.items()])
async def test_nothing_says_that_the_victim_passed(spoof, tmp_path):
    result, passed_on = await send(spoof, tmp_path)
    for found in result.authentication:
        if found.result == "pass":
            said = " ".join(value for _, value in found.properties)
            domains = {found.property("header.from"), found.property("header.d")}
            assert "bank.example" not in domains and "evil.example" in said, found
    fields = passed_on.partition(b"\r\n\r\n")[0]
    ours = re.findall(rb"^Authentication-Results:((?:[^\r]|\r\n[ \t])*)", fields, re.MULTILINE)
    assert len(ours) == 1
    strict = authres.AuthenticationResultsHeader.parse_value(ours[0].decode().replace("\r\n", "").strip())
    assert [item.result for item in strict.results if item.method == "dmarc"] != ["pass"] or b"evil" in ours[0]
    without_quoted = re.sub(rb'"(?:[^"\\]|\\.)*"', b'""', ours[0])
    assert not _CLAIM.search(without_quoted)


async def test_the_attackers_own_mail_passes_in_their_own_name(tmp_path):
    result, _ = await send(Spoof(b'From: "admin@bank.example" <x@evil.example>\r\n'), tmp_path)
    assert [
        (item.result, item.property("header.from")) for item in result.authentication if item.method == "dmarc"
    ] == [("pass", "evil.example")]
