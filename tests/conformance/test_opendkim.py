"""Debian's opendkim as a second opinion on signed, altered and forwarded mail; its keys come from a loopback server.

It tells of one signature a message, the best. Where it differs from us, the table below says why.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from filterproxy.message import Message
from filterproxy.services.signatures import verify_dkim
from filterproxy.testing import FakeScanPool
from filterproxy.testing.dns_server import DnsServer
from tests.conformance import dkim_vectors
from tests.conformance.dkim_case import MESSAGE, NOW
from tests.conformance.dkim_vectors import ALTERATIONS
from tests.conformance.zones import Zone, serve, table_of
from tests.signing import ed25519_key, key_record, rsa_key, seal, sign

FORMS = ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed")
KEYS: Zone = {
    ("sel._domainkey.example.org", "TXT"): [key_record(rsa_key())],
    ("ed._domainkey.example.org", "TXT"): [key_record(ed25519_key())],
    ("list._domainkey.lists.example", "TXT"): [key_record(rsa_key(1024))],
}

_CUT = "a signature with l= is a pass for it, whatever was appended"
DIFFERENCES = {
    "two blanks after the colon": "it reads files as a milter gets fields: one blank after the colon",
    "body without a line end": "it drops the last line of such a file",
    "NUL in the body": "it reads files as C strings",
    "a second From above": "one signed From is enough for it; we want every From signed (RFC 6376 section 8.15)",
    "d= in Unicode": "it knows nothing of international names",
    "rsa-sha1": "it is from before RFC 8301",
    "b= no base64": "it skips what is no base64",
    "key with k=ed25519 for an RSA key": "it goes by the signature's algorithm",
    "key with the bare RSA structure": "it takes X.509 alone, not RSAPublicKey (RFC 6376 section 3.6.1 allows both)",
    "an SPF record beside the key": "several records are undefined (RFC 6376 section 3.6.2.2); it takes the first",
    "l= of the whole body with text appended": _CUT,
    **{
        f"{form} l={length}{appended}": _CUT
        for form in ("simple/simple", "relaxed/relaxed")
        for length in (0, 10)
        for appended in ("", " with text appended")
    },
}

_RESULT = re.compile(r"opendkim: (\d+)\.eml: (?:verification .*?(succeeded|failed.*)|(message not signed)|(.*))$")


def opinions(folder: Path, messages: Sequence[bytes], zone: Zone) -> list[bool]:
    """Return for each message whether opendkim finds a signature that verifies."""
    for number, raw in enumerate(messages):
        (folder / f"{number}.eml").write_bytes(raw.replace(b"\r\n", b"\n"))
    with DnsServer({}) as server:
        serve(server, zone, "udp")
        (folder / "unbound.conf").write_text(
            'server:\n  do-not-query-localhost: no\n  module-config: "iterator"\n'
            f'forward-zone:\n  name: "."\n  forward-addr: {server.host}@{server.port}\n'
        )
        (folder / "opendkim.conf").write_text(
            f"Mode v\nOn-Default accept\nDNSTimeout 2\nResolverConfiguration {folder / 'unbound.conf'}\n"
        )
        found: list[bool] = []
        while len(found) < len(messages):
            found += _some(folder, range(len(found), len(messages)))
    return found


def _some(folder: Path, numbers: Sequence[int]) -> list[bool]:
    """Ask about messages up to the first whose header (status 65) or signature (70) it cannot read: it ends there."""
    names = ",".join(f"{number}.eml" for number in numbers)
    command = ["/usr/sbin/opendkim", "-x", "opendkim.conf", "-v", "-t", names]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=30)
    lines = done.stdout.decode("latin-1").splitlines()
    matches = [match for match in map(_RESULT.match, lines) if match]
    assert [int(match[1]) for match in matches] == list(numbers[: len(matches)]), done.stdout
    found = [match[2] == "succeeded" for match in matches]
    if len(found) < len(numbers):
        ending = {65: b"header malformed", 70: b"mlfi_eoh()"}[done.returncode]
        assert ending in done.stderr.splitlines()[-1], done.stderr
        found.append(False)
    return found


async def ours(raw: bytes, zone: Zone, now: float) -> bool:
    found = await verify_dkim(Message(raw), table_of(zone), FakeScanPool(), datetime.fromtimestamp(now, UTC))
    return any(result.result == "pass" for result in found)


def travelled() -> Iterable[tuple[str, bytes, bool]]:
    """Yield (name, message, whether it must verify): signed, then altered, then passed on in several ways."""
    for form in FORMS:
        for key, selector in ((rsa_key(), "sel"), (ed25519_key(), "ed")):
            signed = sign(MESSAGE, key, c=form, s=selector)
            for name, change, simple, relaxed in (("nothing", lambda raw: raw, "pass", "pass"), *ALTERATIONS):
                yield f"{selector} {form}: {name}", change(signed), _survives(change, form, simple, relaxed)
            for name, change, good in FORWARDING:
                yield f"{selector} {form}: {name}", change(signed), good


def _survives(change: Any, form: str, simple: str, relaxed: str) -> bool:
    """Tell whether a signature survives: what only the body (or only the header) shows counts in that one's form."""
    header, body = form.split("/")
    in_body = change(MESSAGE).partition(b"\r\n\r\n")[2] != MESSAGE.partition(b"\r\n\r\n")[2]
    return (simple if (body if in_body else header) == "simple" else relaxed) == "pass"


