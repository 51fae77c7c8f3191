"""Our ARC seals, verified by dkimpy and mailauth, which know nothing of how they were made."""

from __future__ import annotations

from datetime import UTC, datetime

import dkim
import pytest

from filterproxy.message import Message
from filterproxy.pipeline.edits import HeaderEdits
from filterproxy.services.signatures import Sealer, verify_arc
from filterproxy.testing import FakeScanPool
from tests.conformance.mailauth import Question, ask
from tests.conformance.zones import Zone, table_of
from tests.signing import MESSAGE, key_record, rsa_key, seal, sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESULTS = "mx.filter.example;\n\tspf=pass smtp.mailfrom=alice@example.org;\n\tdkim=pass header.d=example.org"
ZONE: Zone = {
    ("f._domainkey.filter.example", "TXT"): [key_record(rsa_key())],
    ("sel._domainkey.lists.example", "TXT"): [key_record(rsa_key())],
    ("sel._domainkey.example.org", "TXT"): [key_record(rsa_key())],
}
OURS = Sealer("filter.example", "f", rsa_key())

MESSAGES = {
    "plain": MESSAGE,
    "signed": sign(MESSAGE, rsa_key()),
    "no body": MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
    "blanks and empty lines": MESSAGE + b" \t \r\n\r\n  x  \r\n\r\n\r\n",
    "bare line feeds": MESSAGE.replace(b"\r\n", b"\n"),
    "eight-bit header and body": MESSAGE.replace(b"Alice", "Älice".encode()) + "ü\r\n".encode(),
    "repeated fields": b"Reply-To: a@example.org\r\nTo: x@example.net\r\n" + MESSAGE,
    "few fields": b"From: a@example.org\r\n\r\nx\r\n",
    "large": MESSAGE + b"0123456789abcdef \r\n" * 40_000,
}


def sealed(raw: bytes, validity: str = "none") -> bytes:
    return HeaderEdits(insert=OURS.seal(raw, RESULTS, validity, NOW)).apply(raw)


def dkimpy(raw: bytes) -> str:
    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        found = ZONE.get((name.decode().rstrip("."), "TXT"))
        return found[0] if found else None

    return dkim.arc_verify(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), dnsfunc=lookup)[0].decode()


async def opinions(raws: list[bytes]) -> list[tuple[str, str, str]]:
    """Return for each message what we, dkimpy and mailauth say of its chain."""
    theirs = ask([Question("arc", raw, ZONE) for raw in raws])
    ours = [(await verify_arc(Message(raw), table_of(ZONE), FakeScanPool())).result for raw in raws]
    return [(own, dkimpy(raw), word) for own, raw, ((word, _),) in zip(ours, raws, theirs, strict=True)]


async def test_a_first_seal_verifies():
    raws = [sealed(raw) for raw in MESSAGES.values()]
    assert all(raw.count(b"cv=none") == 1 for raw in raws)
    assert dict(zip(MESSAGES, await opinions(raws), strict=True)) == dict.fromkeys(MESSAGES, ("pass",) * 3)


async def test_a_seal_over_others_verifies_and_they_over_it():
    once = seal(MESSAGE, "lists.example", "dkim=pass header.d=example.org")
    twice = sealed(once, "pass")
    thrice = seal(twice, "lists.example", "arc=pass")
    assert b"i=2; a=rsa-sha256" in twice and b"cv=pass" in twice
    assert await opinions([once, twice, thrice, sealed(thrice, "pass")]) == [("pass",) * 3] * 4


async def test_what_is_changed_after_the_seal_shows():
    raw = sealed(MESSAGE)
    changed = [
        raw.replace(b"alice@", b"mallory@"),
        raw.replace(b"Subject:", b"Subject: [list]"),
        raw + b"footer\r\n",
        b"From: mallory@example.com\r\n" + raw,
        raw.replace(b"spf=pass", b"spf=fail"),
        raw.replace(b"cv=none", b"cv=pass"),
    ]
    assert await opinions(changed) == [("fail",) * 3] * len(changed)
    assert await opinions([b"Received: from a by b\r\nX-Spam-Status: No\r\n" + raw]) == [("pass",) * 3]


@pytest.mark.parametrize("validity", ["fail", "temperror", "permerror", ""])
def test_only_a_chain_that_holds_is_sealed(validity):
    assert OURS.seal(seal(MESSAGE, "lists.example"), RESULTS, validity, NOW) == ()
    assert OURS.seal(MESSAGE, RESULTS, validity, NOW) == ()


def test_a_full_or_broken_chain_is_left_alone():
    full = b"".join(
        b"ARC-Seal: i=%d; x=1\r\nARC-Message-Signature: i=%d; x=1\r\nARC-Authentication-Results: i=%d; x\r\n"
        % (n, n, n)
        for n in range(50, 0, -1)
    )
    assert OURS.seal(full + MESSAGE, RESULTS, "pass", NOW) == ()
    assert (
        OURS.seal(b"ARC-Seal: i=1; x=1\r\nARC-Seal: i=2; x=1\r\nARC-Seal: i=3; x\r\n" + MESSAGE, RESULTS, "pass", NOW)
        == ()
    )


def test_no_field_is_longer_than_a_line_may_be():
    for _, value in OURS.seal(sign(MESSAGE, rsa_key()), RESULTS, "none", NOW):
        assert max(map(len, value.split("\n"))) < 120
