"""DMARC zones and messages made at random, for comparing two implementations on what nobody thought of."""

from __future__ import annotations

import random

from tests.conformance.zones import SERVFAIL

Zone = dict[tuple[str, str], list[str] | str]
Case = tuple[str, Zone, list[str], list[str]]  # Author Domain, DNS, domains that SPF and DKIM passed

_BASES = ("example.com", "shop.example.co.uk", "co.uk", "test", "example.test")
_DEPTHS = (0, 0, 0, 1, 1, 2, 3, 6, 7, 8, 9)
_TAGS = (
    ("p", ("none", "quarantine", "reject", "Reject", "bogus"), 0.9),
    ("sp", ("none", "quarantine", "reject", "bogus"), 0.3),
    ("np", ("none", "quarantine", "reject", "bogus"), 0.3),
    ("psd", ("y", "n", "u", "bogus"), 0.35),
    ("t", ("y", "n"), 0.2),
    ("adkim", ("r", "s", "bogus"), 0.3),
    ("aspf", ("r", "s"), 0.3),
    ("rua", ("mailto:a@b.example", "nobody", "https://b.example/", "mailto:a@b.example!10m"), 0.3),
    ("pct", ("0", "50"), 0.1),
    ("p", ("none",), 0.02),  # twice
)


def cases(seed: int, count: int) -> list[Case]:
    """Return that many cases."""
    chance = random.Random(seed)
    return [_case(chance) for _ in range(count)]


def _case(chance: random.Random) -> Case:
    author = _domain(chance)
    others = [_domain(chance), _domain(chance), f"y.{author}", author.partition(".")[2] or author, author]
    zone: Zone = {}
    for name in sorted({name for domain in (author, *others) for name in _and_above(domain)}):
        if chance.random() < 0.35:
            zone[f"_dmarc.{name}", "TXT"] = _records(chance)
        if chance.random() < 0.1:
            zone[name, "A"] = ["192.0.2.1"]
    spf = [domain for domain in others if chance.random() < 0.15][:1]
    return author, zone, spf, [domain for domain in others if chance.random() < 0.3]


def _domain(chance: random.Random) -> str:
    labels = [chance.choice(("a", "b", "mail")) for _ in range(chance.choice(_DEPTHS))]
    return ".".join([*labels, chance.choice(_BASES)])


def _and_above(domain: str) -> list[str]:
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def _records(chance: random.Random) -> list[str] | str:
    kind = chance.random()
    if kind < 0.04:
        return SERVFAIL
    records = [_record(chance) for _ in range(2 if kind < 0.1 else 1)]
    return [*records, "v=spf1 -all"] if kind > 0.9 else records


def _record(chance: random.Random) -> str:
    tags = [f"{tag}={chance.choice(values)}" for tag, values, share in _TAGS if chance.random() < share]
    if chance.random() < 0.3:
        chance.shuffle(tags)
    return "v=DMARC1" + "".join(f";{chance.choice(('', ' '))}{tag}" for tag in tags) + chance.choice(("", ";"))
