"""SPF (RFC 7208): pyspf decides, our resolver asks.

The one rule: pyspf never touches the network. It is evaluated on the DNS answers known so far; what it misses is asked
asynchronously and it is evaluated again. A pass costs some 50 µs and a record needs a handful of them, while a thread
for each evaluation would wait as long as the slowest zone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import spf

from filterproxy.core.errors import CheckError
from filterproxy.core.ports import DnsAnswer, DnsStatus, Resolver
from filterproxy.message.domains import ascii_domain

Question = tuple[str, str]

# One round a term that asks DNS (RFC 7208 section 4.6.4), its own record, and the explanation.
MAX_ROUNDS = 16
MAX_QUESTIONS = 128
# No honest record comes near these; they keep the evaluator's cost in proportion to a message.
MAX_RECORD = 8192
MAX_TERM = 256
MAX_EXPLANATION = 512

_MACRO_AT_END = re.compile(r"%(?:[%_-]|\{[^{}%]*\})\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class SpfResult:
    """`result` is RFC 7208's word, `domain` whose record decided, `reason` why; `explanation` is the domain owner's
    text for a fail, printable ASCII of one line, empty when there is none."""

    result: str
    domain: str
    reason: str = ""
    explanation: str = ""


class _Missing(Exception):
    """The evaluation needs an answer that is not known yet."""


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """One evaluation on a table of answers; `missing` collects what the table lacks."""

    def __init__(self, answers: dict[Question, DnsAnswer], client: str, local: str, domain: str, helo: str) -> None:
        super().__init__(i=client, s=f"{local}@{domain}", h=helo, strict=True)
        self.l, self.o, self.d = local, domain, domain  # pyspf cuts at the first @, an address ends at the last
        self.missing: set[Question] = set()
        self._answers = answers

    def dns(self, name: str, qtype: str, cnames: Any = None, ignore_void: bool = False) -> list[Any]:
        """Return the records known for the question, in pyspf's forms; count a void lookup (section 4.6.4)."""
        name = str(name).removesuffix(".").lower()
        if not all(0 < len(label) < 64 for label in name.split(".")):
            return []
        answer = self._answers.get((name, qtype))
        if answer is None:
            self.missing.add((name, qtype))
            raise _Missing
        if answer.status is DnsStatus.TEMPERROR:
            raise spf.TempError(f"DNS {answer.reason}")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} void lookups")
        return [(record,) for record in answer.records] if qtype == "TXT" else list(answer.records)

    def dns_spf(self, domain: str) -> str | None:
        record: str | None = super().dns_spf(domain)
        if record and (len(record) > MAX_RECORD or any(len(term) > MAX_TERM for term in record.split(" "))):
            raise spf.PermError("record or term too long")
        return record

    def validate_mechanism(self, mech: str) -> tuple[Any, ...]:
        """Read a mechanism; an include of the own domain matters only when it is reached, and ends at the limits."""
        try:
            found: tuple[Any, ...] = super().validate_mechanism(mech)
        except spf.PermError as error:
            if "trivial recursion" not in str(error):
                raise
            return mech, "include", self.d, self.cidrmax, spf.RESULTS.get(mech[0], "pass")
        return found

    def get_explanation(self, spec: str) -> str | None:
        texts = self.dns_txt(spec, ignore_void=True) if spec else []
        return super().get_explanation(spec) if len(texts) == 1 and len(texts[0]) <= MAX_EXPLANATION else None

    def expand_domain(self, arg: str) -> str:
        """Check the domain-spec's end in linear time (pyspf's expression is quadratic), then expand it."""
        if arg and not _MACRO_AT_END.search(arg) and not _ends_in_toplabel(arg):
            raise spf.PermError("Invalid domain found (use FQDN)", arg)
        return str(self.expand(arg))

    def validated_ptrs(self) -> list[str]:
        """Return the client's confirmed names; a DNS error drops the name, not the check (section 5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:
            return []
        return [name for name in names if self._confirmed(name)]

    def _confirmed(self, name: str) -> bool:
        try:
            return bool(self.cidrmatch(self.dns_a(name, self.A), self.cidrmax))
        except spf.TempError:
            return False


def _ends_in_toplabel(text: str) -> bool:
    """Tell whether the text ends in `.toplabel` (RFC 7208 section 7.1)."""
    _, dot, label = text.removesuffix(".").rpartition(".")
    plain = label.replace("-", "")
    if not dot or not plain.isascii() or not plain.isalnum() or label[0] == "-" or label[-1] == "-":
        return False
    return "-" in label or not label.isdigit()


async def evaluate(resolver: Resolver, *, client: str, identity: str, helo: str, receiver: str) -> SpfResult:
    """Return SPF's result for one identity: a MAIL FROM address, or `postmaster@NAME` for a HELO name.

    `client` is an IP address in text (ValueError otherwise). Raises CheckError when the evaluator itself fails.
    """
    local, _, domain = identity.rpartition("@")
    domain = _readable(ascii_domain(domain))
    local = _readable(local) or "postmaster"
    answers: dict[Question, DnsAnswer] = {}
    query = _Query(answers, client, local, domain, _readable(helo))
    # Most domains of a message have no record: that takes no evaluation, and one that has spares its first round.
    if all(0 < len(label) < 64 for label in domain.split(".")):
        question = domain.lower(), "TXT"
        await _fetch(resolver, answers, question, query.A)
        if _is_without_record(answers[question]):
            return SpfResult("none", domain)
    for _ in range(1, MAX_ROUNDS):
        query = _Query(answers, client, local, domain, _readable(helo))
        query.r = receiver
        outcome = _run(query)
        if outcome is not None:
            return outcome
        if len(answers) > MAX_QUESTIONS:
            break
        fetches = [_fetch(resolver, answers, question, query.A) for question in query.missing]
        await (fetches[0] if len(fetches) == 1 else asyncio.gather(*fetches))
    return SpfResult("permerror", domain, "too many DNS questions")


def _is_without_record(answer: DnsAnswer) -> bool:
    """Tell whether a domain's TXT records hold nothing that could be an SPF record, good or bad."""
    return answer.status is not DnsStatus.TEMPERROR and not any(
        record[:6].lower() == b"v=spf1" for record in answer.records
    )


