"""The resolver: asynchronous DNS with a cache, failover and TCP fallback, behind `core.ports.Resolver`."""

from __future__ import annotations

from filterproxy.config.models import Dns
from filterproxy.core.ports import Clock
from filterproxy.services.resolver.cache import TtlBounds
from filterproxy.services.resolver.resolver import DnsResolver, OfflineResolver, OnQuery
from filterproxy.services.resolver.system import SystemServers

__all__ = ["DnsResolver", "OfflineResolver", "OnQuery", "SystemServers", "create_resolver"]


def create_resolver(dns_settings: Dns, clock: Clock, on_query: OnQuery | None = None) -> DnsResolver:
    """Return a resolver for the configured servers, or those of /etc/resolv.conf; close it when done.

    Search domains are never used. A change of /etc/resolv.conf is followed.
    """
    configured = [(address.host, address.port) for address in dns_settings.nameservers]
    system = None if configured else SystemServers()
    return DnsResolver(
        configured or (system.servers if system else []),
        clock,
        timeout=dns_settings.timeout,
        cache_entries=dns_settings.cache_entries,
        cache_size=dns_settings.cache_size,
        bounds=TtlBounds(most=dns_settings.max_ttl, most_negative=dns_settings.max_negative_ttl),
        on_query=on_query,
        system=system,
        randomize_case=dns_settings.randomize_case,
    )
