"""DMARC's tree walk, records and Author Domain (RFC 9989), as tables of vectors."""

from __future__ import annotations

import time

import pytest

from filterproxy.core.ports import DnsAnswer, DnsStatus
from filterproxy.message import Message
from filterproxy.services.dmarc import Discovery, DnsTrouble, Policy, parse_record, read_author
from filterproxy.services.dmarc.discovery import walk_targets
from filterproxy.testing import FakeResolver

NONE, QUARANTINE, REJECT = Policy.NONE, Policy.QUARANTINE, Policy.REJECT


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"v=DMARC1", (NONE, None, None, "has no p=")),
        (b"v=DMARC1; sp=reject", (NONE, None, None, "has no p=")),
        (b"V=DMARC1; sp=reject; rua=mailto:a@example.org", (NONE, None, None, "")),
        (b"v=DMARC1; p=reject", (REJECT, None, None, "")),
        (b" v = DMARC1 ; p = Reject ; sp=QUARANTINE;np=none", (REJECT, QUARANTINE, NONE, "")),
        (b"v=DMARC1;p=reject;unknown=1;junk;=;;", (REJECT, None, None, "")),
        (b"v=DMARC1; P=reject; p=none", (NONE, None, None, "")),
        (b"v=DMARC1; p=nonsense", (NONE, None, None, "asks for nothing valid")),
        (b"v=DMARC1; p=nonsense; rua=mailto:a@example.org", (NONE, None, None, "")),
        (b"v=DMARC1; p=reject; sp=nonsense", (NONE, None, None, "asks for nothing valid")),
        (b"v=DMARC1; p=reject; np=nonsense; rua=mailto:a@example.org!10m,https://x", (NONE, None, None, "")),
        (b"v=DMARC1; p=reject; np=nonsense; rua=nobody", (NONE, None, None, "asks for nothing valid")),
        (b"v=DMARC1; p=x; rua=mailto:a b@example.org", (NONE, None, None, "asks for nothing valid")),
        (b"v=DMARC1; p=x; rua=nobody, mailto:a@example.org", (NONE, None, None, "")),
    ],
)
def test_records(text, wanted):
    record = parse_record(text)
    assert record is not None
    assert (record.policy, record.subdomains, record.nonexistent, record.defect) == wanted


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"v=DMARC2; p=reject",
        b"v=dmarc1; p=reject",
        b"p=reject; v=DMARC1",
        b"v=DMARC11",
        b"v=DMARC1 p=reject",
        b"v=DMARC1; p=reject; p=none",
        b"v=DMARC1; p=reject; rua=mailto:a@example.org; rua=mailto:b@example.org",
        b"\xff",
        b"v=spf1 -all",
        b" " * 50_000 + b"v=DMARC1",
        b"v=DMARC1;" + b"x" * 9_000,
    ],
)
def test_what_is_no_record(text):
    started = time.process_time()
    assert parse_record(text) is None
    assert time.process_time() - started < 0.2


def test_flags():
    record = parse_record(b"v=DMARC1; p=reject; aspf=s; adkim=s; psd=n; t=y")
    assert (record.strict_spf, record.strict_dkim, record.public_suffix, record.testing) == (True, True, "n", True)
    record = parse_record(b"v=DMARC1; p=reject; aspf=x; adkim=; psd=maybe; t=1")
    assert (record.strict_spf, record.strict_dkim, record.public_suffix, record.testing) == (False, False, "u", False)


def test_the_walk_asks_for_at_most_eight_names():
    assert walk_targets("a.mail.example.com") == ["a.mail.example.com", "mail.example.com", "example.com", "com"]
    assert walk_targets("com") == ["com"]
    long = walk_targets("a.b.c.d.e.f.g.h.i.j.mail.example.com")
    assert len(long) == 8
    assert long[1] == "g.h.i.j.mail.example.com"
    assert walk_targets("a.b.c.d.e.f.example.com")[1] == "b.c.d.e.f.example.com"
    assert len(walk_targets("a.b.c.d.e.f.example.com")) == 8


