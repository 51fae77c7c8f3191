"""One DNS list (RFC 5782): asked, tested, and switched off while it answers with anything but listings.

The one rule: only an answer inside 127.0.0.0/8 that is no error code is a listing. A list that refuses us, answers with
other addresses, lists everything, or is gone, is off until a re-test says otherwise. Its zone may hold a customer's
key, so messages to the operator give its name only.

| state | until |
|---|---|
| untested | the first self-test ends; a lookup waits for it |
| on | a test or an answer speaks against it |
| off (a reason) | a re-test speaks for it |
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from filterproxy.core.ports import CheckMetrics, Clock, DnsAnswer, DnsStatus, Log, Resolver
from filterproxy.services.dns_lists.codes import LISTINGS, Matcher, parse_code
from filterproxy.services.dns_lists.definition import NO_TEST, ListConfig
from filterproxy.services.dns_lists.subjects import address_hash
from filterproxy.services.ip_addresses import parse_ip, reversed_labels

FAILURES_BEFORE_OFF = 5
SOUND_FOR = 60.0  # seconds after a test in which a listing is believed without asking again
QUICK_RETEST = 15.0  # seconds until a list that does not answer is tried again; doubled each time
_ERRORS = IPv4Network("127.255.255.0/24")  # .252 typing error, .254 public resolver, .255 too many queries
_MISSING = (DnsStatus.NXDOMAIN, DnsStatus.NODATA)
# RFC 5782 section 5; a list of IPv4 addresses alone lacks the entry for IPv6, and may.
_NEVER_LISTED = {"address": "1.0.0.127", "domain": "invalid", "hash": "invalid"}
_ALWAYS_LISTED = {"address": "2.0.0.127", "domain": "test"}
_NEVER_LISTED_IPV6, _ALWAYS_LISTED_IPV6 = (
    f"{octet}.0.0.0.0.0.f.7.f.f.f.f" + 20 * ".0" for octet in (1, 2)
)  # ::FFFF:7F00:1 and ::FFFF:7F00:2


class Trouble(StrEnum):
    """Why a list is off, as a word for metrics."""

    REFUSED = "refused"
    FOREIGN = "foreign_answer"
    WILDCARD = "lists_everything"
    GONE = "gone"
    SILENT = "no_answer"


_LISTS_EVERYTHING = (Trouble.WILDCARD, "it lists everything")


@dataclass(frozen=True, slots=True)
class ListState:
    """Whether a list may be believed: `off_because` is empty while it is on; `doubt` is what else is odd about it.

    `trouble` is the kind of reason, None while it is on.
    """

    tested: bool = False
    off_because: str = ""
    doubt: str = ""
    trouble: Trouble | None = None


class DnsList:
    """A list's zone and whether it may be believed.

    `test_interval` and `retest_interval` are seconds between self-tests of a list that is on, and of one that is off.
    Belongs to the event loop that first asks; `await close()` when done.
    """

    def __init__(
        self,
        config: ListConfig,
        zone: str,
        resolver: Resolver,
        clock: Clock,
        log: Log,
        metrics: CheckMetrics,
        *,
        test_interval: float = 3600.0,
        retest_interval: float = 300.0,
    ) -> None:
        self.name = config.name
        self.state = ListState()
        self._config, self._zone = config, zone.strip(".").lower()
        self._refused: tuple[Matcher, ...] = tuple(map(parse_code, config.refused))
        self._resolver, self._clock, self._log, self._metrics = resolver, clock, log, metrics
        self._test_interval, self._retest_interval = test_interval, retest_interval
        self._next_test = self._sound_until = 0.0
        self._failures = self._silent_tests = 0
        self._test: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def lookup(self, labels: str) -> tuple[IPv4Address, ...] | None:
        """Return the list's codes for reversed address labels, a domain or a hash; empty when not listed.

        None when nobody knows: the list is off or did not answer.
        """
        await self._ready()
        if self.state.off_because:
            return None
        codes = self._judge(await self._ask(labels))
        if codes and self._clock.monotonic() >= self._sound_until:
            await self._confirm()
        return None if self.state.off_because else codes

    async def _confirm(self) -> None:
        """Ask again for what must never be listed: a list that begins to list everything would hit all mail."""
        never = await asyncio.gather(*(self._ask(labels) for labels in self._never()))
        wrong = next((answer for answer in never if answer.records), None)
        if wrong is not None:
            self._switch_off(*(self._trouble(wrong) or _LISTS_EVERYTHING))
        else:
            self._sound_until = self._clock.monotonic() + SOUND_FOR

    async def _ask(self, labels: str) -> DnsAnswer:
        return await self._resolver.resolve(f"{labels}.{self._zone}", "A")

    def _judge(self, answer: DnsAnswer) -> tuple[IPv4Address, ...] | None:
        """Return the listings of an answer; None, and the list may be off, when it holds something else."""
        if answer.status is DnsStatus.TEMPERROR:
            self._failures += 1
            if self._failures >= FAILURES_BEFORE_OFF:
                self._switch_off(Trouble.SILENT, "it does not answer")
            return None
        self._failures = 0
        trouble = self._trouble(answer)
        if trouble:
            self._switch_off(*trouble)
            return None
        return tuple(IPv4Address(record) for record in answer.records)

    def _trouble(self, answer: DnsAnswer) -> tuple[Trouble, str] | None:
        """Return why an answer is no listing, None when it is one (or none at all)."""
        for code in map(IPv4Address, answer.records):
            if code not in LISTINGS:
                return Trouble.FOREIGN, f"it answers {code}, which is no listing"
            if code in _ERRORS or any(matches(code) for matches in self._refused):
                return Trouble.REFUSED, f"it refuses our queries ({code})"
        return None

    async def _ready(self) -> None:
        """Start a self-test when one is due; wait only for the very first."""
        if self._clock.monotonic() >= self._next_test:
            self.start_test()
        if not self.state.tested and self._test is not None:
            await asyncio.shield(self._test)

    async def test(self) -> ListState:
        """Test the list now and return what came of it."""
        self.start_test()
        if self._test is not None:
            await asyncio.shield(self._test)
        return self.state

    def start_test(self) -> None:
        """Test the list in the background, unless a test is running."""
        if self._test is None or self._test.done():
            self._next_test = self._clock.monotonic() + self._test_interval
            self._test = asyncio.get_running_loop().create_task(self._self_test())

    async def _self_test(self) -> None:
        """Ask for what must never and what must always be listed (RFC 5782 section 5)."""
        kinds = sorted(self._config.kinds)
        never, must = self._never(), self._must_have(kinds)
        also_never = [_NEVER_LISTED_IPV6] if "address" in kinds and self._config.ipv6 else []
        *answers, zone = await asyncio.gather(
            *(self._ask(labels) for labels in (*never, *must, *also_never)), self._resolver.resolve(self._zone, "NS")
        )
        gone = zone.status is DnsStatus.NXDOMAIN  # then nothing is below the name either (RFC 8020)
        listed = any(answer.records for answer in answers[len(never) + len(must) :])
        self._conclude(answers[: len(never)], answers[len(never) : len(never) + len(must)], gone, listed)
        self._schedule()

    def _conclude(
        self, never: Sequence[DnsAnswer], must: Sequence[DnsAnswer], gone: bool, wrongly_listed: bool
    ) -> None:
        """Take the answers for what must never and what must always be listed."""
        answers = (*never, *must)
        trouble = next((found for found in map(self._trouble, answers) if found), None)
        missing = bool(must) and all(answer.status in _MISSING for answer in must)
        unknown = [answer for answer in never if answer.status is DnsStatus.TEMPERROR]
        if len(unknown) == len(never) and not any(answer.records for answer in must):
            self._silent_tests += 1
            self._switch_off(Trouble.SILENT, "it does not answer")
        elif trouble:
            self._switch_off(*trouble)
        elif wrongly_listed or any(answer.records for answer in never):
            self._switch_off(*_LISTS_EVERYTHING)
        elif missing and (self._config.test or gone):
            self._switch_off(Trouble.GONE, "its test entry is gone" if self._config.test else "its zone is gone")
        elif not (self.state.off_because and unknown):
            self._switch_on("it lacks the test entry that every list has (RFC 5782)" if missing else "")
        if unknown:
            self._next_test = min(self._next_test, self._clock.monotonic() + self._retest_interval)

    def _never(self) -> list[str]:
        """Return the labels that the list must not have."""
        return [_NEVER_LISTED[kind] for kind in sorted(self._config.kinds)]

    def _must_have(self, kinds: Sequence[str]) -> list[str]:
        """Return the labels of which the list must have one."""
        test = self._config.test
        if test == NO_TEST:
            return []
        if not test:
            ipv6 = [_ALWAYS_LISTED_IPV6] if "address" in kinds and self._config.ipv6 else []
            return [_ALWAYS_LISTED[kind] for kind in kinds if kind in _ALWAYS_LISTED] + ipv6
        address = parse_ip(test)
        if address is not None:
            return [reversed_labels(address)]
        return [address_hash(test.lower(), self._config.hash) if "@" in test else test]

    def _switch_on(self, doubt: str) -> None:
        before, self.state = self.state, ListState(True, "", doubt)
        self._failures = self._silent_tests = 0
        self._sound_until = self._clock.monotonic() + SOUND_FOR
        if before.off_because:
            self._log.info("list %s is on again", self.name)
        if doubt and doubt != before.doubt:
            self._log.warning("list %s: %s", self.name, doubt)
        if before.off_because or not before.tested:
            self._metrics.dns_list(self.name, "", self)

    def _switch_off(self, word: Trouble, reason: str) -> None:
        if self._closed:
            return
        if reason != self.state.off_because:
            self._log.warning("list %s is switched off: %s", self.name, reason)
            self._metrics.dns_list(self.name, word.value, self)
        self.state = ListState(True, reason, trouble=word)
        wait = self._retest_interval
        if word is Trouble.SILENT:
            wait = min(wait, QUICK_RETEST * 2.0 ** min(self._silent_tests, 20))
        self._next_test = self._clock.monotonic() + wait
        self._schedule()

    def _schedule(self) -> None:
        """Have the next self-test begin by itself, however little mail there is."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        wait = max(self._next_test - self._clock.monotonic(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(wait, self.start_test)

    async def close(self) -> None:
        """Stop a running self-test, and those to come."""
        self._closed = True
        if self._test is not None:
            self._test.cancel()
            await asyncio.gather(self._test, return_exceptions=True)
        self._metrics.forget_dns_list(self.name, self)
        if self._timer is not None:
            self._timer.cancel()