def _through_a_list(raw: bytes) -> bytes:
    return raw.replace(b"Subject:", b"Subject: [list]").rstrip(b"\r\n") + b"\r\n-- \r\nlist footer\r\n"


def _signed_by_the_list(raw: bytes) -> bytes:
    return sign(raw, rsa_key(1024), d="lists.example", s="list")


FORWARDING: tuple[tuple[str, Any, bool], ...] = (
    ("forwarded", lambda raw: b"Return-Path: <x@example.net>\r\nReceived: from a by b; now\r\n" + raw, True),
    ("forwarded and sealed", lambda raw: seal(raw, "lists.example", "dkim=pass header.d=example.org"), True),
    ("resent", lambda raw: b"Resent-From: x@example.net\r\nResent-To: y@example.net\r\n" + raw, True),
    ("through a list", _through_a_list, False),
    ("through a list that signs", lambda raw: _signed_by_the_list(_through_a_list(raw)), True),
    ("signed again on the way", _signed_by_the_list, True),
    ("without the signature", lambda raw: raw[raw.index(b"From:") :], False),
)


async def test_messages_that_travelled(tmp_path):
    cases = list(travelled())
    assert len(cases) >= 100
    theirs = opinions(tmp_path, [raw for _, raw, _ in cases], KEYS)
    for (name, raw, expected), they in zip(cases, theirs, strict=True):
        assert (await ours(raw, KEYS, NOW), they) == (expected, expected), name


async def test_our_vectors(tmp_path):
    """Its clock cannot be set, so the vectors about times are left out."""
    found = {}
    groups: dict[str, list[Any]] = {}
    for vector in dkim_vectors.load():
        if not vector.about_time:
            groups.setdefault(repr(sorted(vector.dns.items())), []).append(vector)
    for number, vectors in enumerate(groups.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        theirs = opinions(folder, [vector.message for vector in vectors], vectors[0].dns)
        found |= {vector.name: ("pass" in vector.results, they) for vector, they in zip(vectors, theirs, strict=True)}
    assert len(found) >= 140
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]}.keys() == DIFFERENCES.keys()


async def test_its_keys_and_its_signature(tmp_path):
    """A key and record by opendkim-genkey; opendkim-testmsg signs with rsa-sha1, which is no longer a signature."""
    subprocess.run(["opendkim-genkey", "-s", "made", "-d", "example.org"], cwd=tmp_path, check=True)
    strings = re.findall(rb'"([^"]*)"', (tmp_path / "made.txt").read_bytes())
    zone: Zone = {("made._domainkey.example.org", "TXT"): [strings]}
    key = serialization.load_pem_private_key((tmp_path / "made.private").read_bytes(), None)
    modern = sign(MESSAGE, key, s="made")
    command = ["opendkim-testmsg", "-C", "-d", "example.org", "-s", "made", "-k", "made.private"]
    old = subprocess.run(command, cwd=tmp_path, input=MESSAGE, capture_output=True, check=True).stdout
    assert b"a=rsa-sha1" in old
    assert opinions(tmp_path, [modern, old], zone) == [True, False]  # its record says h=sha256
    assert [await ours(raw, zone, time.time()) for raw in (modern, old)] == [True, False]
