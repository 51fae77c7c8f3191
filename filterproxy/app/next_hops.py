"""The next hops of a configuration, for the start, the doctor and test-delivery.

The rule: what a next hop needs on this machine (files, nothing on the network) is found missing before mail comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from filterproxy.config.endpoints import all_providers
from filterproxy.config.listeners import SmtpService
from filterproxy.config.loader import Loaded
from filterproxy.config.yaml_loader import KeyPath
from filterproxy.core.errors import ConfigError
from filterproxy.services.next_hop import NextHop
from filterproxy.services.next_hop.credentials import read_secret


def next_hops(loaded: Loaded) -> Iterator[tuple[KeyPath, NextHop]]:
    """Yield the next hop of each listener that has one, with its place in the configuration; raise ConfigError."""
    settings = loaded.settings
    providers = all_providers(settings.providers)
    for number, listener in enumerate(settings.listeners):
        if not isinstance(listener, SmtpService):
            continue
        path: KeyPath = ("listeners", number, "next_hop")
        try:
            hop = NextHop(listener.next_hop, lambda: settings.hostname, providers=providers, base_dir=loaded.base_dir)
        except ConfigError as error:
            raise loaded.error(path, error.reason, hint=error.hint) from error
        yield path, hop


def check_next_hops(loaded: Loaded) -> None:
    """Raise ConfigError when a file that a next hop needs is not there, is no use, or is open to others."""
    for path, next_hop in next_hops(loaded):
        for hop in next_hop.everywhere():
            if hop.endpoint.secret_file is None:
                continue
            try:
                read_secret(hop.endpoint.secret_file)
            except ConfigError as error:
                raise loaded.error((*path, hop.endpoint.secret), error.reason, hint=error.hint) from error