# zones (name: record), Author Domain, names that exist, Organizational Domain, record's domain, policy
VECTORS = [
    ({}, "example.com", "", "example.com", None, None),
    ({"example.com": "p=reject"}, "example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=reject"}, "a.example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=reject"}, "a.b.c.example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=reject; sp=none"}, "a.example.com", "", "example.com", "example.com", NONE),
    ({"example.com": "p=none; sp=reject"}, "example.com", "", "example.com", "example.com", NONE),
    ({"example.com": "p=none; sp=reject"}, "a.example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=none; np=reject"}, "a.example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=none; np=reject"}, "a.example.com", "a.example.com", "example.com", "example.com", NONE),
    ({"example.com": "p=none; np=reject"}, "a.example.com", "x.a.example.com", "example.com", "example.com", NONE),
    ({"example.com": "p=none; np=reject"}, "example.com", "", "example.com", "example.com", NONE),
    ({"example.com": "p=none; sp=quarantine; np=reject"}, "a.example.com", "", "example.com", "example.com", REJECT),
    (
        {"example.com": "p=none; sp=quarantine; np=reject"},
        "a.example.com",
        "a.example.com",
        "example.com",
        "example.com",
        QUARANTINE,
    ),
    ({"example.com": "p=reject; sp=quarantine"}, "gone.example.com", "", "example.com", "example.com", QUARANTINE),
    ({"example.com": "p=reject; t=y"}, "example.com", "", "example.com", "example.com", QUARANTINE),
    ({"example.com": "p=quarantine; t=y"}, "example.com", "", "example.com", "example.com", NONE),
    ({"example.com": "p=none; t=y"}, "example.com", "", "example.com", "example.com", NONE),
    ({"example.com": "p=none; sp=reject; t=y"}, "a.example.com", "", "example.com", "example.com", QUARANTINE),
    (
        {"mail.example.com": "p=none", "example.com": "p=reject"},
        "mail.example.com",
        "",
        "example.com",
        "mail.example.com",
        NONE,
    ),
    (
        {"mail.example.com": "p=none", "example.com": "p=reject"},
        "a.mail.example.com",
        "",
        "example.com",
        "example.com",
        REJECT,
    ),
    ({"b.example.com": "p=quarantine"}, "a.b.example.com", "", "b.example.com", "b.example.com", QUARANTINE),
    (
        {"mail.example.com": "p=none; psd=n", "example.com": "p=reject"},
        "a.mail.example.com",
        "",
        "mail.example.com",
        "mail.example.com",
        NONE,
    ),
    (
        {"mail.example.com": "p=none; psd=n", "example.com": "p=reject"},
        "mail.example.com",
        "",
        "mail.example.com",
        "mail.example.com",
        NONE,
    ),
    ({"com": "p=reject; psd=y"}, "example.com", "", "example.com", "com", REJECT),
    ({"com": "p=reject; psd=y"}, "a.example.com", "", "example.com", "com", REJECT),
    ({"com": "p=none; psd=y; np=reject"}, "example.com", "example.com", "example.com", "com", NONE),
    ({"com": "p=none; psd=y; np=reject"}, "gone.com", "", "gone.com", "com", REJECT),
    ({"com": "p=none; psd=y; sp=quarantine"}, "a.example.com", "", "example.com", "com", QUARANTINE),
    ({"com": "p=reject; psd=y", "example.com": "p=none"}, "a.example.com", "", "example.com", "example.com", NONE),
    ({"co.uk": "p=reject; psd=y"}, "shop.example.co.uk", "", "example.co.uk", "co.uk", REJECT),
    ({"co.uk": "p=reject; psd=y", "uk": "p=none; psd=y"}, "a.co.uk", "", "a.co.uk", "co.uk", REJECT),
    ({"co.uk": "p=reject; psd=y"}, "co.uk", "", "co.uk", "co.uk", REJECT),
    ({"gov.example": "p=reject; psd=y"}, "a.b.c.gov.example", "", "c.gov.example", "gov.example", REJECT),
    (
        {"example.com": "p=reject", "mail.example.com": "v=spf1 -all"},
        "mail.example.com",
        "",
        "example.com",
        "example.com",
        REJECT,
    ),
    (
        {"mail.example.com": ["v=DMARC1; p=none", "v=DMARC1; p=reject"], "example.com": "p=quarantine"},
        "mail.example.com",
        "",
        "example.com",
        "example.com",
        QUARANTINE,
    ),
    ({"example.com": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "example.com", "", "example.com", None, None),
    ({"example.com": ["v=spf1 -all", "v=DMARC1; p=reject"]}, "example.com", "", "example.com", "example.com", REJECT),
    ({"example.com": "p=reject"}, "a.b.c.d.e.f.g.h.example.com", "", "example.com", "example.com", REJECT),
    (
        {"b.c.d.e.f.g.h.example.com": "p=none; psd=n", "example.com": "p=reject"},
        "a.b.c.d.e.f.g.h.example.com",
        "",
        "example.com",
        "example.com",
        REJECT,
    ),
    (
        {"c.d.e.f.g.example.com": "p=none; psd=n", "example.com": "p=reject"},
        "mail.a.b.c.d.e.f.g.example.com",
        "",
        "c.d.e.f.g.example.com",
        "c.d.e.f.g.example.com",
        NONE,
    ),
    ({"com": "p=reject"}, "example.com", "", "com", "com", REJECT),
    ({"xn--4ca.example": "p=reject"}, "a.xn--4ca.example", "", "xn--4ca.example", "xn--4ca.example", REJECT),
]


