"""One examination: everything is looked at, at once, within a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from filterproxy.app.compose import config_types, make_policy, make_site
from filterproxy.app.doctor.certificates import examine_certificates
from filterproxy.app.doctor.dns_lists import examine_dns_lists
from filterproxy.app.doctor.finding import Examination, Finding, Patient, Status, System
from filterproxy.app.doctor.knowledge import examine_knowledge
from filterproxy.app.doctor.listeners import examine_listeners
from filterproxy.app.doctor.machine import examine_clock, examine_disk, examine_store
from filterproxy.app.doctor.name_servers import examine_name_servers
from filterproxy.app.doctor.names import examine_domains, examine_hostname
from filterproxy.app.doctor.next_hops import examine_next_hops
from filterproxy.app.empty_store import EmptyStore
from filterproxy.app.errors import fault_lines
from filterproxy.config.loader import Loaded, load
from filterproxy.config.paths import find_config
from filterproxy.core.check import CheckContext
from filterproxy.core.errors import FilterproxyError
from filterproxy.pipeline import CheckSet, build, discover
from filterproxy.services.clock import SystemClock
from filterproxy.services.resolver import create_resolver
from filterproxy.services.scan_pool import ThreadScanPool

TIME = 20.0
_MORE_TIME = "give it more time with --timeout"

# In the order in which they are told: what comes first explains what comes later.
_EXAMINATIONS: dict[str, Examination] = {
    "resolver": examine_name_servers,
    "DNS lists": examine_dns_lists,
    "listeners": examine_listeners,
    "certificates": examine_certificates,
    "next hop": examine_next_hops,
    "model, rules": examine_knowledge,
    "store": examine_store,
    "disk": examine_disk,
    "clock": examine_clock,
    "hostname": examine_hostname,
    "own domains": examine_domains,
}


async def examine(path: Path | None, *, seconds: float = TIME, system: System | None = None) -> list[Finding]:
    """Return what there is to say about the installation of a configuration file, in no more than those seconds.

    A configuration that cannot be read is a finding, and the only one.
    """
    try:
        loaded = load(find_config(path), config_types(discover()))
    except FilterproxyError as error:
        advice = "mend it; `filterproxy check-config` says when all is well"
        return [Finding("configuration", Status.PROBLEM, line, advice) for line in fault_lines(error)]
    findings = [Finding("configuration", Status.OK, f"{loaded.path or 'defaults, without a file'}")]
    deadline = asyncio.get_running_loop().time() + seconds
    async with _admitted(loaded, system or System(), deadline) as (patient, troubles):
        done = await asyncio.gather(*(_within(deadline, *each, patient) for each in _EXAMINATIONS.items()))
    return [*findings, *troubles, *(finding for found in done for finding in found)]


async def _within(deadline: float, area: str, examination: Examination, patient: Patient) -> Sequence[Finding]:
    try:
        async with asyncio.timeout_at(deadline):
            return await examination(patient)
    except TimeoutError:
        return [Finding(area, Status.PROBLEM, "took too long to look at", _MORE_TIME)]
    except Exception as error:  # noqa: BLE001 - one question that cannot be asked must not hide the others
        advice = "please report this as a bug of the filter"
        return [Finding(area, Status.PROBLEM, f"could not be looked at: {type(error).__name__}: {error}", advice)]


class _Notes:
    """A check's log: its warnings become findings. What DNS lists say is told elsewhere."""

    def __init__(self, area: str, findings: list[Finding]) -> None:
        self._area, self._findings = area, findings

    def warning(self, message: str, *args: object) -> None:
        """Keep a warning."""
        if self._area != "dnslists":
            advice = "see docs/operations.md, or `filterproxy explain` and the documentation of the check"
            self._findings.append(Finding(self._area, Status.WARNING, message % args if args else message, advice))

    def info(self, message: str, *args: object) -> None:
        """Say nothing."""


@asynccontextmanager
async def _admitted(loaded: Loaded, system: System, deadline: float) -> AsyncIterator[tuple[Patient, list[Finding]]]:
    """Yield what is to be examined, with its checks started, and what was wrong with those."""
    clock, pool, troubles = SystemClock(), ThreadScanPool(), list[Finding]()
    resolver = create_resolver(loaded.settings.dns, clock)
    site = make_site(loaded)

    def context(name: str) -> CheckContext:
        return CheckContext(resolver, EmptyStore(), pool, clock, _Notes(name, troubles), site)

    checks = await _started(loaded, context, troubles, deadline)
    try:
        yield Patient(loaded, site, checks, resolver, clock, system), troubles
    finally:
        await checks.close()
        await resolver.close()
        pool.close()


async def _started(
    loaded: Loaded, context: Callable[[str], CheckContext], troubles: list[Finding], deadline: float
) -> CheckSet:
    """Return the checks, started; when they cannot all be had, say why, and have at least the DNS lists tested."""
    types = discover()
    advice = "mend it: the filter does not start so; `filterproxy check-config` says when all is well"
    try:
        checks = build(types, loaded.checks, context)
        make_policy(loaded, checks, types)
        async with asyncio.timeout_at(deadline):
            await checks.start()
    except TimeoutError:
        troubles.append(Finding("checks", Status.PROBLEM, "a check takes too long to start", _MORE_TIME))
    except FilterproxyError as error:
        troubles += [Finding("checks", Status.PROBLEM, line, advice) for line in fault_lines(error)]
    else:
        return checks
    with contextlib.suppress(FilterproxyError):
        return build(types, {name: config for name, config in loaded.checks.items() if name == "dnslists"}, context)
    return CheckSet()
