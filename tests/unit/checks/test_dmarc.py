"""The dmarc check: alignment, policies, and the tricks that must not pass."""

from __future__ import annotations

import pytest

from filterproxy.checks.dmarc import DmarcCheck, DmarcConfig
from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.outcome import CheckOutcome, Status
from filterproxy.core.symbol import SymbolResult
from filterproxy.testing import FakeResolver, assert_check_contract, make_context, make_site, make_transaction


def dkim(domain: str, word: str = "pass") -> MethodResult:
    return MethodResult("dkim", word, (("header.d", domain),))


def spf(address: str, word: str = "pass") -> MethodResult:
    return MethodResult("spf", word, (("smtp.mailfrom", address),))


def helo(name: str, word: str = "pass") -> MethodResult:
    return MethodResult("spf", word, (("smtp.helo", name),))


ZONES = {
    "_dmarc.reject.example": b"v=DMARC1; p=reject",
    "_dmarc.quarantine.example": b"v=DMARC1; p=quarantine",
    "_dmarc.watch.example": b"v=DMARC1; p=none",
    "_dmarc.strict.example": b"v=DMARC1; p=reject; adkim=s; aspf=s",
    "_dmarc.testing.example": b"v=DMARC1; p=reject; t=y",
    "_dmarc.broken.example": b"v=DMARC1; p=please",
    "_dmarc.unit.reject.example": b"v=DMARC1; p=reject; psd=n",
}


async def inspect(
    author: str | bytes,
    *methods: MethodResult,
    mail_from: str = "bounce@elsewhere.example",
    client: str = "192.0.2.1",
    resolver: FakeResolver | None = None,
    offline: bool = False,
):
    header = author if isinstance(author, bytes) else f"From: a@{author}".encode()
    transaction = make_transaction(header + b"\r\n\r\nbody\r\n", client=client, mail_from=mail_from)
    results = tuple(SymbolResult("X", method=method) for method in methods)
    transaction.outcomes["spf"] = CheckOutcome("spf", Status.OK, results)
    resolver = resolver or FakeResolver({(name, "TXT"): [text] for name, text in ZONES.items()})
    check = DmarcCheck(DmarcConfig(), make_context(resolver=resolver, site=make_site(offline=offline)))
    return await check.inspect(transaction)


@pytest.mark.parametrize(
    ("author", "methods", "symbol", "word"),
    [
        ("reject.example", [dkim("reject.example")], "DMARC_PASS", "pass"),
        ("reject.example", [dkim("mail.reject.example")], "DMARC_PASS", "pass"),
        ("mail.reject.example", [dkim("reject.example")], "DMARC_PASS", "pass"),
        ("a.reject.example", [dkim("b.reject.example")], "DMARC_PASS", "pass"),
        ("reject.example", [spf("x@bounce.reject.example")], "DMARC_PASS", "pass"),
        ("reject.example", [dkim("evil.example"), dkim("reject.example")], "DMARC_PASS", "pass"),
        ("reject.example", [spf("x@evil.example"), dkim("REJECT.example")], "DMARC_PASS", "pass"),
        ("strict.example", [dkim("strict.example")], "DMARC_PASS", "pass"),
        ("strict.example", [dkim("mail.strict.example")], "DMARC_POLICY_REJECT", "fail"),
        ("strict.example", [spf("x@mail.strict.example")], "DMARC_POLICY_REJECT", "fail"),
        ("mail.strict.example", [dkim("strict.example")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("evil.example")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("evilreject.example")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("example")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("reject.example", "fail")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("reject.example", "policy")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [spf("x@reject.example", "softfail")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [helo("reject.example")], "DMARC_POLICY_REJECT", "fail"),
        ("reject.example", [dkim("unit.reject.example")], "DMARC_POLICY_REJECT", "fail"),
        ("unit.reject.example", [dkim("reject.example")], "DMARC_POLICY_REJECT", "fail"),
        ("a.unit.reject.example", [dkim("unit.reject.example")], "DMARC_PASS", "pass"),
        ("quarantine.example", [], "DMARC_POLICY_QUARANTINE", "fail"),
        ("testing.example", [], "DMARC_POLICY_QUARANTINE", "fail"),
        ("watch.example", [], "DMARC_POLICY_NONE", "fail"),
        ("broken.example", [], "DMARC_PERMERROR", "permerror"),
        ("nothing.example", [dkim("nothing.example")], "DMARC_NA", "none"),
        ("reject.example", [dkim("reject.example", "temperror")], "DMARC_TEMPERROR", "temperror"),
        ("reject.example", [spf("x@reject.example", "temperror")], "DMARC_TEMPERROR", "temperror"),
        ("reject.example", [dkim("evil.example", "temperror")], "DMARC_POLICY_REJECT", "fail"),
    ],
)
async def test_alignment_and_policy(author, methods, symbol, word):
    (result,) = await inspect(author, *methods)
    assert (result.name, result.method.result) == (symbol, word)
    assert result.method.property("header.from") == author


async def test_helo_counts_for_the_null_sender_only():
    (result,) = await inspect("reject.example", helo("mx.reject.example"), mail_from="")
    assert result.name == "DMARC_PASS"


async def test_the_policy_is_told():
    (result,) = await inspect("reject.example")
    assert result.method.property("policy.dmarc") == "reject"
    assert result.reply == "DMARC policy of reject.example"


def test_policies_become_actions_when_told_so():
    assert DmarcCheck(DmarcConfig(), make_context()).forced_actions() == {}
    config = DmarcConfig.model_validate({"actions": {"reject": "reject", "quarantine": "add_header"}})
    assert DmarcCheck(config, make_context()).forced_actions() == {
        "DMARC_POLICY_REJECT": Action.REJECT,
        "DMARC_POLICY_QUARANTINE": Action.ADD_HEADER,
    }
    with pytest.raises(ValueError, match="leave the policy out"):
        DmarcConfig.model_validate({"actions": {"none": "no action"}})


@pytest.mark.parametrize(
    ("header", "symbol", "word"),
    [
        (b"From: a@reject.example\r\nFrom: b@evil.example", "DMARC_POLICY_REJECT", "fail"),
        (b"From: b@evil.example\r\nFrom: a@quarantine.example", "DMARC_POLICY_QUARANTINE", "fail"),
        (b"From: a@watch.example, b@reject.example", "DMARC_POLICY_REJECT", "fail"),
        (b"From: b@evil.example\r\nFrom: c@evil.example", "DMARC_PERMERROR", "permerror"),
        (b"From: <@reject.example:b@evil.example>", "DMARC_PERMERROR", "permerror"),
        (b"Subject: no From", "DMARC_PERMERROR", "permerror"),
        (b"From: nobody", "DMARC_PERMERROR", "permerror"),
    ],
)
async def test_several_or_malformed_froms_never_pass(header, symbol, word):
    (result,) = await inspect(header, dkim("evil.example"), dkim("reject.example"), dkim("quarantine.example"))
    assert (result.name, result.method.result) == (symbol, word)


async def test_dns_trouble_is_a_temperror():
    resolver = FakeResolver({("_dmarc.reject.example", "TXT"): None})
    for author in ("reject.example", "mail.reject.example", b"From: a@reject.example\r\nFrom: b@x.example"):
        (result,) = await inspect(author, dkim("reject.example"), resolver=resolver)
        assert (result.name, result.method.result) == ("DMARC_TEMPERROR", "temperror")


async def test_a_pass_for_the_same_domain_needs_no_walk():
    resolver = FakeResolver({("_dmarc.reject.example", "TXT"): [b"v=DMARC1; p=reject"]})
    await inspect("reject.example", dkim("reject.example"), resolver=resolver)
    assert resolver.asked == [("_dmarc.reject.example", "TXT")]


@pytest.mark.parametrize("check", ["spf", "dkim"])
@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT])
async def test_a_check_that_could_not_answer_is_held_against_nobody(check, status):
    transaction = make_transaction(b"From: a@reject.example\r\n\r\n", client="192.0.2.1", mail_from="x@evil.example")
    transaction.outcomes[check] = CheckOutcome(check, status)
    resolver = FakeResolver({(name, "TXT"): [text] for name, text in ZONES.items()})
    (result,) = await DmarcCheck(DmarcConfig(), make_context(resolver=resolver)).inspect(transaction)
    assert (result.name, result.method.result) == ("DMARC_TEMPERROR", "temperror")
    assert check in result.method.reason


