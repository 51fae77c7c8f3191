"""The spf check: which identity, which symbol, and what hostile records cannot do."""

from __future__ import annotations

import asyncio
import time

import pytest

from filterproxy.checks.spf import SpfCheck, SpfConfig
from filterproxy.core.check import Stage
from filterproxy.services.spf_evaluator import evaluate
from filterproxy.testing import FakeResolver, assert_check_contract, make_context, make_site, make_transaction

TABLE = {
    ("example.org", "TXT"): [b"v=spf1 ip4:192.0.2.0/24 -all"],
    ("xn--bcher-kva.example", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"],
    ("soft.example", "TXT"): [b"v=spf1 ~all"],
    ("broken.example", "TXT"): [b"v=spf1 nonsense -all"],
    ("servfail.example", "TXT"): None,
    ("mx.sender.example", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"],
    ("explains.example", "TXT"): [b"v=spf1 -all exp=why.explains.example"],
    ("why.explains.example", "TXT"): [b"no mail\r\nX-Evil: 1 from %{c} \xff"],
    ("clear.example", "TXT"): [b"v=spf1 -all exp=why.clear.example"],
    ("why.clear.example", "TXT"): [b"%{c} may not send\tfor %{o}"],
}


async def inspect(client="192.0.2.1", mail_from="a@example.org", helo="mx.sender.example", resolver=None, **site):
    resolver = resolver or FakeResolver(TABLE)
    check = SpfCheck(SpfConfig(), make_context(resolver=resolver, site=make_site(**site)))
    return await check.inspect(make_transaction(client=client, mail_from=mail_from, helo=helo))


@pytest.mark.parametrize(
    ("mail_from", "client", "symbol", "word"),
    [
        ("a@example.org", "192.0.2.1", "SPF_PASS", "pass"),
        ("a@EXAMPLE.ORG", "::ffff:192.0.2.1", "SPF_PASS", "pass"),
        ("a@example.org", "203.0.113.1", "SPF_FAIL", "fail"),
        ("a@bücher.example", "203.0.113.1", "SPF_FAIL", "fail"),
        ("a@soft.example", "203.0.113.1", "SPF_SOFTFAIL", "softfail"),
        ("a@broken.example", "203.0.113.1", "SPF_PERMERROR", "permerror"),
        ("a@servfail.example", "203.0.113.1", "SPF_TEMPERROR", "temperror"),
        ("a@nothing.example", "203.0.113.1", "SPF_NONE", "none"),
        ("no-domain", "203.0.113.1", "SPF_NONE", "none"),
        ("a@[203.0.113.1]", "203.0.113.1", "SPF_NONE", "none"),
        ("a\udcff@example.org\udcff", "203.0.113.1", "SPF_NONE", "none"),
        ('"a@example.org"@nothing.example', "192.0.2.1", "SPF_NONE", "none"),
    ],
)
async def test_the_envelope_sender(mail_from, client, symbol, word):
    result = (await inspect(client=client, mail_from=mail_from))[0]
    assert (result.name, result.method.result) == (symbol, word)
    assert result.method.property("smtp.mailfrom") == mail_from


async def test_helo_is_checked_besides():
    sender, helo = await inspect(client="203.0.113.1")
    assert (sender.name, helo.name) == ("SPF_FAIL", "SPF_HELO_FAIL")
    assert helo.method.property("smtp.helo") == "mx.sender.example"
    assert helo.method.property("smtp.mailfrom") == ""


@pytest.mark.parametrize(
    ("helo", "symbol"),
    [("mx.sender.example", "SPF_PASS"), ("[192.0.2.1]", "SPF_NONE"), ("localhost", "SPF_NONE"), ("", "SPF_NONE")],
)
async def test_the_null_sender_is_checked_by_its_helo(helo, symbol):
    (result,) = await inspect(mail_from="", helo=helo)
    assert result.name == symbol
    assert result.method.property("smtp.helo") == helo


async def test_without_a_client_or_offline_nothing_is_said_or_asked():
    resolver = FakeResolver(TABLE)
    assert await inspect(client="", resolver=resolver) == []
    assert await inspect(resolver=resolver, offline=True) == []
    assert resolver.asked == []


async def test_an_explanation_is_safe_text():
    (clear,) = await inspect(client="203.0.113.1", mail_from="a@clear.example", helo="x")
    assert clear.method.reason == "203.0.113.1 may not send for clear.example"
    (evil,) = await inspect(client="203.0.113.1", mail_from="a@explains.example", helo="x")
    assert "\r" not in evil.method.reason and "\n" not in evil.method.reason


@pytest.mark.parametrize(
    ("mail_from", "reply"),
    [
        (
            "a@clear.example",
            "SPF of clear.example does not allow 203.0.113.1; clear.example explains: "
            "203.0.113.1 may not send for clear.example",
        ),
        ("a@example.org", "SPF of example.org does not allow 203.0.113.1"),
        ("a@soft.example", ""),
        ("a@bücher.example", "SPF of xn--bcher-kva.example does not allow 203.0.113.1"),
    ],
)
async def test_a_refusal_says_why(mail_from, reply):
    assert (await inspect(client="203.0.113.1", mail_from=mail_from, helo="x"))[0].reply == reply


async def test_the_owners_explanation_can_be_left_out():
    check = SpfCheck(SpfConfig(explanation=False), make_context(resolver=FakeResolver(TABLE)))
    (found,) = await check.inspect(make_transaction(client="203.0.113.1", mail_from="a@clear.example", helo="x"))
    assert found.reply == "SPF of clear.example does not allow 203.0.113.1"


@pytest.mark.parametrize(
    "text", [b"a\r\n250 ok", b"\xff\x00\x1b[31m", b"%{c} " + b"x" * 400, b"y" * 511, "grüße ‮".encode(), b"%{p}"]
)
async def test_any_explanation_makes_one_short_line(text):
    table = {("evil.example", "TXT"): [b"v=spf1 -all exp=x.evil.example"], ("x.evil.example", "TXT"): [text]}
    check = SpfCheck(SpfConfig(), make_context(resolver=FakeResolver(table)))
    (found,) = await check.inspect(make_transaction(client="2001:db8::1", mail_from="a@evil.example", helo="x"))
    assert found.name == "SPF_FAIL"
    assert found.reply.isascii() and found.reply.isprintable() and len(found.reply) < 320


async def test_a_chain_of_slow_zones_is_a_temperror():
    class Silent:
        async def resolve(self, name, rtype):
            return await asyncio.get_running_loop().create_future()

    check = SpfCheck(SpfConfig(timeout=0.05), make_context(resolver=Silent()))
    results = await check.inspect(make_transaction(client="192.0.2.1", mail_from="a@example.org", helo="mx.example"))
    assert [result.name for result in results] == ["SPF_TEMPERROR", "SPF_HELO_TEMPERROR"]


def test_it_runs_early_and_not_for_our_own_users():
    config = SpfConfig()
    assert (SpfCheck.stage, config.authenticated, config.local) == (Stage.MAIL, False, False)
    assert_check_contract(SpfCheck(config, make_context()))


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (b"v=spf1 ip4:192.0.2.1 include:self.example -all", "pass"),
        (b"v=spf1 -ip4:192.0.2.1 ?include:self.example", "fail"),
        (b"v=spf1 include:self.example ip4:192.0.2.1", "permerror"),
        (b"v=spf1 -include:%{d} -all", "permerror"),
    ],
)
async def test_a_record_that_includes_itself_is_wrong_when_that_is_reached(record, word):
    resolver = FakeResolver({("self.example", "TXT"): [record]})
    found = await evaluate(resolver, client="192.0.2.1", identity="a@self.example", helo="x", receiver="mx")
    assert found.result == word


