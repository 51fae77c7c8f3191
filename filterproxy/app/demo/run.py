"""The demo's main process: the service as `filterproxy run` starts it, with a companion and one part of DNS replaced.

The rule: the service itself does not know that it is a demo; only its configuration and its resolver are handed in.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from filterproxy.app.compose import ClosableResolver, config_types
from filterproxy.app.demo.companion import Companion
from filterproxy.app.demo.zones import DemoResolver
from filterproxy.app.errors import StartError
from filterproxy.app.service import serve
from filterproxy.config.listeners import SmtpListener
from filterproxy.config.loader import Loaded, load
from filterproxy.config.models import Dns
from filterproxy.config.paths import find_config
from filterproxy.config.store_url import parse_store
from filterproxy.core.ports import Clock
from filterproxy.pipeline import discover
from filterproxy.services.resolver import OnQuery, create_resolver


def run_demo(config: Path | None) -> None:
    """Serve with sample messages until SIGTERM or Ctrl-C; raise StartError or ConfigError when it cannot start."""
    loaded = load_demo_config(config)
    companion = Companion.start(_smtp_listener(loaded), loaded.store_path)

    def open_resolver(dns: Dns, clock: Clock, on_query: OnQuery) -> ClosableResolver:
        own = create_resolver(Dns(nameservers=(companion.name_server,)), clock, on_query)
        return DemoResolver(own, create_resolver(dns, clock, on_query))

    try:
        serve(loaded, lambda: load_demo_config(config), open_resolver=open_resolver, ready=companion.send_samples)
    finally:
        companion.stop()
    companion.check()


def load_demo_config(config: Path | None) -> Loaded:
    """Return the configuration that `filterproxy run` would use; without one the demo's, with paths from here."""
    types = config_types(discover())
    path = find_config(config)
    if path is not None:
        return load(path, types)
    with as_file(files(__package__) / "demo.yml") as shipped:
        loaded = load(shipped, types)
    here = Path.cwd()
    return replace(loaded, base_dir=here, store_path=parse_store(loaded.settings.store, here))


def _smtp_listener(loaded: Loaded) -> SmtpListener:
    for listener in loaded.settings.listeners:
        if isinstance(listener, SmtpListener) and listener.address.port:
            return listener
    raise StartError("the demo sends its samples over SMTP: name an smtp listener with a port", temporary=False)
