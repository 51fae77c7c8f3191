"""The definitions under rules/dnslists: they load together, say their terms, and enable nothing by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from filterproxy.checks.dnslists import DnsListsCheck, DnsListsConfig
from filterproxy.config.models import DEFAULT_CHECKS
from filterproxy.core.errors import ConfigError
from filterproxy.services.dns_lists import load_definitions
from filterproxy.testing import FakeResolver, make_context, make_site, make_transaction

ROOT = Path(__file__).parents[4]
FREE = sorted((ROOT / "rules" / "dnslists").glob("*.yml"))
BY_AGREEMENT = sorted((ROOT / "rules" / "dnslists" / "agreement").glob("*.yml"))
PATTERNS = ["rules/dnslists/*.yml", "rules/dnslists/agreement/*.yml"]
KEYS = {"spamhaus_dqs": "dqskey", "abusix": "abusixkey"}


def make(**config) -> DnsListsCheck:
    return DnsListsCheck(DnsListsConfig(**config), make_context(site=make_site(base_dir=ROOT)))


@pytest.mark.parametrize("file", [*FREE, *BY_AGREEMENT], ids=lambda file: file.stem)
def test_a_file_says_the_terms_and_every_code_what_it_means(file):
    head = file.read_text(encoding="utf-8").partition("\nlists:")[0]
    assert head.startswith("# ") and "# Terms" in head
    lists = load_definitions([str(file)], ROOT)
    assert lists
    for entry in lists.values():
        assert all(code.description for code in entry.codes.values()), entry.name


def test_all_go_together_and_the_known_lists_are_there():
    names = {symbol.name for symbol in make(definitions=PATTERNS, keys=KEYS).declared_symbols()}
    wanted = {"SPAMHAUS_SBL", "SPAMHAUS_ZRD", "SPAMCOP", "SURBL_PHISHING", "URIBL_BLACK", "DNSWL_HIGH", "MSBL_EBL"}
    assert wanted <= names


def test_nothing_is_asked_that_was_not_asked_for():
    assert "dnslists" not in DEFAULT_CHECKS
    assert make()._lists == []


def test_without_a_key_the_pattern_of_the_free_lists_needs_none():
    lists = load_definitions(["rules/dnslists/*.yml"], ROOT)
    asked = {entry.name for entry in lists.values() if entry.zone_for({})}
    assert asked == set(lists) - {"spamhaus_zrd", "spamhaus_authbl"}
    assert not any(".dq." in entry.zone_for({}) for entry in lists.values())


async def test_one_key_moves_every_list_of_spamhaus_to_the_customers_zones():
    resolver = FakeResolver()
    config = DnsListsConfig(definitions=["rules/dnslists/spamhaus*.yml"], keys={"spamhaus_dqs": "DQSkey"})
    check = DnsListsCheck(config, make_context(resolver=resolver, site=make_site(base_dir=ROOT)))
    await check.inspect(make_transaction(b"From: a@b.example\r\n\r\nhttp://c.example/\r\n", client="203.0.113.5"))
    asked = {name for name, _ in resolver.asked}
    assert asked and all(name.endswith(".dq.spamhaus.net") for name in asked)
    assert "2.0.0.127.dqskey.zen.dq.spamhaus.net" in asked
    await check.close()


def test_a_list_of_ones_own_replaces_a_ready_made_one():
    own = {"name": "spamcop", "zone": "mirror.example", "query": ["client"], "codes": {"127.0.0.2": {"symbol": "MINE"}}}
    check = make(definitions=["rules/dnslists/spamcop.yml"], lists=[own])
    assert [symbol.name for symbol in check.declared_symbols()][2:] == ["MINE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lists: [{name: x}]", "query"),
        ("lists: [{name: x, zone: z.example, query: [client], codes: {'1.2.3.4': {symbol: X}}}]", "is no return code"),
        ("lists:\n  - {name: x, zone: z.example, query: [clients], codes: {127.0.0.2: {symbol: X}}}", "clients"),
        ("list: []", "unknown key"),
        ("lists: [", "not YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_place(tmp_path, text, message):
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_definitions(["x.yml"], tmp_path)
    assert "x.yml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file: .*absent\.yml"):
        load_definitions(["absent.yml"], tmp_path)
