"""The resolver: asynchronous DNS with a cache, failover and TCP fallback, behind `core.ports.Resolver`."""

from __future__ import annotations

import dns.resolver

from filterproxy.config.models import Dns
from filterproxy.core.ports import Clock
from filterproxy.services.resolver.cache import TtlBounds
from filterproxy.services.resolver.resolver import DnsResolver, OfflineResolver, OnQuery

__all__ = ["DnsResolver", "OfflineResolver", "OnQuery", "create_resolver", "system_servers"]


def create_resolver(dns_settings: Dns, clock: Clock, on_query: OnQuery | None = None) -> DnsResolver:
    """Return a resolver for the configured servers, or those of /etc/resolv.conf; close it when done.

    Without any server it answers every question with TEMPERROR at once. Search domains are never used.
    """
    servers = [(address.host, address.port) for address in dns_settings.nameservers] or system_servers()
    return DnsResolver(
        servers,
        clock,
        timeout=dns_settings.timeout,
        cache_entries=dns_settings.cache_entries,
        bounds=TtlBounds(most=dns_settings.max_ttl, most_negative=dns_settings.max_negative_ttl),
        on_query=on_query,
    )


def system_servers() -> list[tuple[str, int]]:
    """Return the name servers of /etc/resolv.conf, none when it cannot be used."""
    try:
        return [(str(server), 53) for server in dns.resolver.Resolver(configure=True).nameservers]
    except dns.resolver.NoResolverConfiguration:
        return []
