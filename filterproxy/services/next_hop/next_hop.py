"""The next hop of a listener: one server or several, by recipient domain if the configuration says so.

The rule: another server is tried only while nothing of a message has been said to the first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from filterproxy.config.endpoints import Providers, builtin_providers, endpoints
from filterproxy.config.next_hop import HopGroup
from filterproxy.config.next_hop import NextHop as NextHopConfig
from filterproxy.core.errors import NextHopError
from filterproxy.services.next_hop.connection import NextHopConnection
from filterproxy.services.next_hop.hop import Hop

Trouble = Callable[[str, NextHopError], None]


class NextHop:
    """One next hop as configured.

    `hostname` gives our EHLO name; a reload may change it. `trouble` hears of a server that could not be used although
    another one may do: its name and the error. Raises config.endpoints.HopProblem and ConfigError for what check-config
    would have refused.
    """

    def __init__(
        self,
        config: HopGroup,
        hostname: Callable[[], str],
        *,
        providers: Providers | None = None,
        base_dir: Path = Path(),
        trouble: Trouble = lambda name, error: None,
    ) -> None:
        known = builtin_providers() if providers is None else providers
        self.hops = tuple(Hop(endpoint, hostname) for endpoint in endpoints(config, known, base_dir))
        self.address = str(self.hops[0].endpoint.address)
        self._retry_after = config.retry_after
        self._trouble = trouble
        routes = config.routes if isinstance(config, NextHopConfig) else {}
        self._routes = {
            domain.lower().rstrip("."): NextHop(
                group, hostname, providers=providers, base_dir=base_dir, trouble=trouble
            )
            for domain, group in routes.items()
        }

    @property
    def routed(self) -> bool:
        """Tell whether the next hop depends on the recipient."""
        return bool(self._routes)

    def route(self, domain: str) -> NextHop:
        """Return the next hop for a recipient domain: its own, that of the nearest domain above it, or this one."""
        if not self._routes:
            return self
        domain = domain.lower().rstrip(".")
        return next((self._routes[name] for name in _candidates(domain) if name in self._routes), self)

    def everywhere(self) -> Iterator[Hop]:
        """Yield every server, those of the routes too."""
        yield from self.hops
        for group in self._routes.values():
            yield from group.hops

    async def connect(self) -> NextHopConnection:
        """Return a connection that is ready for a transaction, a kept one if there is; raise NextHopError."""
        return await self._first(pooled=True)

    async def open(self, *, authenticate: bool = True) -> NextHopConnection:
        """Return a new connection that is ready for a transaction; raise NextHopError.

        `authenticate=False` leaves out the configured credentials: the client's own are passed through.
        """
        return await self._first(pooled=False, authenticate=authenticate)

    def failed(self, connection: NextHopConnection) -> bool:
        """Note that a server did not do although it could be reached; tell whether another one is worth a try."""
        if connection.hop is not None:
            self._down(connection.hop)
        return any(hop is not connection.hop and hop.down_until <= _now() for hop in self.hops)

    def release(self, connection: NextHopConnection) -> None:
        """Take back a connection: kept when all went well on it and there is room, else closed as its state allows."""
        if connection.hop is None:
            connection.quit()
        else:
            connection.hop.release(connection)

    def close(self) -> None:
        """Close the idle connections."""
        for hop in self.everywhere():
            hop.close()

    async def _first(self, *, pooled: bool, authenticate: bool = True) -> NextHopConnection:
        """Return a connection to the first server that can be reached."""
        last: NextHopError | None = None
        for hop in self._in_order():
            if pooled and (kept := hop.idle()) is not None:
                return kept
            try:
                connection = await hop.open(authenticate=authenticate)
            except NextHopError as error:
                if len(self.hops) > 1:
                    self._trouble(hop.endpoint.name, error)
                self._down(hop)
                last = error
            else:
                hop.down_until = 0.0
                return connection
        assert last is not None
        raise last

    def _in_order(self) -> list[Hop]:
        """Return the servers in the order to try: by weight, then backups, then those that were down lately."""
        if len(self.hops) == 1:
            return list(self.hops)
        now = _now()
        # Efraimidis and Spirakis' weighted shuffle: the first place falls to each with a chance as its weight.
        drawn = {hop: random.random() ** (1 / hop.endpoint.settings.weight) for hop in self.hops}
        return sorted(
            self.hops,
            key=lambda hop: (max(hop.down_until - now, 0.0), hop.endpoint.settings.backup, -drawn[hop]),
        )

    def _down(self, hop: Hop) -> None:
        hop.down_until = _now() + self._retry_after


def _now() -> float:
    return asyncio.get_running_loop().time()


def _candidates(domain: str) -> Iterator[str]:
    """Yield the names under which a route for the domain may stand, nearest first."""
    yield domain
    while domain:
        _, _, domain = domain.partition(".")
        if domain:
            yield f".{domain}"
