"""The own_domain check: who may use our domains, and when nothing is known."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from filterproxy.checks.own_domain import OwnDomainCheck, OwnDomainConfig
from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import SymbolResult
from filterproxy.testing import assert_check_contract, make_context, make_site, make_transaction

OURS = frozenset({"our.example", "Bücher.example"})


def spf(address: str, word: str = "pass") -> MethodResult:
    return MethodResult("spf", word, (("smtp.mailfrom", address),))


def dkim(domain: str, word: str = "pass") -> MethodResult:
    return MethodResult("dkim", word, (("header.d", domain),))


def dmarc(domain: str, word: str, *more: tuple[str, str]) -> MethodResult:
    return MethodResult("dmarc", word, (("header.from", domain), *more))


async def inspect(
    author: str | bytes = "a@our.example",
    *methods: MethodResult,
    mail_from: str = "x@elsewhere.example",
    client: str = "203.0.113.5",
    status: Status = Status.OK,
    site: dict | None = None,
    **config,
):
    header = author if isinstance(author, bytes) else f"From: {author}".encode()
    transaction = make_transaction(header + b"\r\n\r\nbody\r\n", client=client, mail_from=mail_from)
    for name in ("spf", "dkim", "dmarc"):
        results = tuple(SymbolResult("X", method=method) for method in methods if method.method == name)
        transaction.outcomes[name] = CheckOutcome(name, status if name == "dkim" else Status.OK, results)
    context = make_context(site=make_site(**{"local_domains": OURS, **(site or {})}))
    results = await OwnDomainCheck(OwnDomainConfig(**config), context).inspect(transaction)
    return {result.name: result.options for result in results}


FROM = {"OWN_DOMAIN_FROM": ("our.example",)}
ENVELOPE = {"OWN_DOMAIN_ENVELOPE": ("our.example",)}


@pytest.mark.parametrize(
    ("author", "mail_from", "methods", "wanted"),
    [
        ("a@our.example", "x@elsewhere.example", [], FROM),
        ("a@OUR.example", "x@elsewhere.example", [], FROM),
        ("a@mail.our.example", "", [], FROM),
        ("a@xn--bcher-kva.example", "", [], {"OWN_DOMAIN_FROM": ("xn--bcher-kva.example",)}),
        ("a@elsewhere.example", "b@our.example", [], ENVELOPE),
        ("a@elsewhere.example", "b@bücher.example", [], {"OWN_DOMAIN_ENVELOPE": ("xn--bcher-kva.example",)}),
        ("a@our.example", "b@our.example", [], FROM | ENVELOPE),
        ("a@elsewhere.example", "b@elsewhere.example", [], {}),
        ("a@notour.example", "b@our.example.elsewhere.example", [], {}),
        ("a@our.example", "b@our.example", [spf("b@our.example")], {}),
        ("a@our.example", "b@our.example", [dkim("our.example")], {}),
        ("a@our.example", "b@our.example", [dkim("mail.our.example")], {}),
        ("a@our.example", "x@elsewhere.example", [dmarc("our.example", "pass")], {}),
        ("a@our.example", "x@elsewhere.example", [spf("x@elsewhere.example"), dkim("elsewhere.example")], FROM),
        (
            "a@our.example",
            "b@our.example",
            [spf("b@our.example", "fail"), dkim("our.example", "fail")],
            FROM | ENVELOPE,
        ),
        ("a@our.example", "b@our.example", [spf("b@our.example", "softfail")], FROM | ENVELOPE),
        ("a@our.example", "x@elsewhere.example", [MethodResult("spf", "pass", (("smtp.helo", "our.example"),))], FROM),
        ("a@our.example", "x@elsewhere.example", [MethodResult("arc", "pass", (("header.d", "our.example"),))], FROM),
        ("a@our.example", "", [dmarc("our.example", "fail", ("policy.override", "trusted_forwarder"))], {}),
        ("a@our.example", "b@our.example", [spf("b@our.example", "temperror")], {}),
        ("a@our.example", "x@elsewhere.example", [dkim("our.example", "temperror")], {}),
        ("a@our.example", "x@elsewhere.example", [dkim("evil.example", "temperror")], FROM),
        (b"From: x@elsewhere.example\r\nFrom: a@our.example", "", [dmarc("elsewhere.example", "pass")], FROM),
        (b"Subject: no author", "", [], {}),
    ],
)
async def test_who_may_use_our_domains(author, mail_from, methods, wanted):
    assert await inspect(author, *methods, mail_from=mail_from) == wanted


async def test_subdomains_may_be_left_to_others():
    assert await inspect("a@mail.our.example", subdomains=False) == {}
    assert await inspect("a@our.example", subdomains=False) == FROM


async def test_proof_for_a_domain_is_proof_for_what_is_below_it():
    site = {"local_domains": frozenset({"our.example", "shop.our.example"})}
    assert await inspect("a@shop.our.example", dkim("our.example"), site=site) == {}
    assert await inspect("a@shop.our.example", site=site) == FROM


@pytest.mark.parametrize(
    "known",
    [
        {"site": {"local_domains": frozenset()}},
        {"site": {"offline": True}},
        {"site": {"trusted_networks": (ip_network("203.0.113.0/24"),)}},
        {"site": {"local_networks": (ip_network("203.0.113.0/24"),)}},
        {"client": ""},
        {"status": Status.TIMED_OUT},
        {"status": Status.SKIPPED},
    ],
)
async def test_when_it_says_nothing(known):
    assert await inspect("a@our.example", mail_from="b@our.example", **known) == {}


async def test_without_spf_and_dkim_it_says_nothing():
    transaction = make_transaction(b"From: a@our.example\r\n\r\n", client="203.0.113.5")
    context = make_context(site=make_site(local_domains=OURS))
    assert await OwnDomainCheck(OwnDomainConfig(), context).inspect(transaction) == []


def test_the_contract():
    assert_check_contract(OwnDomainCheck(OwnDomainConfig(), make_context(site=make_site(local_domains=OURS))))