@pytest.mark.parametrize(
    "record",
    [
        b"v=spf1 a:" + b"." + b"a" * 60_000 + b"! -all",
        b"v=spf1 " + b"a:." + b"a-" * 120 + b"! -all",
        b"v=spf1 " + b"exists:%{" * 28 + b" -all",
        b"v=spf1 " + b"a:b.c " * 1300 + b"-all",
        b"v=spf1 " + b"include:%{d} " * 500,
        b"v=spf1 " + b"%" * 250 + b" -all",
        b"v=spf1 ip4:" + b"1" * 200 + b" -all",
        b"v=spf1 a:x%{d999999999999999999}.example.org -all",
    ],
)
async def test_hostile_records_cost_little(record):
    resolver = FakeResolver({("evil.example", "TXT"): [record]})
    started = time.process_time()
    found = await evaluate(resolver, client="192.0.2.1", identity="a@evil.example", helo="x", receiver="mx")
    assert found.result in ("permerror", "fail")
    assert time.process_time() - started < 1.0


async def test_the_number_of_questions_is_bounded():
    table = {
        ("evil.example", "TXT"): [b"v=spf1 " + b" ".join(b"mx:m%d.evil.example" % n for n in range(10)) + b" -all"]
    }
    for number in range(10):
        table[f"m{number}.evil.example", "MX"] = [(1, f"h{number}x{host}.evil.example") for host in range(10)]
    table |= {(f"h{n}x{h}.evil.example", "A"): ["203.0.113.9"] for n in range(10) for h in range(10)}
    resolver = FakeResolver(table)
    found = await evaluate(resolver, client="192.0.2.1", identity="a@evil.example", helo="x", receiver="mx")
    assert found.result == "fail"
    assert len(resolver.asked) == len(set(resolver.asked)) == 111
