"""One DNS list (RFC 5782): asked, watched, and switched off while it answers with anything but listings.

The one rule: only an answer inside 127.0.0.0/8 that is no error code is a listing. A list that refuses us, answers with
other addresses, lists everything or nothing answers at all is off until a re-test says otherwise. Its zone may hold a
customer's key, so messages to the operator give its name only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

from filterproxy.core.ports import Clock, DnsAnswer, DnsStatus, Log, Resolver

FAILURES_BEFORE_OFF = 5
_LISTINGS = IPv4Network("127.0.0.0/8")
_ERRORS = IPv4Network("127.255.255.0/24")  # .252 typing error, .254 public resolver, .255 too many queries
_NEVER_LISTED = {"address": "1.0.0.127", "domain": "invalid"}

Matcher = Callable[[IPv4Address], bool]


def parse_code(pattern: str) -> Matcher:
    """Return a test for a return code: `127.0.0.2`, `127.0.0.4-7`, `127.0.0.0/28`, or `bit:8` for a bitmask.

    Raises ValueError that says what is wrong.
    """
    try:
        return _parse_code(pattern.strip())
    except ValueError as error:
        raise ValueError(
            f"{pattern!r} is no return code ({error}); write 127.0.0.2, 127.0.0.4-7, 127.0.0.0/28 or bit:8"
        ) from None


def _parse_code(pattern: str) -> Matcher:
    if pattern.startswith("bit:"):
        mask = int(pattern.removeprefix("bit:"), 0)
        if not 0 < mask < 1 << 24:
            raise ValueError("a bit is between 1 and 16777215")
        return lambda code: bool(int(code) & mask)
    if "/" in pattern:
        network = IPv4Network(pattern)
        if not network.subnet_of(_LISTINGS):
            raise ValueError("codes are in 127.0.0.0/8")
        return lambda code: code in network
    first, _, last = pattern.partition("-")
    low = IPv4Address(first)
    high = IPv4Address(last if "." in last else f"{first.rpartition('.')[0]}.{last}") if last else low
    if not (low in _LISTINGS and high in _LISTINGS and low <= high):
        raise ValueError("codes are in 127.0.0.0/8, lowest first")
    return lambda code: low <= code <= high


class DnsList:
    """A list's zone and whether it may be believed. `kinds` says what it lists: `address`, `domain` or both.

    `test_interval` and `retest_interval` are seconds between self-tests of a list that is on, and of one that is off.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        kinds: frozenset[str],
        resolver: Resolver,
        clock: Clock,
        log: Log,
        *,
        test_interval: float = 3600.0,
        retest_interval: float = 300.0,
    ) -> None:
        self.name = name
        self.off_because = ""
        self._zone, self._kinds = zone.strip(".").lower(), kinds
        self._resolver, self._clock, self._log = resolver, clock, log
        self._test_interval, self._retest_interval = test_interval, retest_interval
        self._next_test = 0.0
        self._failures = 0
        self._test: asyncio.Task[None] | None = None
        self._tested = False

    async def lookup(self, labels: str) -> tuple[IPv4Address, ...]:
        """Return the list's codes for reversed address labels or a domain; empty when not listed, or off."""
        await self._ready()
        if self.off_because:
            return ()
        return self._judge(await self._ask(labels))

    async def _ask(self, labels: str) -> DnsAnswer:
        return await self._resolver.resolve(f"{labels}.{self._zone}", "A")

    def _judge(self, answer: DnsAnswer) -> tuple[IPv4Address, ...]:
        """Return the listings of an answer; switch the list off when it holds something else."""
        if answer.status is DnsStatus.TEMPERROR:
            self._failures += 1
            if self._failures >= FAILURES_BEFORE_OFF:
                self._switch_off("it does not answer")
            return ()
        self._failures = 0
        trouble = _trouble(answer)
        if trouble:
            self._switch_off(trouble)
            return ()
        return tuple(IPv4Address(record) for record in answer.records)

    async def _ready(self) -> None:
        """Start a self-test when one is due; wait only for the very first."""
        if self._clock.monotonic() >= self._next_test:
            self.start_test()
        if not self._tested and self._test is not None:
            await asyncio.shield(self._test)

    def start_test(self) -> None:
        """Test the list in the background, unless a test is running."""
        if self._test is None or self._test.done():
            self._next_test = self._clock.monotonic() + self._test_interval
            self._test = asyncio.get_running_loop().create_task(self._self_test())

    async def _self_test(self) -> None:
        """Ask for what must never be listed (RFC 5782 section 5): a list that has it lists everything."""
        trouble = ""
        for kind in sorted(self._kinds):
            answer = await self._ask(_NEVER_LISTED[kind])
            if answer.status is DnsStatus.TEMPERROR:
                trouble = trouble or self.off_because  # nothing new is known
            elif answer.records:
                trouble = trouble or _trouble(answer) or "it lists everything"
        self._tested = True
        if trouble:
            self._switch_off(trouble)
        elif self.off_because:
            self.off_because, self._failures = "", 0
            self._log.info("list %s is on again", self.name)

    def _switch_off(self, reason: str) -> None:
        if reason != self.off_because:
            self._log.warning("list %s is switched off: %s", self.name, reason)
        self.off_because = reason
        self._next_test = self._clock.monotonic() + self._retest_interval

    async def close(self) -> None:
        """Stop a running self-test."""
        if self._test is not None:
            self._test.cancel()
            await asyncio.gather(self._test, return_exceptions=True)


def _trouble(answer: DnsAnswer) -> str:
    """Return why an answer is no listing, empty when it is one (or none at all)."""
    for code in map(IPv4Address, answer.records):
        if code not in _LISTINGS:
            return f"it answers {code}, which is no listing"
        if code in _ERRORS:
            return f"it refuses our queries ({code})"
    return ""