async def test_trouble_above_does_not_matter_for_strangers():
    table = {("_dmarc.a.reject.example", "TXT"): [b"v=DMARC1; p=reject"], ("_dmarc.reject.example", "TXT"): None}
    (result,) = await inspect("a.reject.example", dkim("evil.test"), resolver=FakeResolver(table))
    assert result.name == "DMARC_POLICY_REJECT"
    (result,) = await inspect("a.reject.example", dkim("b.reject.example"), resolver=FakeResolver(table))
    assert result.name == "DMARC_TEMPERROR"
    (result,) = await inspect(
        "a.reject.example", dkim("b.reject.example"), dkim("a.reject.example"), resolver=FakeResolver(table)
    )
    assert result.name == "DMARC_PASS"


async def test_walks_are_bounded():
    resolver = FakeResolver(
        {("_dmarc.reject.example", "TXT"): [b"v=DMARC1; p=reject; psd=n"]}
        | {(f"_dmarc.u{number}.reject.example", "TXT"): [b"v=DMARC1; p=none; psd=n"] for number in range(30)}
    )
    (result,) = await inspect(
        "reject.example", *(dkim(f"u{number}.reject.example") for number in range(30)), resolver=resolver
    )
    assert result.name == "DMARC_TEMPERROR"
    assert len(resolver.asked) < 60


async def test_strangers_domains_are_not_asked_for():
    resolver = FakeResolver({("_dmarc.reject.example", "TXT"): [b"v=DMARC1; p=reject"]})
    await inspect("reject.example", *(dkim(f"d{number}.evil.example") for number in range(10)), resolver=resolver)
    assert not [name for name, _ in resolver.asked if "evil" in name]


async def test_without_the_clients_address_nothing_is_held_against_the_message():
    (result,) = await inspect("reject.example", client="")
    assert (result.name, result.method.result) == ("DMARC_NA", "none")
    (result,) = await inspect("reject.example", dkim("reject.example"), client="")
    assert result.name == "DMARC_PASS"


async def test_offline_nothing_is_asked():
    resolver = FakeResolver()
    assert await inspect("reject.example", resolver=resolver, offline=True) == []
    assert resolver.asked == []


def test_the_contract():
    assert DmarcCheck.after == {"spf", "dkim", "arc"}
    assert_check_contract(DmarcCheck(DmarcConfig(), make_context()))