def resolver_for(zones, exists=""):
    table = {(exists, "A"): ["192.0.2.1"]} if exists else {}
    for name, record in zones.items():
        texts = record if isinstance(record, list) else [record if record.startswith("v=") else f"v=DMARC1; {record}"]
        table[f"_dmarc.{name}", "TXT"] = [text.encode() for text in texts]
    return FakeResolver(table)


@pytest.mark.parametrize(("zones", "author", "exists", "organization", "publisher", "policy"), VECTORS)
async def test_discovery(zones, author, exists, organization, publisher, policy):
    # The name `_dmarc.a.example` exists only when asked for; the domain itself may still be a non-existent one.
    discovery = Discovery(NamesAsTold(resolver_for(zones, exists), exists))
    assert await discovery.organization(author) == organization
    found = await discovery.applicable(author)
    assert (found and found.domain) == publisher
    if found:
        assert await discovery.policy(author, found) is policy


class NamesAsTold:
    """A resolver for which only `exists` and what is above it exist."""

    def __init__(self, resolver, exists):
        self.resolver, self.exists = resolver, exists

    async def resolve(self, name, rtype):
        answer = await self.resolver.resolve(name, rtype)
        if rtype == "A" and not f".{self.exists}".endswith(f".{name}"):
            return type(answer)(type(answer.status).NXDOMAIN)
        return answer


def test_there_are_enough_vectors():
    assert len(VECTORS) >= 40


@pytest.mark.parametrize("silent", ["_dmarc.a.example.com", "_dmarc.example.com"])
async def test_dns_trouble_is_not_the_absence_of_a_policy(silent):
    discovery = Discovery(FakeResolver({(silent, "TXT"): None}))
    with pytest.raises(DnsTrouble):
        await discovery.applicable("a.example.com")


@pytest.mark.parametrize(
    ("record", "asked"),
    [("p=none; np=none", []), ("p=reject; sp=none; np=reject", ["A", "CNAME"]), ("p=reject; np=reject", [])],
)
async def test_existence_is_asked_for_only_when_it_matters(record, asked):
    resolver = FakeResolver({("_dmarc.example.com", "TXT"): [f"v=DMARC1; {record}".encode()]})
    discovery = Discovery(resolver)
    found = await discovery.applicable("gone.example.com")
    await discovery.policy("gone.example.com", found)
    assert [rtype for name, rtype in resolver.asked if rtype != "TXT"] == asked


async def test_an_alias_exists_although_its_target_does_not():
    table = {("_dmarc.example.com", "TXT"): [b"v=DMARC1; p=none; np=reject"]}
    found = await Discovery(FakeResolver(table)).applicable("a.example.com")

    class Dangling(FakeResolver):
        async def resolve(self, name, rtype):
            found = await super().resolve(name, rtype)
            return DnsAnswer(DnsStatus.NXDOMAIN) if rtype == "A" else found

    resolver = Dangling(table | {("a.example.com", "CNAME"): ["gone.example.net"]})
    assert await Discovery(resolver).policy("a.example.com", found) is NONE


