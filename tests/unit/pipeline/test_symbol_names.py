"""Our symbols under rspamd's and SpamAssassin's names: what becomes of names, scores and options."""

from __future__ import annotations

import math

import pytest

from filterproxy.core.action import Action
from filterproxy.core.authentication import MethodResult
from filterproxy.core.scan_result import ScanResult
from filterproxy.core.symbol import ScoredSymbol, Symbol
from filterproxy.pipeline.symbol_names import TABLE, declared, possible_names, translate


def scanned(*symbols: ScoredSymbol | str, forced_by: str = "", methods: tuple[MethodResult, ...] = ()) -> ScanResult:
    found = tuple(item if isinstance(item, ScoredSymbol) else ScoredSymbol(item, 1.0, (), "why") for item in symbols)
    score = math.fsum(symbol.score for symbol in found)
    return ScanResult(Action.NO_ACTION, score, 6.0, 15.0, found, methods, forced_by=forced_by)


def names(result: ScanResult, compat: str) -> list[str]:
    return [symbol.name for symbol in translate(result, compat).symbols]  # type: ignore[arg-type]


def test_without_compat_nothing_changes() -> None:
    result = scanned("SPF_FAIL", "MY_RULE")
    assert translate(result, None) is result
    assert possible_names("SPF_FAIL", None) == ("SPF_FAIL",)


def test_a_name_changes_where_the_meaning_is_the_same_and_nowhere_else() -> None:
    result = scanned("SPF_FAIL", "DMARC_POLICY_REJECT", "IPREV_PASS", "MY_RULE", "GTUBE")
    assert names(result, "rspamd") == ["R_SPF_FAIL", "DMARC_POLICY_REJECT", "IPREV_PASS", "MY_RULE", "GTUBE"]
    assert names(result, "spamassassin") == ["SPF_FAIL", "DMARC_REJECT", "IPREV_PASS", "MY_RULE", "GTUBE"]


def test_what_forced_the_action_has_the_same_name_as_its_symbol() -> None:
    assert translate(scanned("SPF_FAIL", forced_by="SPF_FAIL"), "rspamd").forced_by == "R_SPF_FAIL"
    assert translate(scanned("X"), "rspamd").forced_by == ""


def test_the_first_of_several_names_has_the_score() -> None:
    result = translate(scanned(ScoredSymbol("IPREV_NONE", 1.5, ("192.0.2.1",), "why")), "rspamd")
    assert [(item.name, item.score, item.options) for item in result.symbols] == [
        ("RDNS_NONE", 1.5, ("192.0.2.1",)),
        ("HFILTER_HOSTNAME_UNKNOWN", 0.0, ("192.0.2.1",)),
    ]


def test_symbols_with_one_name_become_one_and_scores_still_sum_up() -> None:
    sender = ScoredSymbol("SPAMHAUS_DBL_SENDER", 4.0, ("a.example",), "why")
    link = ScoredSymbol("SPAMHAUS_DBL_URL", 4.5, ("b.example",), "why")
    (found,) = translate(scanned(sender, link), "rspamd").symbols
    assert (found.name, found.score, found.options) == ("DBL_SPAM", 8.5, ("a.example", "b.example"))


@pytest.mark.parametrize("compat", ["rspamd", "spamassassin"])
def test_every_symbol_at_once_keeps_the_sum(compat: str) -> None:
    result = scanned(*(ScoredSymbol(name, place + 0.5, ("p=0.9995",), "") for place, name in enumerate(TABLE)))
    translated = translate(result, compat)  # type: ignore[arg-type]
    assert math.fsum(item.score for item in translated.symbols) == pytest.approx(result.score)
    found = [item.name for item in translated.symbols]
    assert len(found) == len(set(found))
    possible = {name for ours in TABLE for name in possible_names(ours, compat)}  # type: ignore[arg-type]
    assert set(found) <= possible


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        ("0.0000", ["BAYES_00"]),
        ("0.0099", ["BAYES_00"]),
        ("0.0100", ["BAYES_05"]),
        ("0.0500", ["BAYES_20"]),
        ("0.2000", ["BAYES_40"]),
        ("0.5000", ["BAYES_50"]),
        ("0.6000", ["BAYES_60"]),
        ("0.8000", ["BAYES_80"]),
        ("0.9500", ["BAYES_95"]),
        ("0.9900", ["BAYES_99"]),
        ("0.9989", ["BAYES_99"]),
        ("0.9990", ["BAYES_99", "BAYES_999"]),
        ("1.0000", ["BAYES_99", "BAYES_999"]),
    ],
)
def test_the_classifiers_name_says_how_sure_it_is(probability: str, expected: list[str]) -> None:
    for ours in ("BAYES_SPAM", "BAYES_HAM", "BAYES_UNSURE"):
        symbol = ScoredSymbol(ours, 5.0, (f"p={probability}", "word +2.00"), "why")
        assert names(scanned(symbol), "spamassassin") == expected
    assert names(scanned("BAYES_SPAM"), "spamassassin") == ["BAYES_SPAM"]
    assert names(scanned("BAYES_UNSURE"), "rspamd") == ["BAYES_UNSURE"]


def test_spamassassin_speaks_of_all_signatures_together() -> None:
    assert names(scanned("DKIM_FAIL"), "spamassassin") == ["DKIM_INVALID", "DKIM_SIGNED"]
    assert names(scanned("DKIM_PASS", "DKIM_FAIL"), "spamassassin") == ["DKIM_VALID", "DKIM_SIGNED"]
    assert names(scanned("DKIM_PASS", "DKIM_FAIL"), "rspamd") == ["R_DKIM_ALLOW", "R_DKIM_REJECT"]


def test_whose_signature_is_valid() -> None:
    methods = (
        MethodResult("dkim", "pass", (("header.d", "Author.example"),)),
        MethodResult("dkim", "fail", (("header.d", "sender.example"),)),
        MethodResult("spf", "pass", (("smtp.mailfrom", "x@sender.example"),)),
        MethodResult("dmarc", "pass", (("header.from", "author.example"),)),
    )
    result = scanned("DKIM_PASS", methods=methods)
    assert names(result, "spamassassin") == ["DKIM_VALID", "DKIM_SIGNED", "DKIM_VALID_AU"]
    bounce = (methods[0], MethodResult("spf", "none", (("smtp.mailfrom", "x@author.example"),)))
    result = scanned("DKIM_PASS", methods=bounce)
    assert names(result, "spamassassin") == ["DKIM_VALID", "DKIM_SIGNED", "DKIM_VALID_EF"]


def test_the_declared_symbols_by_their_names_there() -> None:
    symbols = {name: Symbol(name, 1.0, "why", "g") for name in ("SPAMHAUS_DBL_URL", "SPAMHAUS_DBL_SENDER", "OWN")}
    found = declared(symbols, "rspamd")
    assert {name: ours for name, (_, ours) in found.items()} == {
        "DBL_SPAM": ("SPAMHAUS_DBL_URL", "SPAMHAUS_DBL_SENDER"),
        "OWN": ("OWN",),
    }
    assert found["DBL_SPAM"][0].name == "DBL_SPAM"
    assert {name: ours for name, (_, ours) in declared(symbols, None).items()} == {name: (name,) for name in symbols}
    assert possible_names("BAYES_SPAM", "spamassassin", always=True) == ()
    assert "BAYES_99" in possible_names("BAYES_SPAM", "spamassassin")
