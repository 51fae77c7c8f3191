"""Our vectors for DKIM (RFC 6376, 8301, 8463): signed with fresh keys, then altered, restricted, broken or misused.

Each says what must come of it, and what mailauth (strict mode) says when that is not the word that corresponds to ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.conformance.zones import SERVFAIL
from tests.signing import MESSAGE as TWO_BLANKS
from tests.signing import ed25519_key, key_record, rsa_key, sign

NOW = 1_767_225_600  # the start of 2026
NAME = "sel._domainkey.example.org"
MESSAGE = TWO_BLANKS.replace(b"Subject:  a", b"Subject: a")

# RFC 8601 has `neutral` for what cannot be processed; a permerror says the same and that no retry will help.
CORRESPONDING = {"permerror": "neutral"}


@dataclass(frozen=True)
class DkimVector:
    """One message with its DNS. `results` are our words for its signatures, topmost first; `theirs` mailauth's."""

    name: str
    message: bytes
    results: tuple[str, ...]
    dns: dict[tuple[str, str], Sequence[Any] | str]
    theirs: tuple[str, ...] = ()
    why: str = ""
    about_time: bool = False

    def __post_init__(self) -> None:
        assert bool(self.theirs) == bool(self.why), "a disagreement needs a reason, and a reason a disagreement"

    @property
    def expected_of_mailauth(self) -> tuple[str, ...]:
        """Return its words, topmost signature first."""
        return self.theirs or tuple(CORRESPONDING.get(word, word) for word in self.results)


@dataclass
class _Case:
    """How a vector is made; tags of None are left out of the signature."""

    name: str
    result: str | tuple[str, ...]
    tags: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    records: Sequence[Any] | str | None = None  # instead of the key's own record
    record: dict[str, str] = field(default_factory=dict)  # tags of the key's record
    message: bytes = MESSAGE
    altered: Any = None  # a function of the signed message
    replaced: tuple[bytes, bytes] = (b"", b"")  # text in the signed message
    dns: dict[tuple[str, str], Any] = field(default_factory=dict)
    theirs: str | tuple[str, ...] = ()
    why: str = ""

    def vector(self) -> DkimVector:
        key = self.key or rsa_key()
        raw = sign(self.message, key, **self.tags)
        if self.replaced[0]:
            assert self.replaced[0] in raw
            raw = raw.replace(*self.replaced, 1)
        raw = self.altered(raw) if self.altered else raw
        records = [key_record(key, **self.record)] if self.records is None else self.records
        return DkimVector(
            self.name,
            raw,
            _words(self.result),
            {(NAME, "TXT"): records} | self.dns,
            _words(self.theirs),
            self.why,
            about_time=bool({"t", "x"} & self.tags.keys()),
        )


def _words(result: str | tuple[str, ...]) -> tuple[str, ...]:
    return (result,) if isinstance(result, str) else result


@cache
def load() -> tuple[DkimVector, ...]:
    """Return all vectors, with keys made for this run."""
    groups = (_forms, _alterations, _oversigning, _algorithms, _times, _lengths, _tags, _keys, _answers, _several, _odd)
    return tuple(case.vector() for group in groups for case in group())