async def test_trouble_above_a_boundary_does_not_matter():
    table = {("_dmarc.example.com", "TXT"): [b"v=DMARC1; p=reject; psd=n"], ("_dmarc.com", "TXT"): None}
    assert await Discovery(FakeResolver(table)).organization("a.example.com") == "example.com"


@pytest.mark.parametrize(
    ("field", "domain"),
    [
        (b"From: a@example.org", "example.org"),
        (b"From: A@Example.ORG", "example.org"),
        (b"from:a@example.org", "example.org"),
        (b"From: <a@example.org>", "example.org"),
        (b"From: a@example.org\r\nno field\r\n\r\nFrom: quoted@example.net", "example.org"),
        (b"From: a@example.org\r\n\r\nno field\r\nFrom: quoted@example.net", "example.org"),
        (b"From: a@localhost", "localhost"),
        (b"From: Alice Example <a@example.org>", "example.org"),
        (b'From: "Example, Alice" <a@example.org>', "example.org"),
        (b'From: "a@bank.example" <a@example.org>', "example.org"),
        (b"From: =?utf-8?q?Alice=2C_Example?= <a@example.org>", "example.org"),
        (b"From: a@example.org <a@example.org>", "example.org"),
        (b"From: a@example.org (Alice (at home))", "example.org"),
        (b"From: Alice\r\n <a@example.org>", "example.org"),
        ("From: a@bücher.example".encode(), "xn--bcher-kva.example"),
        (b"From: Alice <a@example.org> (work)", "example.org"),
        (b"From: Dr. Alice O'Hara [x] <a@example.org>", "example.org"),
        (b"From: a@example.org, Bob <b@Example.org>,\r\n c@example.org (Carol, at home)", "example.org"),
    ],
)
def test_plain_authors(field, domain):
    author = read_author(Message(field + b"\r\n\r\n"))
    assert (author.domain, author.reason) == (domain, "")


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: no From",
        b"From: ",
        b"From: nobody",
        b"From: a@[192.0.2.1]",
        b"From: a@good.example\r\nFrom: b@evil.example",
        b"From: a@good.example\r\nFrom: a@good.example",
        b"From: a@good.example, b@evil.example",
        b"From: a@good.example; b@evil.example",
        b"From: a@good.example, b@good.example, c",
        b"From: a@good.example, <b@good.example",
        b"From: <a@good.example> <b@evil.example>",
        b"From: <a@good.example>b@evil.example",
        b"From: a@good.example <b@evil.example>",
        b"From: <@evil.example,@x.example:a@good.example>",
        b"From: <@evil.example:a@good.example>",
        b"From: <b@evil.example@good.example>",
        b'From: <"a@good.example"@evil.example>',
        b"From: a@good.example\x00@evil.example",
        b"From: <a@good.example\x00>",
        b"From: =?utf-8?b?YUBnb29kLmV4YW1wbGU=?=",
        b"From: =?utf-8?q?a=40good.example?= <b@evil.example>, x",
        b"From: a@good.example(comment",
        "From: a@good.example()ä".encode(),
        b"From: a@good.example(comment).evil.example",
        b"From: a(comment)@good.example",
        b"From: Group: a@good.example;",
        b"From: a@good.example\r\x0b b",
        b"From : a@good.example",
        b"From: a@good.example\r\nno field\r\nFrom: b@evil.example",
        b"From: a@good.example\r\nno field\r\nX: 1\r\nfrom : b@evil.example",
        b"From: <a@good.example",
        b"From: a @ b @ good.example",
    ],
)
def test_what_has_no_author(header):
    author = read_author(Message(header + b"\r\n\r\n"))
    assert author.domain == ""
    assert author.reason


def test_shown_domains_are_bounded():
    field = b"From: " + b", ".join(b"a@d%d.example" % number for number in range(5_000))
    assert len(read_author(Message(field + b"\r\n\r\n")).claimed) == 4


@pytest.mark.parametrize(
    "value",
    [b"(" * 50_000, b'"' * 50_000, b"<" * 50_000, b"a@" * 25_000, b"=?" * 25_000, b'"\\' * 25_000, b"a " * 50_000],
)
def test_long_froms_cost_no_time(value):
    started = time.process_time()
    assert read_author(Message(b"From: " + value + b"\r\n\r\n")).domain == ""
    assert time.process_time() - started < 1.0
