"""Our vectors for DKIM algorithms, keys and their records (RFC 6376 section 3.6, RFC 8301, RFC 8463)."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from tests.conformance.dkim_case import NAME, Case
from tests.conformance.zones import SERVFAIL
from tests.signing import ed25519_key, key_record, rsa_key


def algorithms() -> Iterator[Case]:
    yield Case(
        "rsa-sha1", "permerror", {"hash_name": "sha1"}, theirs="policy", why="RFC 8601 calls a weak algorithm policy"
    )
    yield Case(
        "rsa-sha1 that does not verify",
        "permerror",
        {"hash_name": "sha1"},
        altered=lambda raw: raw + b"x\r\n",
        theirs="fail",
        why="it compares the body first",
    )
    for bits in (512, 768, 1023):
        yield Case(
            f"RSA of {bits} bits",
            "permerror",
            records=[odd_rsa_record(bits)],
            theirs="policy",
            why="RFC 8601 calls a weak key policy",
        )
    for bits in (1024, 3072):
        yield Case(f"RSA of {bits} bits", "pass", key=rsa_key(bits))
    yield Case(
        "RSA of 10240 bits", "permerror", records=[odd_rsa_record(10_240)], theirs="fail", why="it has no upper limit"
    )
    yield Case("an RSA key for an Ed25519 signature", "permerror", key=ed25519_key(), records=[key_record(rsa_key())])
    yield Case("an Ed25519 key for an RSA signature", "permerror", records=[key_record(ed25519_key())])
    yield Case("an unknown algorithm", "permerror", replaced=(b"a=rsa-sha256", b"a=rsa-md5"))
    yield Case("Ed25519 with SHA-1", "permerror", key=ed25519_key(), replaced=(b"-sha256", b"-sha1"))
    yield Case("another algorithm than signed", "permerror", key=ed25519_key(), replaced=(b"a=ed25519", b"a=rsa"))


def odd_rsa_record(bits: int) -> bytes:
    """Return a key record with an RSA modulus of a size that no library would generate."""
    modulus = b"\x00" + (2**bits - 1).to_bytes((bits + 7) // 8, "big").removeprefix(b"\x00")
    if bits % 8:
        modulus = modulus[1:]
    return b"v=DKIM1; p=" + base64.b64encode(_der(0x30, _der(2, modulus) + _der(2, b"\x01\x00\x01")))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = bytes([tag, size]) if size < 128 else bytes([tag, 0x81, size]) if size < 256 else None
    return (head or bytes([tag, 0x82]) + size.to_bytes(2, "big")) + content


def keys() -> Iterator[Case]:
    for name, record, result in [
        ("t=s", {"t": "s"}, "pass"),
        ("t=y:s", {"t": "y:s"}, "pass"),
        ("h=sha256", {"h": "sha256"}, "pass"),
        ("h=sha1:sha256", {"h": "sha1:sha256"}, "pass"),
        ("h=sha1", {"h": "sha1"}, "permerror"),
        ("s=email", {"s": "email"}, "pass"),
        ("s=*", {"s": "*"}, "pass"),
        ("s=tlsrpt", {"s": "tlsrpt"}, "permerror"),
        ("s=tlsrpt:email", {"s": "tlsrpt:email"}, "pass"),
        ("notes and unknown tags", {"n": "a note", "zz": "unknown", "g": "nobody"}, "pass"),
        ("p= empty: revoked", {"p": ""}, "permerror"),
        ("p= AAAA", {"p": "AAAA"}, "permerror"),
        ("v=DKIM2", {"v": "DKIM2"}, "permerror"),
        ("k=dsa", {"k": "dsa"}, "permerror"),
        ("k=ed25519 for an RSA key", {"k": "ed25519"}, "permerror"),
    ]:
        yield Case(f"key with {name}", result, record=record)
    yield Case("key with p= no base64", "permerror", record={"p": "%%%"})
    yield Case("strict key and a subdomain in i=", "permerror", {"i": "@sub.example.org"}, record={"t": "s"})
    yield Case("strict key and its own domain in i=", "pass", {"i": "a@example.org"}, record={"t": "s"})
    yield Case(
        "testing key, changed message",
        "neutral",
        record={"t": "y"},
        altered=lambda raw: raw + b"x\r\n",
        theirs="fail",
        why="a failure under a testing key is to be treated as no signature (RFC 6376 section 3.6.1)",
    )
    yield Case("key without v= and k=", "pass", records=[b"p=" + key_record(rsa_key()).partition(b"p=")[2]])
    yield Case("key with the bare RSA structure", "pass", records=[pkcs1_record()])


def pkcs1_record() -> bytes:
    """Return the record of the RSA key as RFC 6376 section 3.6.1 also allows it: RSAPublicKey instead of X.509."""
    numbers = rsa_key().public_key().public_numbers()
    integers = [value.to_bytes(value.bit_length() // 8 + 1, "big") for value in (numbers.n, numbers.e)]
    return b"v=DKIM1; p=" + base64.b64encode(_der(0x30, b"".join(_der(2, value) for value in integers)))


def answers() -> Iterator[Case]:
    good = key_record(rsa_key())
    yield Case("SERVFAIL", "temperror", records=SERVFAIL)
    yield Case("no such name", "permerror", records=[], dns={("_domainkey.example.org", "TXT"): []})
    yield Case("junk", "permerror", records=[b"junk"])
    yield Case("an SPF record", "permerror", records=[b"v=spf1 -all"])
    yield Case("binary junk", "permerror", records=[b"\xff\x00;;=;"])
    yield Case(
        "an SPF record beside the key",
        "pass",
        records=[b"v=spf1 -all", good],
        theirs="neutral",
        why="several records are undefined (RFC 6376 section 3.6.2.2); it takes one, we the one that is a key",
    )
    yield Case("a key of 20,000 octets", "permerror", records=[b"p=" + b"A" * 20_000])
    yield Case("key in many strings", "pass", records=[[good[at : at + 40] for at in range(0, len(good), 40)]])
    yield Case("key with blanks inside p=", "pass", records=[good.replace(b"p=", b"p= ")[:-20] + b" \t" + good[-20:]])
    yield Case(
        "key behind an alias",
        "pass",
        records=[],
        dns={(NAME, "CNAME"): ["key.mailer.example"], ("key.mailer.example", "TXT"): [good]},
    )
    yield Case(
        "key behind an alias that leads nowhere",
        "permerror",
        records=[],
        dns={(NAME, "CNAME"): ["gone.mailer.example"]},
    )
