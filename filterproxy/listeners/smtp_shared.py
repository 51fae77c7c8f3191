"""What all sessions of one SMTP listener share; the rule: nothing in here belongs to one message."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from filterproxy.config.listeners import SmtpService as SmtpConfig
from filterproxy.core.action import Action
from filterproxy.core.errors import ConfigError, NextHopError
from filterproxy.core.ports import Site
from filterproxy.listeners.context import ListenerContext
from filterproxy.listeners.spool import Spool
from filterproxy.pipeline import Delivery, Pipeline
from filterproxy.services.ip_addresses import parse_ip
from filterproxy.services.next_hop import NextHop
from filterproxy.services.password_file import PasswordFile
from filterproxy.services.reverse_name import reverse_name
from filterproxy.services.server_tls import ServerTls

if TYPE_CHECKING:
    from filterproxy.listeners.smtp_session import SmtpSession


# Each check of a password takes 64 MiB for a moment.
_PASSWORDS_AT_ONCE = 2
# The start does not wait longer for a next hop that says nothing.
_FRONT_PROBE = 5.0


class OpenSessions:
    """The open sessions of a listener, whatever settings they began with."""

    def __init__(self) -> None:
        self.sessions: set[SmtpSession] = set()
        self.clients: Counter[str] = Counter()
        self.idle = asyncio.Event()
        self.idle.set()
        self.draining = False


class SmtpShared:
    """Configuration, TLS, passwords, next hop and the open sessions of a listener; raises ConfigError.

    A reload with other settings makes a new one beside it; both count the same sessions.
    """

    def __init__(
        self,
        config: SmtpConfig,
        pipelines: Callable[[], Pipeline],
        context: ListenerContext,
        sessions: OpenSessions | None = None,
    ) -> None:
        self.config = config
        self.pipelines = pipelines
        self.context = context
        self.next_hop = NextHop(
            config.next_hop,
            lambda: self.context.site.hostname,
            providers=context.providers,
            base_dir=context.site.base_dir,
            trouble=self._trouble,
        )
        self.after_queue = config.mode == "after_queue"
        self.front = config.mode == "front"
        self.lmtp = config.type == "lmtp"
        base_dir = context.site.base_dir
        self.tls = ServerTls(config.tls, base_dir) if config.tls else None
        self.passwords = (
            PasswordFile(base_dir / config.auth.file) if config.auth and config.auth.file is not None else None
        )
        self.password_turn = asyncio.Semaphore(_PASSWORDS_AT_ONCE)
        self.delivery = Delivery(
            listener=config.type,
            in_session=not self.after_queue,
            on_reject=Action.parse(config.on_reject),
            quarantine_fallback=Action.parse(config.quarantine_fallback),
            header_profile=config.headers,
            compat=config.compat,
        )
        self.normalize_newlines = (
            config.bare_newlines or ("normalize" if self.after_queue else "reject")
        ) == "normalize"
        self.open = sessions or OpenSessions()
        self._own = 0
        self._retired = False

    @property
    def draining(self) -> bool:
        """Tell whether the listener ends."""
        return self.open.draining

    @property
    def idle(self) -> asyncio.Event:
        """Return what is set while no session is open."""
        return self.open.idle

    @property
    def sessions(self) -> set[SmtpSession]:
        """Return the open sessions of the listener."""
        return self.open.sessions

    def retire(self) -> None:
        """Other settings are in use from now on: give the next hop's connections back once the last session goes."""
        self._retired = True
        self.next_hop.close()

    def _trouble(self, name: str, error: NextHopError) -> None:
        """Log that one of several servers cannot be used; the mail may go another way."""
        self.context.metrics.next_hop_error(error.stage)
        self.context.log.warning("next hop", f"{name} is tried last for a while: stage={error.stage} {error.reason}")

    async def name_of(self, address: str) -> str:
        """Return the confirmed reverse name of an address, empty when there is none or DNS does not answer."""
        resolver, parsed = self.context.resolver, parse_ip(address)
        if resolver is None or parsed is None or self.context.site.offline:
            return ""
        word, name = await reverse_name(resolver, parsed)
        return name if word == "pass" else ""

    async def check_front(self, site: Site | None = None) -> None:
        """Raise ConfigError when mode front would take no mail, as nothing says who may send where.

        A next hop that cannot be reached now is no reason not to start: strangers are refused until it can.
        """
        site = site or self.context.site
        if not self.front or site.relay_domains or site.local_networks or self.config.auth:
            return
        try:
            async with asyncio.timeout(_FRONT_PROBE):
                connection = await self.next_hop.open(authenticate=False)
        except (NextHopError, TimeoutError) as error:
            reason = error.reason if isinstance(error, NextHopError) else f"no answer within {_FRONT_PROBE:g} s"
            self.context.log.warning("front", f"{self.next_hop.address} cannot say whether it takes XCLIENT: {reason}")
            return
        offered = "ADDR" in connection.extensions.xclient
        connection.quit()
        if not offered:
            raise ConfigError(
                f"mode front needs relay_domains: the next hop {self.next_hop.address} does not offer XCLIENT, "
                "so it cannot decide who may send where",
                key="relay_domains",
                hint="smtpd_authorized_xclient_hosts in Postfix, or relay_domains here",
            )

    def new_spool(self) -> Spool:
        """Return where the next message is kept."""
        config = self.config
        folder = self.context.site.base_dir / config.spool_dir if config.spool_dir else None
        line_limit = None if self.after_queue else config.limits.line_length
        return Spool(config.limits.memory_size, folder, line_limit, normalize=self.normalize_newlines)

    def admit(self, session: SmtpSession) -> bool:
        """Count a session in when there is room for one more; tell whether there is."""
        if len(self.sessions) >= self.config.limits.connections:
            return False
        self._own += 1
        self.sessions.add(session)
        self.idle.clear()
        return True

    def admit_client(self, address: str) -> str | None:
        """Count one more session of a client's network; return the network, None when it has too many."""
        network = self._network(address)
        if self.open.clients[network] >= self.config.limits.client_connections:
            return None
        self.open.clients[network] += 1
        return network

    def dismiss(self, session: SmtpSession, network: str | None) -> None:
        """Count a session out that was counted in, and its client's network when that was."""
        self.sessions.discard(session)
        self._own -= 1
        if self._retired and not self._own:
            self.next_hop.close()
        if network is not None:
            self.open.clients[network] -= 1
            if not self.open.clients[network]:
                del self.open.clients[network]
        if not self.sessions:
            self.idle.set()

    def _network(self, address: str) -> str:
        limits = self.config.limits
        try:
            prefix = limits.client_ipv6_prefix if ":" in address else limits.client_ipv4_prefix
            return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
        except ValueError:
            return address