def _forms() -> Iterator[_Case]:
    for form in ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "relaxed", "simple"):
        for kind, key in (("rsa", rsa_key()), ("ed25519", ed25519_key())):
            yield _Case(f"{kind} {form}", "pass", {"c": form}, key)
    yield _Case("no c= is simple/simple", "pass", {"c": None, "form": "simple/simple"})
    yield _Case("no c= is not relaxed", "fail", {"c": None, "form": "relaxed/relaxed"})
    yield _Case("two blanks after the colon", "pass", {"c": "simple/simple"}, message=TWO_BLANKS)
    yield _Case("folded signature", "pass", {"c": "simple/simple", "separator": ";\r\n\t"})
    yield _Case("blanks around the equals signs", "pass", {"c": "relaxed/relaxed", "s": " sel", "d": " example.org "})
    yield _Case("no body", "pass", message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    yield _Case(
        "no body, simple", "pass", {"c": "simple/simple"}, message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    )
    yield _Case("only empty lines", "pass", message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n" * 6)
    yield _Case("body without a line end", "pass", message=MESSAGE.rstrip(b"\r\n"))
    yield _Case("a long run of blanks", "pass", message=MESSAGE + b" " * 3_000 + b"x \t \r\n")
    yield _Case("eight-bit header and body", "pass", message=MESSAGE.replace(b"Hello", "Grüße".encode()))


# What happens to mail on its way, and what a signature in simple and in relaxed form says then.
ALTERATIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("blank lines at the end", lambda raw: raw + b"\r\n\r\n", "pass", "pass"),
    ("blanks at line ends", lambda raw: raw.replace(b"you?\r\n", b"you? \t\r\n"), "fail", "pass"),
    ("blanks doubled in the body", lambda raw: raw.replace(b"how are", b"how \t are"), "fail", "pass"),
    ("a blank more in the body", lambda raw: raw.replace(b"how are", b"how a re"), "fail", "fail"),
    ("a word in the body", lambda raw: raw.replace(b"how are", b"how were"), "fail", "fail"),
    ("a line below", lambda raw: raw + b"-- \r\nlist footer\r\n", "fail", "fail"),
    ("Subject folded", lambda raw: raw.replace(b"folded\r\n\tsub", b"folded sub"), "fail", "pass"),
    ("a field name in capitals", lambda raw: raw.replace(b"Subject:", b"SUBJECT:"), "fail", "pass"),
    ("a tag in Subject", lambda raw: raw.replace(b"Subject:", b"Subject: [list]"), "fail", "fail"),
    ("another From", lambda raw: raw.replace(b"alice@", b"mallory@"), "fail", "fail"),
    ("Date gone", lambda raw: raw.replace(b"Date:", b"X-Date:"), "fail", "fail"),
    ("an unsigned field more", lambda raw: b"Received: by x.example\r\n" + raw, "pass", "pass"),
    ("an unsigned field changed", lambda raw: raw.replace(b"<1@", b"<2@"), "pass", "pass"),
    (
        "fields in another order",
        lambda raw: b"To: bob@example.net\r\n" + raw.replace(b"To: bob@example.net\r\n", b""),
        "pass",
        "pass",
    ),
)


def _alterations() -> Iterator[_Case]:
    for name, change, simple, relaxed in ALTERATIONS:
        yield _Case(f"simple: {name}", simple, {"c": "simple/simple"}, altered=change)
        yield _Case(f"relaxed: {name}", relaxed, {"c": "relaxed/relaxed"}, altered=change)
    yield _Case("the signature itself changed", "fail", replaced=(b"s=sel;", b"s=sel; n=1;"))


def _oversigning() -> Iterator[_Case]:
    once, twice = "from:to:subject:date", "from:from:to:to:subject:subject:date"
    second = b"From: mallory@example.com\r\n"
    why = "the signature covers one From (RFC 6376 section 8.15): we want the other one covered too, or no pass"
    yield _Case(
        "a second From above", "fail", {"signed": once}, altered=lambda raw: second + raw, theirs="pass", why=why
    )
    yield _Case("a second From above, oversigned", "fail", {"signed": twice}, altered=lambda raw: second + raw)
    yield _Case("a second Subject above", "pass", {"signed": once}, altered=lambda raw: b"Subject: x\r\n" + raw)
    yield _Case(
        "a second Subject above, oversigned", "fail", {"signed": twice}, altered=lambda raw: b"Subject: x\r\n" + raw
    )
    yield _Case("nothing added to an oversigned message", "pass", {"signed": twice})
    yield _Case("names of fields that are not there", "pass", {"signed": once + ":cc:reply-to:x-none"})
    yield _Case(
        "one of them added", "fail", {"signed": once + ":cc"}, altered=lambda raw: b"Cc: eve@example.com\r\n" + raw
    )
    yield _Case("blanks and capitals in h=", "pass", {"signed": "From : To :Subject: DATE"})
    yield _Case(
        "a repeated field",
        "pass",
        {"signed": once + ":received:received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
    )
    yield _Case(
        "repeated fields exchanged",
        "fail",
        {"signed": once + ":received:received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
        replaced=(b"Received: 2\r\nReceived: 1", b"Received: 1\r\nReceived: 2"),
    )
    yield _Case(
        "one of two repeated fields covers the lower",
        "pass",
        {"signed": once + ":received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
        replaced=(b"Received: 2", b"Received: 3"),
    )


def _algorithms() -> Iterator[_Case]:
    yield _Case(
        "rsa-sha1", "permerror", {"hash_name": "sha1"}, theirs="policy", why="RFC 8601 calls a weak algorithm policy"
    )
    yield _Case(
        "rsa-sha1 that does not verify",
        "permerror",
        {"hash_name": "sha1"},
        altered=lambda raw: raw + b"x\r\n",
        theirs="fail",
        why="it compares the body first",
    )
    for bits in (512, 768, 1023):
        yield _Case(
            f"RSA of {bits} bits",
            "permerror",
            records=[odd_rsa_record(bits)],
            theirs="policy",
            why="RFC 8601 calls a weak key policy",
        )
    for bits in (1024, 3072):
        yield _Case(f"RSA of {bits} bits", "pass", key=rsa_key(bits))
    yield _Case(
        "RSA of 10240 bits", "permerror", records=[odd_rsa_record(10_240)], theirs="fail", why="it has no upper limit"
    )
    yield _Case("an RSA key for an Ed25519 signature", "permerror", key=ed25519_key(), records=[key_record(rsa_key())])
    yield _Case("an Ed25519 key for an RSA signature", "permerror", records=[key_record(ed25519_key())])
    yield _Case("an unknown algorithm", "permerror", replaced=(b"a=rsa-sha256", b"a=rsa-md5"))
    yield _Case("Ed25519 with SHA-1", "permerror", key=ed25519_key(), replaced=(b"-sha256", b"-sha1"))
    yield _Case("another algorithm than signed", "permerror", key=ed25519_key(), replaced=(b"a=ed25519", b"a=rsa"))


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


def _times() -> Iterator[_Case]:
    yield _Case("not yet expired", "pass", {"t": str(NOW - 60), "x": str(NOW + 60)})
    yield _Case(
        "expired",
        "fail",
        {"t": str(NOW - 7200), "x": str(NOW - 3600)},
        theirs="neutral",
        why="PERMFAIL (RFC 6376 section 6.1.1) has no word of its own",
    )
    yield _Case("expired, without t=", "fail", {"x": str(NOW - 3600)}, theirs="neutral", why="as above")
    yield _Case(
        "expired a moment ago",
        "pass",
        {"x": str(NOW - 30)},
        theirs="neutral",
        why="we allow for clocks that are off by five minutes",
    )
    yield _Case(
        "from the future",
        "fail",
        {"t": str(NOW + 86_400)},
        theirs="pass",
        why="a verifier may ignore it (RFC 6376 section 3.5)",
    )
    yield _Case("expires before it was made", "permerror", {"t": str(NOW - 60), "x": str(NOW - 120)})
    yield _Case("no time in x=", "permerror", {"x": "soon"})
    yield _Case("x= of 400 digits", "permerror", {"x": "9" * 400})
    yield _Case("x= that never comes", "pass", {"x": "9" * 12})


def _lengths() -> Iterator[_Case]:
    body = MESSAGE.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") + b"\r\n"
    cut = "a pass with a remark for it"
    for form in ("simple/simple", "relaxed/relaxed"):
        for length in ("0", "10"):
            yield _Case(f"{form} l={length}", "policy", {"c": form, "l": length}, theirs="pass", why=cut)
            yield _Case(
                f"{form} l={length} with text appended",
                "policy",
                {"c": form, "l": length},
                altered=lambda raw: raw + b"<h1>appended</h1>\r\n",
                theirs="pass",
                why=cut,
            )
    yield _Case("l= of the whole body", "pass", {"c": "simple/simple", "l": str(len(body))})
    yield _Case(
        "l= of the whole body with text appended",
        "policy",
        {"c": "simple/simple", "l": str(len(body))},
        altered=lambda raw: raw.rstrip(b"\r\n") + b"\r\n<h1>appended</h1>\r\n",
        theirs="pass",
        why=cut,
    )
    yield _Case(
        "l= of more than the body",
        "permerror",
        {"c": "simple/simple", "l": str(len(body) + 1)},
        theirs="pass",
        why="nothing was cut off for it; RFC 6376 section 3.5 forbids it",
    )
    yield _Case(
        "l= with a change in front of it", "fail", {"c": "simple/simple", "l": "10"}, replaced=(b"Hello", b"Jello")
    )
    yield _Case("l= negative", "permerror", replaced=(b"; bh=", b"; l=-1; bh="))
    yield _Case("l= of 400 digits", "permerror", replaced=(b"; bh=", b"; l=" + b"9" * 400 + b"; bh="))


def _tags() -> Iterator[_Case]:
    for name, tags in {
        "v=2": {"v": "2"},
        "no v=": {"v": None},
        "no d=": {"d": None},
        "no s=": {"s": None},
        "no bh=": {"bh": None},
        "no h=": {"h": None},
        "no a=": {"a": None},
        "q= unknown": {"q": "http"},
        "i= of another domain": {"i": "a@example.com"},
        "i= of a domain with the same end": {"i": "a@notexample.org"},
        "i= without an at sign": {"i": "example.org"},
        "From not signed": {"signed": "to:subject"},
        "h= empty": {"h": ""},
        "s= with a slash": {"s": "a/b"},
        "d= with a quote": {"d": "example.org'.evil.example"},
        "d= with an at sign": {"d": "bank.example@example.org"},
        "d= of one label": {"d": "org"},
    }.items():
        yield _Case(name, "permerror", tags)
    yield _Case("q= with a known method", "pass", {"q": "x/y:dns/txt"})
    yield _Case("i= of a subdomain", "pass", {"i": "a@sub.example.org"})
    yield _Case("i= with a quoted-printable local part", "pass", {"i": "a=2Bb@example.org"})
    yield _Case("i= in capitals", "pass", {"i": "a@EXAMPLE.ORG"})
    yield _Case("d= in capitals", "pass", {"d": "EXAMPLE.org"})
    yield _Case("unknown tags", "pass", {"zz": "1", "y": ""})
    yield _Case("z= is passed over", "pass", {"z": "From:alice@example.org|To:bob"})
    yield _Case("a tag twice", "permerror", replaced=(b"; bh=", b"; d=example.org; bh="))
    yield _Case("tags in capitals are others", "permerror", replaced=(b" d=example.org", b" D=example.org"))
    yield _Case("junk between semicolons", "permerror", replaced=(b"; bh=", b"; junk; bh="))
    yield _Case("bh= no base64", "permerror", {"bh": "%%%"}, theirs="fail", why="it compares the text")
    yield _Case("bh= of something else", "fail", {"bh": "AAAA"})
    yield _Case(
        "b= no base64",
        "permerror",
        altered=lambda raw: raw.replace(b"; b=", b"; b=%%%", 1),
        theirs="pass",
        why="Node skips what is no base64",
    )
    yield _Case("unknown canonicalisation", "permerror", replaced=(b"c=relaxed/relaxed", b"c=strict/relaxed"))
    yield _Case(
        "three canonicalisations",
        "permerror",
        replaced=(b"c=relaxed/relaxed", b"c=relaxed/relaxed/x"),
        theirs="fail",
        why="it reads the first two",
    )


def _keys() -> Iterator[_Case]:
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
        yield _Case(f"key with {name}", result, record=record)
    yield _Case("key with p= no base64", "permerror", record={"p": "%%%"})
    yield _Case("strict key and a subdomain in i=", "permerror", {"i": "@sub.example.org"}, record={"t": "s"})
    yield _Case("strict key and its own domain in i=", "pass", {"i": "a@example.org"}, record={"t": "s"})
    yield _Case(
        "testing key, changed message",
        "neutral",
        record={"t": "y"},
        altered=lambda raw: raw + b"x\r\n",
        theirs="fail",
        why="a failure under a testing key is to be treated as no signature (RFC 6376 section 3.6.1)",
    )
    yield _Case("key without v= and k=", "pass", records=[b"p=" + key_record(rsa_key()).partition(b"p=")[2]])
    yield _Case("key with the bare RSA structure", "pass", records=[pkcs1_record()])


def pkcs1_record() -> bytes:
    """Return the record of the RSA key as RFC 6376 section 3.6.1 also allows it: RSAPublicKey instead of X.509."""
    numbers = rsa_key().public_key().public_numbers()
    integers = [value.to_bytes(value.bit_length() // 8 + 1, "big") for value in (numbers.n, numbers.e)]
    return b"v=DKIM1; p=" + base64.b64encode(_der(0x30, b"".join(_der(2, value) for value in integers)))


def _answers() -> Iterator[_Case]:
    good = key_record(rsa_key())
    yield _Case("SERVFAIL", "temperror", records=SERVFAIL)
    yield _Case("no such name", "permerror", records=[], dns={("_domainkey.example.org", "TXT"): []})
    yield _Case("junk", "permerror", records=[b"junk"])
    yield _Case("an SPF record", "permerror", records=[b"v=spf1 -all"])
    yield _Case("binary junk", "permerror", records=[b"\xff\x00;;=;"])
    yield _Case(
        "an SPF record beside the key",
        "pass",
        records=[b"v=spf1 -all", good],
        theirs="neutral",
        why="several records are undefined (RFC 6376 section 3.6.2.2); it takes one, we the one that is a key",
    )
    yield _Case("a key of 20,000 octets", "permerror", records=[b"p=" + b"A" * 20_000])
    yield _Case("key in many strings", "pass", records=[[good[at : at + 40] for at in range(0, len(good), 40)]])
    yield _Case("key with blanks inside p=", "pass", records=[good.replace(b"p=", b"p= ")[:-20] + b" \t" + good[-20:]])
    yield _Case(
        "key behind an alias",
        "pass",
        records=[],
        dns={(NAME, "CNAME"): ["key.mailer.example"], ("key.mailer.example", "TXT"): [good]},
    )
    yield _Case(
        "key behind an alias that leads nowhere",
        "permerror",
        records=[],
        dns={(NAME, "CNAME"): ["gone.mailer.example"]},
    )


def _several() -> Iterator[_Case]:
    other = {("second._domainkey.example.net", "TXT"): [key_record(ed25519_key())]}
    both = sign(MESSAGE, ed25519_key(), d="example.net", s="second")
    yield _Case("two signatures", ("pass", "pass"), message=both, dns=other)
    yield _Case("the upper one broken", ("fail", "pass"), message=both, dns=other, replaced=(b"s=sel;", b"s=sel; n=1;"))
    yield _Case(
        "the lower one broken",
        ("pass", "fail"),
        message=both.replace(b"d=example.net", b"d=example.net; n=1"),
        dns=other,
    )
    yield _Case(
        "the lower one without an answer",
        ("pass", "temperror"),
        message=both,
        dns={("second._domainkey.example.net", "TXT"): SERVFAIL},
    )
    yield _Case(
        "the upper one covers the lower one",
        ("pass", "pass"),
        {"signed": "from:dkim-signature"},
        message=both,
        dns=other,
    )
    yield _Case(
        "the lower one removed",
        ("fail",),
        {"signed": "from:dkim-signature"},
        message=both,
        dns=other,
        altered=lambda raw: raw.replace(both[: both.index(b"From:")], b""),
    )
    yield _Case("both by one key", ("pass", "pass"), message=sign(MESSAGE, rsa_key(), c="simple/simple"))


def _odd() -> Iterator[_Case]:
    yield _Case("a bare CR in the body", "pass", {"c": "simple/simple"}, message=MESSAGE + b"a\rb\r\n")
    yield _Case(
        "a line of blanks instead of an empty one",
        "permerror",
        altered=lambda raw: raw.replace(b"\r\n\r\n", b"\r\n \r\n", 1),
        theirs="fail",
        why="the body begins later for it",
    )
    yield _Case("NUL in the body", "pass", message=MESSAGE + b"a\0b\r\n")
    yield _Case("a very long line", "pass", message=MESSAGE + b"x" * 100_000 + b"\r\n")
    yield _Case("a thousand fields", "pass", message=b"X-Field: 1\r\n" * 1000 + MESSAGE)
