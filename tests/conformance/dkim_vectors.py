"""Our vectors for DKIM (RFC 6376, 8301, 8463): signed with fresh keys, then altered, restricted, broken or misused.

Each says what must come of it, and what mailauth (strict mode) says when that is not the word that corresponds to ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.conformance.dkim_case import MESSAGE, NOW, TWO_BLANKS, Case, DkimVector
from tests.conformance.dkim_key_vectors import algorithms, answers, keys
from tests.conformance.zones import SERVFAIL
from tests.signing import ed25519_key, key_record, rsa_key, sign


@cache
def load() -> tuple[DkimVector, ...]:
    """Return all vectors, with keys made for this run."""
    groups = (_forms, _alterations, _oversigning, algorithms, _times, _lengths, _tags, keys, answers, _several, _odd)
    return tuple(case.vector() for group in groups for case in group())


def _forms() -> Iterator[Case]:
    for form in ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "relaxed", "simple"):
        for kind, key in (("rsa", rsa_key()), ("ed25519", ed25519_key())):
            yield Case(f"{kind} {form}", "pass", {"c": form}, key)
    yield Case("no c= is simple/simple", "pass", {"c": None, "form": "simple/simple"})
    yield Case("no c= is not relaxed", "fail", {"c": None, "form": "relaxed/relaxed"})
    yield Case("two blanks after the colon", "pass", {"c": "simple/simple"}, message=TWO_BLANKS)
    yield Case("folded signature", "pass", {"c": "simple/simple", "separator": ";\r\n\t"})
    yield Case("blanks around the equals signs", "pass", {"c": "relaxed/relaxed", "s": " sel", "d": " example.org "})
    yield Case("no body", "pass", message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    yield Case(
        "no body, simple", "pass", {"c": "simple/simple"}, message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    )
    yield Case("only empty lines", "pass", message=MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n" * 6)
    yield Case("body without a line end", "pass", message=MESSAGE.rstrip(b"\r\n"))
    yield Case("a long run of blanks", "pass", message=MESSAGE + b" " * 3_000 + b"x \t \r\n")
    yield Case("eight-bit header and body", "pass", message=MESSAGE.replace(b"Hello", "Grüße".encode()))


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


def _alterations() -> Iterator[Case]:
    for name, change, simple, relaxed in ALTERATIONS:
        yield Case(f"simple: {name}", simple, {"c": "simple/simple"}, altered=change)
        yield Case(f"relaxed: {name}", relaxed, {"c": "relaxed/relaxed"}, altered=change)
    yield Case("the signature itself changed", "fail", replaced=(b"s=sel;", b"s=sel; n=1;"))


def _oversigning() -> Iterator[Case]:
    once, twice = "from:to:subject:date", "from:from:to:to:subject:subject:date"
    second = b"From: mallory@example.com\r\n"
    why = "the signature covers one From (RFC 6376 section 8.15): we want the other one covered too, or no pass"
    yield Case(
        "a second From above", "fail", {"signed": once}, altered=lambda raw: second + raw, theirs="pass", why=why
    )
    yield Case("a second From above, oversigned", "fail", {"signed": twice}, altered=lambda raw: second + raw)
    yield Case("a second Subject above", "pass", {"signed": once}, altered=lambda raw: b"Subject: x\r\n" + raw)
    yield Case(
        "a second Subject above, oversigned", "fail", {"signed": twice}, altered=lambda raw: b"Subject: x\r\n" + raw
    )
    yield Case("nothing added to an oversigned message", "pass", {"signed": twice})
    yield Case("names of fields that are not there", "pass", {"signed": once + ":cc:reply-to:x-none"})
    yield Case(
        "one of them added", "fail", {"signed": once + ":cc"}, altered=lambda raw: b"Cc: eve@example.com\r\n" + raw
    )
    yield Case("blanks and capitals in h=", "pass", {"signed": "From : To :Subject: DATE"})
    yield Case(
        "a repeated field",
        "pass",
        {"signed": once + ":received:received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
    )
    yield Case(
        "repeated fields exchanged",
        "fail",
        {"signed": once + ":received:received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
        replaced=(b"Received: 2\r\nReceived: 1", b"Received: 1\r\nReceived: 2"),
    )
    yield Case(
        "one of two repeated fields covers the lower",
        "pass",
        {"signed": once + ":received"},
        message=b"Received: 2\r\nReceived: 1\r\n" + MESSAGE,
        replaced=(b"Received: 2", b"Received: 3"),
    )


def _times() -> Iterator[Case]:
    yield Case("not yet expired", "pass", {"t": str(NOW - 60), "x": str(NOW + 60)})
    yield Case(
        "expired",
        "fail",
        {"t": str(NOW - 7200), "x": str(NOW - 3600)},
        theirs="neutral",
        why="PERMFAIL (RFC 6376 section 6.1.1) has no word of its own",
    )
    yield Case("expired, without t=", "fail", {"x": str(NOW - 3600)}, theirs="neutral", why="as above")
    yield Case(
        "expired a moment ago",
        "pass",
        {"x": str(NOW - 30)},
        theirs="neutral",
        why="we allow for clocks that are off by five minutes",
    )
    yield Case(
        "from the future",
        "fail",
        {"t": str(NOW + 86_400)},
        theirs="pass",
        why="a verifier may ignore it (RFC 6376 section 3.5)",
    )
    yield Case("expires before it was made", "permerror", {"t": str(NOW - 60), "x": str(NOW - 120)})
    yield Case("no time in x=", "permerror", {"x": "soon"})
    yield Case("x= of 400 digits", "permerror", {"x": "9" * 400})
    yield Case("x= that never comes", "pass", {"x": "9" * 12})


def _lengths() -> Iterator[Case]:
    body = MESSAGE.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") + b"\r\n"
    cut = "a pass with a remark for it"
    for form in ("simple/simple", "relaxed/relaxed"):
        for length in ("0", "10"):
            yield Case(f"{form} l={length}", "policy", {"c": form, "l": length}, theirs="pass", why=cut)
            yield Case(
                f"{form} l={length} with text appended",
                "policy",
                {"c": form, "l": length},
                altered=lambda raw: raw + b"<h1>appended</h1>\r\n",
                theirs="pass",
                why=cut,
            )
    yield Case("l= of the whole body", "pass", {"c": "simple/simple", "l": str(len(body))})
    yield Case(
        "l= of the whole body with text appended",
        "policy",
        {"c": "simple/simple", "l": str(len(body))},
        altered=lambda raw: raw.rstrip(b"\r\n") + b"\r\n<h1>appended</h1>\r\n",
        theirs="pass",
        why=cut,
    )
    yield Case(
        "l= of more than the body",
        "permerror",
        {"c": "simple/simple", "l": str(len(body) + 1)},
        theirs="pass",
        why="nothing was cut off for it; RFC 6376 section 3.5 forbids it",
    )
    yield Case(
        "l= with a change in front of it", "fail", {"c": "simple/simple", "l": "10"}, replaced=(b"Hello", b"Jello")
    )
    yield Case("l= negative", "permerror", replaced=(b"; bh=", b"; l=-1; bh="))
    yield Case("l= of 400 digits", "permerror", replaced=(b"; bh=", b"; l=" + b"9" * 400 + b"; bh="))


def _tags() -> Iterator[Case]:
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
        yield Case(name, "permerror", tags)
    yield Case("q= with a known method", "pass", {"q": "x/y:dns/txt"})
    yield Case("i= of a subdomain", "pass", {"i": "a@sub.example.org"})
    yield Case("i= with a quoted-printable local part", "pass", {"i": "a=2Bb@example.org"})
    yield Case("i= in capitals", "pass", {"i": "a@EXAMPLE.ORG"})
    yield Case("d= in capitals", "pass", {"d": "EXAMPLE.org"})
    yield Case(
        "d= in Unicode",
        "pass",
        {"d": "bücher.example"},
        dns={("sel._domainkey.xn--bcher-kva.example", "TXT"): [key_record(rsa_key())]},
    )
    yield Case("unknown tags", "pass", {"zz": "1", "y": ""})
    yield Case("z= is passed over", "pass", {"z": "From:alice@example.org|To:bob"})
    yield Case("a tag twice", "permerror", replaced=(b"; bh=", b"; d=example.org; bh="))
    yield Case("tags in capitals are others", "permerror", replaced=(b" d=example.org", b" D=example.org"))
    yield Case("junk between semicolons", "permerror", replaced=(b"; bh=", b"; junk; bh="))
    yield Case("bh= no base64", "permerror", {"bh": "%%%"}, theirs="fail", why="it compares the text")
    yield Case("bh= of something else", "fail", {"bh": "AAAA"})
    yield Case(
        "b= no base64",
        "permerror",
        altered=lambda raw: raw.replace(b"; b=", b"; b=%%%", 1),
        theirs="pass",
        why="Node skips what is no base64",
    )
    yield Case("unknown canonicalisation", "permerror", replaced=(b"c=relaxed/relaxed", b"c=strict/relaxed"))
    yield Case(
        "three canonicalisations",
        "permerror",
        replaced=(b"c=relaxed/relaxed", b"c=relaxed/relaxed/x"),
        theirs="fail",
        why="it reads the first two",
    )


def _several() -> Iterator[Case]:
    other = {("second._domainkey.example.net", "TXT"): [key_record(ed25519_key())]}
    both = sign(MESSAGE, ed25519_key(), d="example.net", s="second")
    yield Case("two signatures", ("pass", "pass"), message=both, dns=other)
    yield Case("the upper one broken", ("fail", "pass"), message=both, dns=other, replaced=(b"s=sel;", b"s=sel; n=1;"))
    yield Case(
        "the lower one broken",
        ("pass", "fail"),
        message=both.replace(b"d=example.net", b"d=example.net; n=1"),
        dns=other,
    )
    yield Case(
        "the lower one without an answer",
        ("pass", "temperror"),
        message=both,
        dns={("second._domainkey.example.net", "TXT"): SERVFAIL},
    )
    yield Case(
        "the upper one covers the lower one",
        ("pass", "pass"),
        {"signed": "from:dkim-signature"},
        message=both,
        dns=other,
    )
    yield Case(
        "the lower one removed",
        ("fail",),
        {"signed": "from:dkim-signature"},
        message=both,
        dns=other,
        altered=lambda raw: raw.replace(both[: both.index(b"From:")], b""),
    )
    yield Case("both by one key", ("pass", "pass"), message=sign(MESSAGE, rsa_key(), c="simple/simple"))


def _odd() -> Iterator[Case]:
    yield Case("a bare CR in the body", "pass", {"c": "simple/simple"}, message=MESSAGE + b"a\rb\r\n")
    yield Case(
        "a line of blanks instead of an empty one",
        "permerror",
        altered=lambda raw: raw.replace(b"\r\n\r\n", b"\r\n \r\n", 1),
        theirs="fail",
        why="the body begins later for it",
    )
    yield Case("NUL in the body", "pass", message=MESSAGE + b"a\0b\r\n")
    yield Case("a very long line", "pass", message=MESSAGE + b"x" * 100_000 + b"\r\n")
    yield Case("a thousand fields", "pass", message=b"X-Field: 1\r\n" * 1000 + MESSAGE)