def _readable(text: str) -> str:
    """Return text that pyspf can work on: octets that were no UTF-8 are replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _run(query: _Query) -> SpfResult | None:
    """Evaluate once; None when answers were missing (pyspf swallows that for explanations, hence the set)."""
    try:
        result, _, text = query.check()
    except _Missing:
        return None
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError, RecursionError) as error:
        raise CheckError(f"the SPF evaluator failed on the record of {query.d!r}: {error!r}") from error
    if query.missing:
        return None
    explained = result == "fail" and text != spf.EXPLANATIONS["fail"]
    reason = query.prob if result in ("temperror", "permerror") else query.mechanism or ""
    return SpfResult(result, query.o, _safe(str(reason)), _safe(text) if explained else "")


def _safe(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()[:200]


async def _fetch(resolver: Resolver, answers: dict[Question, DnsAnswer], question: Question, address_type: str) -> None:
    """Ask one question, and at once the addresses that an MX or PTR answer will be followed by."""
    name, rtype = question
    answer = answers[question] = await resolver.resolve(name, rtype)
    followed = _FOLLOWED.get(rtype)
    if followed is None:
        return
    wanted = {(host, address_type) for host in followed(answer)} - answers.keys()
    found = await asyncio.gather(*(resolver.resolve(*follower) for follower in wanted))
    answers.update(zip(wanted, found, strict=True))


_FOLLOWED: dict[str, Callable[[DnsAnswer], list[str]]] = {
    "MX": lambda answer: [host for _, host in sorted(answer.records)[: spf.MAX_MX] if host],
    "PTR": lambda answer: list(answer.records[: spf.MAX_PTR]),
}
